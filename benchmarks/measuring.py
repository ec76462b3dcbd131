"""What the benchmarks share: texts to measure on, timing, tables.

CPU seconds of all threads count, not wall seconds, which suffer from whatever
else a machine does; the least of several runs, and those of all contestants of
a task interleaved.
"""

import os
import pathlib
import platform
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

# The scripts run from a checkout, whether that is installed or not.
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))


class Row(NamedTuple):
  """One line of a table.

  Attributes:
    task: what is computed.
    who: by whom.
    cpu: CPU seconds of all threads, the least of the runs.
    wall: wall seconds, the least of the runs.
    first: CPU seconds of the first call, compilation included.
    ratio: `cpu` in units of the task's first row.
  """

  task: str
  who: str
  cpu: float
  wall: float
  first: float
  ratio: float


def make_texts(classes: int, texts: int, dim: int) -> np.ndarray:
  """Draws unit vectors f32[classes, texts, dim] around a center a class."""
  rng = np.random.default_rng(0)
  hidden = min(12, dim)
  noise = rng.normal(size=(classes, texts, hidden)) / np.sqrt(hidden)
  noise *= np.exp(0.35 * rng.normal(size=(classes, texts, 1)))
  basis = rng.normal(size=(hidden, dim)) / np.sqrt(dim)
  center = rng.normal(size=(classes, 1, dim)) / np.sqrt(dim)
  points = center + 0.8 * noise @ basis
  points /= np.linalg.norm(points, axis=2, keepdims=True)
  return points.astype(np.float32)


def measure(
  task: str,
  runs: Mapping[str, tuple[Callable[[], Any], float]],
  repeats: int,
) -> list[Row]:
  """Times functions, one after another in every round.

  Args:
    task: what they compute.
    runs: name -> the function, and by what its seconds are multiplied.
    repeats: rounds after the first call of each.

  Returns:
    A row for each function; the first is the unit of the ratios.
  """
  times: dict[str, list[tuple[float, float]]] = {name: [] for name in runs}
  for _ in range(repeats + 1):
    for name, (run, factor) in runs.items():
      cpu, wall = time.process_time(), time.perf_counter()
      jax.block_until_ready(run())
      cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
      times[name].append((factor * cpu, factor * wall))
  least = {name: np.min(seconds[1:], axis=0) for name, seconds in times.items()}
  unit = next(iter(least.values()))[0]
  return [
    Row(task, name, *map(float, (*pair, times[name][0][0], pair[0] / unit)))
    for name, pair in least.items()
  ]


def machine() -> str:
  """Says what the numbers were measured on."""
  return (
    f"{jax.default_backend()}, {platform.machine()}, {os.cpu_count()} cores, "
    f"jax {jax.__version__}"
  )


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
  """Formats a markdown table."""
  lines = [head, ["---"] * len(head), *rows]
  return "\n".join("| " + " | ".join(line) + " |" for line in lines)
