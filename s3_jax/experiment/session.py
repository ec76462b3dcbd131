"""One run: what every task opens, counts and closes."""

import contextlib
import json
import pathlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import s3_jax
from s3_jax import hosts
from s3_jax.experiment.machine.environment import (
  CompileClock,
  describe_environment,
)
from s3_jax.experiment.run_log import RunLog
from s3_jax.results.schema import SCHEMA
from s3_jax.sharding import local_mesh

_Written = TypeVar("_Written")


class Session:
  """One run: its folder, devices, log, times and counts.

  Attributes:
    folder: an existing folder, which gets the files of the run.
    devices: the mesh of this process.
    log: writes lines to the terminal and to log.txt.
    timings: part of the run -> seconds, or a rate.
    counters: what a warm cache leaves at 0 -> how often it was done.
  """

  def __init__(
    self,
    folder: pathlib.Path,
    *,
    config: Mapping[str, Any],
    seed: int | None = None,
    dtype: str | None = None,
    mesh: int = 0,
    model_axis: int = 1,
    clears: bool = True,
  ):
    """Opens a run and says so; too many devices are refused before any work.

    Args:
      folder: of the run.
      config: its fields as given, for the documents.
      seed: of the run, if it has one.
      dtype: of the towers' products; None for a run without a tower.
      mesh: devices of this process that are used; 0 for all.
      model_axis: of these, how many share classes and large towers.
      clears: whether the log's first line removes an earlier run's results.
    """
    self._clock = CompileClock()
    self._config = json.loads(json.dumps(config))
    self._seed = seed
    self._dtype = dtype
    self._skipped: list[dict[str, str]] = []
    # Said before devices start and a checkpoint is read.
    self.log = RunLog(
      folder / "log.txt",
      clears=clears,
      opening=f"s3_jax {s3_jax.__version__}: {config.get('task', 'run')},"
      f" results in {folder}",
    )
    self.folder = folder
    self.devices = hosts.raise_on_all(
      lambda: local_mesh(mesh, model=model_axis)
    )
    self.timings: dict[str, float] = {}
    self.counters: dict[str, int] = {}

  @contextlib.contextmanager
  def timed(self, part: str) -> Iterator[None]:
    """Adds the seconds of a block to a part of the run."""
    start = time.perf_counter()
    yield
    seconds = time.perf_counter() - start
    self.timings[part] = self.timings.get(part, 0.0) + seconds

  def worked(self) -> float:
    """Returns the seconds of a clock that stands still while XLA compiles."""
    return time.perf_counter() - self._clock.seconds()

  def count(self, **counts: int) -> None:
    """Adds to the counters; a count of 0 makes its counter known."""
    for name, number in counts.items():
      self.counters[name] = self.counters.get(name, 0) + number

  def rate(self, name: str, number: int, part: str) -> None:
    """Notes how many things a second a part has done, if it did any."""
    if number:
      self.timings[name] = number / self.timings[part]

  def skip(self, skipped: Sequence[tuple[str, str]]) -> None:
    """Logs the data sets that are left out, and lists them in the results."""
    for name, reason in skipped:
      self.log(f"Skipped {name}: {reason}")
      self._skipped.append({"dataset": name, "reason": reason})

  def head(self) -> dict[str, Any]:
    """Returns what every document says first: settings and environment."""
    return {
      "config": self._config,
      "environment": describe_environment(self._dtype),
    }

  def document(self, **parts: Any) -> dict[str, Any]:
    """Returns the mapping of results.json: what is common, and the parts."""
    return {
      "schema": SCHEMA,
      "seed": self._seed,
      **self.head(),
      "skipped": self._skipped,
      **parts,
      "counters": {
        **self.counters,
        "cache": "cold" if any(self.counters.values()) else "warm",
      },
      "timings": self.times(),
    }

  def times(self) -> dict[str, float]:
    """Returns the timings up to now, compilation among them."""
    timings = {**self.timings, "compile": self._clock.seconds()}
    return {name: round(value, 3) for name, value in timings.items()}

  def close(
    self,
    write: Callable[[], _Written],
    *,
    bad: int = 0,
    strict: bool = False,
    what: str = "bad image",
  ) -> _Written:
    """Writes the files in the first process, and only then minds `strict`."""
    written = hosts.first_only(write)
    if bad and strict:
      raise ValueError(
        f"`config.strict` allows no {what}, got {bad}:"
        f" {self.folder / 'results.json'} lists them."
      )
    return written
