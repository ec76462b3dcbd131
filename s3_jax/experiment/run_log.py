"""What a run says while it works, and how long its parts take."""

import pathlib
import sys
from collections.abc import Callable, Iterable, Sequence

from s3_jax import hosts
from s3_jax.experiment.workdir import clear_results
from s3_jax.messages import visible, visible_lines

ENOUGH = 30.0
"""Seconds of work that say how fast it is, whatever else they hold."""


class RunLog:
  """Writes every line to the terminal and to the end of a file.

  Of several processes only the first speaks. Its first line removes the results
  and the log of an earlier run from the file's folder; the opening, which the
  terminal has at once, goes before it.
  """

  def __init__(
    self, path: pathlib.Path, *, clears: bool = True, opening: str = ""
  ):
    self._path = path
    self._unwritten = f"{visible_lines(opening)}\n" if opening else ""
    self._clears = clears
    self._speaks = hosts.is_first()
    self._is_new = True
    if self._speaks and opening:
      tell(opening)

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
      file.write(self._unwritten + visible_lines(text.rstrip("\n")) + "\n")
    self._unwritten = ""


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


def time_some(
  work: Iterable[tuple[Callable[[], object], int]],
  clock: Callable[[], float],
) -> float:
  """Does the first pieces of work, until one says how long the rest will take.

  A piece is a function and the units that it does; returns seconds a unit. What
  comes first is traced and warmed up, which a clock that leaves compilation out
  still counts: a short piece says little, the next one more.
  """
  rate = 0.0
  for do, units in work:
    start = clock()
    do()
    seconds = clock() - start
    rate = seconds / units
    if seconds >= ENOUGH:
      break
  return rate
