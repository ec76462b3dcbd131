"""What a run says while it works, and how long its parts take."""

import pathlib
import sys
import time
from collections.abc import Callable, Sequence

from s3_jax import hosts
from s3_jax.experiment.workdir import clear_results
from s3_jax.messages import visible, visible_lines


class RunLog:
  """Writes every line to the terminal and to the end of a file.

  Of several processes only the first speaks. Its first line removes the results
  and the log of an earlier run from the file's folder.
  """

  def __init__(self, path: pathlib.Path, *, clears: bool = True):
    self._path = path
    self._clears = clears
    self._speaks = hosts.is_first()
    self._is_new = True

  def __call__(self, text: str) -> None:
    """Says a text of one or more lines."""
    if not self._speaks:
      return
    if self._is_new:
      if self._clears:
        clear_results(self._path.parent)
      # Not written over: it may be a link to somebody's file.
      self._path.unlink(missing_ok=True)
      self._is_new = False
    tell(text)
    with open(self._path, "a", encoding="utf-8") as file:
      file.write(visible_lines(text.rstrip("\n")) + "\n")


def tell(text: str, *, aside: bool = False) -> None:
  """Writes a text to the terminal, or aside to stderr, whatever is in it."""
  file = sys.stderr if aside else sys.stdout
  # A terminal need not know every letter of a class name.
  encoding = file.encoding or "utf-8"
  shown = visible_lines(text.rstrip("\n"))
  shown = shown.encode(encoding, "backslashreplace").decode(encoding)
  file.write(shown + "\n")
  file.flush()


def log_bad(
  log: RunLog, title: str, bad: Sequence[tuple[str, str]], total: int
) -> None:
  """Says how many images of a data set are bad, if any."""
  if bad:
    file, reason = bad[0]
    log(
      f"{title}: {len(bad)} of {total} images are bad and not counted; the"
      f" first is {visible(file)}: {visible(reason)}."
    )


class TimeLeft:
  """Says once, when its speed is known, how long the rest of work will take.

  What is done first in a part of the work is not timed: a tower compiles then.
  """

  _STEADY = 10.0
  """Seconds of work from which on its speed is known."""

  def __init__(self, log: Callable[[str], None], *, what: str, total: int):
    self._log, self._what, self._left = log, what, total
    self._seconds, self._timed, self._said = 0.0, 0, False
    self._last: float | None = None

  def start(self) -> None:
    """Begins a part of the work."""
    self._last = None

  def done(self, count: int) -> None:
    """Counts what has been done since the last call, or since the start."""
    now = time.monotonic()
    self._left -= count
    if self._last is not None:
      self._seconds += now - self._last
      self._timed += count
    self._last = now
    is_known = self._timed > 0 and self._seconds >= self._STEADY
    if is_known and self._left > 0 and not self._said:
      self._said = True
      rest = self._seconds / self._timed * self._left
      self._log(
        f"{self._left:,} {self._what} left: about {format_duration(rest)}."
      )


def format_duration(seconds: float) -> str:
  """Says a duration in one unit."""
  if seconds < 100:
    return f"{seconds:.0f} s"
  minutes = seconds / 60
  return f"{minutes:.0f} min" if minutes < 100 else f"{minutes / 60:.1f} h"
