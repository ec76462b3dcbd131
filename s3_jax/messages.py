"""One line to the user: visible, short, and with the names that were meant.

What stands in a message comes from anywhere: names of files, keys of JSON,
words of an endpoint. It is shown, never obeyed, and never more than is read.
"""

import difflib
import re
import unicodedata
from collections.abc import Iterable
from typing import Any

MAX_LINE = 300
"""Characters of a line that says what is wrong."""

# Format characters without which some scripts and emoji are spelled wrongly.
_JOINERS = "\u200c\u200d"
_SHORT_LIST = 100  # characters that are read at a glance
_SHOWN = 4  # of the names of a longer list
_MANY = re.compile(r"(?:[^\s,;()][^,;()]{0,60}, ){7,}[^\s,;()]+")
_PATH = re.compile(r"\S*[/\\]\S*")
_GAP = " … "


def visible(text: str) -> str:
  r"""Makes every character of a text visible.

  Line ends, control and direction-changing characters, and bytes that are no
  text are written out, as in `\n` or `\u202e`: two names that differ look
  different, and none moves what stands beside it, or obeys a terminal.
  """
  if text.isascii() and text.isprintable():
    return text
  return "".join(map(_show, text))


def visible_lines(text: str) -> str:
  """Makes every character of a text visible but for its line ends."""
  return "\n".join(map(visible, text.split("\n")))


def _show(char: str) -> str:
  kind = unicodedata.category(char)
  if char in _JOINERS or kind not in ("Cc", "Cf", "Cs", "Zl", "Zp"):
    return char
  return char.encode("unicode_escape").decode()


def nearest(names: Iterable[str], given: object = "") -> str:
  """Lists what may be chosen: all, or what is nearest to the given."""
  known = list(names)
  text = ", ".join(known)
  if len(text) <= _SHORT_LIST or len(known) <= _SHOWN + 1:
    return text
  word = str(given).casefold()[:100]
  folded = {name.casefold(): name for name in reversed(known)}
  near = difflib.get_close_matches(word, folded, n=_SHOWN, cutoff=0.4)
  parts = [name for name in folded if len(word) > 1 and word in name]
  order = [folded[name] for name in (*near[:2], *parts, *near)]
  chosen = list(dict.fromkeys((*order, *known)))[:_SHOWN]
  return f"{', '.join(chosen)} and {len(known) - len(chosen)} others"


def one_line(text: str, *, most: int = MAX_LINE) -> str:
  """Makes a line of a message: visible, and not longer than is read.

  What is too long loses the middle: of long lists, then of long quotations,
  then of what is neither a path nor near the beginning, which says what is
  wrong, or the end, which says what to do.
  """
  if len(text) > 20 * most:
    text = text[: 10 * most] + _GAP + text[-10 * most :]
  line = " ".join(visible(part) for part in text.split())
  if len(line) > most:
    line = _MANY.sub(_first_few, line)
  for path, length in ((False, 80), (True, 140), (True, 80)):
    if len(line) > most:
      line = re.sub(
        r"(?<!\w)'[^']{60,}'(?!\w)|(?<!\w)\"[^\"]{60,}\"(?!\w)|\S{60,}",
        lambda found, path=path, length=length: (
          _cut(found[0], length)
          if path or not _PATH.fullmatch(found[0])
          else found[0]
        ),
        line,
      )
  return _cut_between_paths(line, most) if len(line) > most else line


def _first_few(found: re.Match[str]) -> str:
  names = found[0].split(", ")
  return f"{', '.join(names[:3])}, … ({len(names)} in all)"


def _cut(text: str, length: int) -> str:
  """Leaves out the middle; the end of a path says more than its beginning."""
  if len(text) <= length:
    return text
  start = length // 3
  return text[:start] + "…" + text[start + 1 - length :]


def _cut_between_paths(line: str, most: int) -> str:
  """Leaves out as much as needed, but for the longest path."""
  excess = len(line) - most + len(_GAP)
  spans = [found.span() for found in _PATH.finditer(line)]
  lengths = {b - a: (a, b) for a, b in spans if b - a <= most // 2}
  first, last = lengths[max(lengths)] if lengths else (0, 0)
  starts = range(most // 5, len(line) - excess - most // 5 + 1)

  def cost(start: int) -> tuple[int, int]:
    end = start + excess
    lost = max(0, min(last, end) - max(first, start))
    return lost, abs(start + end - len(line))

  start = min(starts, key=cost)
  if cost(start)[0]:  # on both sides of it
    room = (most - (last - first) - 2 * len(_GAP)) // 2
    return f"{line[:room]}{_GAP}{line[first:last]}{_GAP}{line[-room:]}"
  return line[:start] + _GAP + line[start + excess :]


def short_repr(record: Any) -> str:
  """Shows a NamedTuple in a line: arrays by type and shape, lists cut short.

  A record of a data set's arrays would fill the screen, and a notebook shows
  whatever stands last in a cell.
  """
  fields = zip(record._fields, record, strict=True)
  shown = ", ".join(f"{name}={_shape(value)}" for name, value in fields)
  return f"{type(record).__name__}({shown})"


def _shape(value: Any) -> str:
  if hasattr(value, "shape") and hasattr(value, "dtype"):
    return f"{value.dtype}[{', '.join(map(str, value.shape))}]"
  if type(value) in (tuple, list) and len(value) > _SHOWN:
    first = ", ".join(map(_shape, value[:2]))
    return f"({first}, … {len(value):,} in all)"
  return one_line(repr(value), most=_SHORT_LIST)
