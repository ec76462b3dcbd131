"""The folder of a run: what is in it is of one run."""

import contextlib
import os
import pathlib
import re
import sys
from collections.abc import Iterator
from typing import Any

from s3_jax.results.contact_sheet import PREDICTIONS, remove_pages
from s3_jax.results.segments_page import SEGMENTS

# A run of predictions writes all of its files at its very end, and clears then.
# What says that everything else is there comes first.
_RESULTS = (
  *("results.json", "predictions.json", "segments.json", "report.html"),
  *("results.md", "results.tex", "results.csv", "per_class.csv"),
  *("confusion.csv", "predictions.csv"),
  *("evidence.json", "evidence.md", "sweep.md", "sweep.csv"),
  *("view_sweep.md", "view_sweep.csv"),
)
_FOLDERS = ("figures", "labels", "overlays")
_DRAWN = re.compile(r"accuracy|barcodes|(.*-)?\d{4,}-[a-z0-9-]+-[0-9a-f]{8}")


def clear_results(folder: pathlib.Path) -> None:
  """Removes the result files that another run has left.

  Else a run that fails half way would leave its own beside the other's. Files
  of other names stay.
  """
  for name in _RESULTS:
    (folder / name).unlink(missing_ok=True)
  for kind in (PREDICTIONS, SEGMENTS):
    remove_pages(folder, after=0, kind=kind)
  for part in _FOLDERS:
    for path in (folder / part).glob("*.png"):
      if _DRAWN.fullmatch(path.stem):
        path.unlink(missing_ok=True)


class _Patient:
  """A stream that goes on when nobody reads it any more."""

  def __init__(self, stream: Any):
    self._stream = stream
    self._is_read = True

  def write(self, text: str) -> int:
    """Writes, or forgets, a text."""
    with self._losing():
      if self._is_read:
        self._stream.write(text)
    return len(text)

  def flush(self) -> None:
    """Flushes what has been written."""
    with self._losing():
      if self._is_read:
        self._stream.flush()

  @contextlib.contextmanager
  def _losing(self) -> Iterator[None]:
    try:
      yield
    except BrokenPipeError:
      self._is_read = False
      # Python flushes its streams at its end, and would fail there.
      with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self._stream.fileno())
        os.close(nowhere)

  def __getattr__(self, name: str) -> Any:
    return getattr(self._stream, name)


@contextlib.contextmanager
def patient_streams() -> Iterator[None]:
  """Lets a run end well whose reader has gone, as that of `| head -1` has.

  Results are written all the same.
  """
  out, err = _Patient(sys.stdout), _Patient(sys.stderr)
  with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
    try:
      yield
    finally:
      out.flush()
      err.flush()
