"""Classes from the lines of a text file."""

import re
from collections.abc import Sequence

from s3_jax.lexicon.cells import are_running, heads_names
from s3_jax.lexicon.class_tables import parse_rows, table_classes
from s3_jax.lexicon.class_values import (
  ListedClass,
  ListedClasses,
  split_ids,
  value_classes,
)
from s3_jax.lexicon.documents import parse_brackets

_OUT = "put the names into a JSON list to have them as they are"


def line_classes(
  lines: Sequence[str], where: str, *, several: bool = False
) -> ListedClasses:
  """Reads classes from lines of a class each."""
  lines = [line.strip() for line in lines]
  while lines and not lines[-1]:
    lines.pop()
  if not lines:
    return ListedClasses(())
  if lines[0][:1] in ("{", "[") and lines[-1][-1:] in ("}", "]"):
    return value_classes(parse_brackets("\n".join(lines), where), where)
  if all("\t" in line for line in lines):
    return table_classes(parse_rows("\n".join(lines), where, ".tsv"), where)
  if re.match(r"#\s", lines[0]):
    raise ValueError(
      f"{where}, line 1 must name a class, got {lines[0]!r:.60}: leave comments"
      f" out, or {_OUT}."
    )
  notes: list[str] = []
  offset = 1
  if len(lines) > 1 and heads_names(lines[0]):
    notes.append("first line taken as a header")
    lines, offset = lines[1:], 2
  lines = _without_marks(lines, notes)
  lines = without_numbers(lines, notes, where, offset)
  named = split_ids(lines)
  if named.notes:
    return named._replace(notes=(*notes, *named.notes))
  lines = _without_paths(lines, notes)
  classes = _with_texts(lines, notes, where, offset)
  if len(classes) == 1 and not notes and not several and "," in lines[0]:
    raise ValueError(
      f"{where}, line 1 may be one name or several, got {lines[0]!r:.60}: write"
      f" a class a line, or {_OUT}."
    )
  return ListedClasses(tuple(classes), tuple(notes))


def _without_marks(lines: list[str], notes: list[str]) -> list[str]:
  """Takes off what all lines have around their names: bullets, quotes."""
  if all(re.match(r"[-*•]\s+\S", line) for line in lines):
    notes.append("bullets before the names left out")
    lines = [line[1:].strip() for line in lines]
  if len(lines) > 1 and all(line.endswith(",") for line in lines[:-1]):
    notes.append("commas at the ends of lines left out")
    lines = [line.rstrip(",").rstrip() for line in lines]
  if all(re.fullmatch(r"(['\"]).+\1", line) for line in lines):
    notes.append("quotes around the names left out")
    lines = [line[1:-1] for line in lines]
  return lines


_FIRST = re.compile(
  r"(\d{1,9})(?:\s*[:),;|=]\s*|\s*\.\s*(?!\d)|\s+-\s+|\s+)(\S.*)"
)
_LAST = re.compile(r"(\S.*?)(?:\s*[:,;|=]\s*|\s+)(\d{1,9})")


def without_numbers(
  lines: list[str], notes: list[str], where: str, offset: int = 1
) -> list[str]:
  """Takes running numbers off names, twice where CUB's list has two."""
  for _ in range(2):
    first = [_FIRST.fullmatch(line) for line in lines]
    if all(first):
      numbers = [match[1] for match in first if match]
      names = [match[2] for match in first if match]
      if are_running(numbers) and _distinct(names):
        notes.append(
          f"numbers from {int(numbers[0])} before the names left out"
        )
        lines = names
        continue
      _refuse_gaps(numbers, lines, where, offset)
    break
  last = [_LAST.fullmatch(line) for line in lines]
  if all(last):
    numbers = [match[2] for match in last if match]
    names = [match[1] for match in last if match]
    if are_running(numbers) and _distinct(names):
      notes.append(f"numbers from {int(numbers[0])} after the names left out")
      return names
  return lines


def _distinct(names: Sequence[str]) -> bool:
  """Says whether names stay names; of those with ids two are "crane"."""
  plain = {entry.name for entry in split_ids(names).classes}
  return len(set(names)) == len(names) and 2 * len(plain) > len(names)


def _refuse_gaps(
  numbers: Sequence[str], lines: Sequence[str], where: str, offset: int
) -> None:
  """Refuses numbers that look like those of classes, and do not run."""
  values = list(map(int, numbers))
  if len(values) < 2 or len(set(values)) < len(values) or min(values) > 1:
    return  # of names, as in "2012 Audi", "3 musketeers"
  start = min(values[0], 1)
  index = next(n for n, v in enumerate(values) if v != start + n)
  raise ValueError(
    f"{where}, line {index + offset} must have the number {start + index} if"
    f" lines are numbered, got {lines[index]!r:.60}: number them 0, 1, 2, ...,"
    f" leave numbers out, or {_OUT}."
  )


def _without_paths(lines: list[str], notes: list[str]) -> list[str]:
  """Turns Places' and SUN's "/a/apse/indoor" into "indoor apse"."""
  matches = [re.fullmatch(r"/[a-z]/(\S+)", line) for line in lines]
  if not all(matches):
    return lines
  notes.append('paths turned round, "/a/apse/indoor" is "indoor apse"')
  return [" ".join(match[1].split("/")[::-1]) for match in matches if match]


def _with_texts(
  lines: list[str], notes: list[str], where: str, offset: int
) -> list[ListedClass]:
  """Reads "cat: tabby, siamese", if any line is of this kind."""
  matches = [re.fullmatch(r"([^:]*[^:\s])\s*:(?:\s+(.*))?", x) for x in lines]
  if not any(matches):
    return [ListedClass(line) for line in lines]
  classes = []
  for number, (line, match) in enumerate(zip(lines, matches, strict=True)):
    match = match or re.fullmatch(r"([^:]*[^:\s]):(.+)", line)
    if match is None:
      raise ValueError(
        f"{where}, line {number + offset} must be CLASS: TEXT, TEXT as others"
        f" are, got {line!r:.60}: write a colon after the class, or {_OUT}."
      )
    texts = re.split(r"[,;]", match[2] or "")
    classes.append(ListedClass(match[1], tuple(filter(str.strip, texts))))
  notes.append("lines read as CLASS: TEXT, TEXT")
  return classes
