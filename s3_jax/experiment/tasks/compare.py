"""The task "compare": the results of several runs side by side."""

import pathlib
from collections.abc import Callable, Sequence
from typing import Annotated, Any, NamedTuple

from s3_jax.experiment.run_log import tell
from s3_jax.experiment.settings import Settings
from s3_jax.fields import Rule, Where, Whole, Words, read_value
from s3_jax.files import atomic_write
from s3_jax.results.comparison import (
  Run,
  RunComparison,
  compare_runs,
  label_runs,
)
from s3_jax.results.comparison_tables import (
  comparison_csv,
  comparison_latex,
  comparison_markdown,
  comparison_page,
  comparison_text,
)
from s3_jax.results.predictions_table import read_answers
from s3_jax.results.schema import read_results

_FILE = "results.json"


def _read_paths(
  values: str | tuple[Any, ...], where: Where
) -> tuple[pathlib.Path, ...]:
  """Takes a list as a command line gives it, too: one text with commas."""
  texts = read_value(
    Words, (values,) if isinstance(values, str) else values, where
  )
  paths: list[pathlib.Path] = []
  for value in texts:
    if pathlib.Path(value).exists():
      paths.append(pathlib.Path(value))
      continue
    parts = [part.strip(" '\"") for part in value.strip("()").split(",")]
    paths += [pathlib.Path(part) for part in parts if part]
  if len(paths) < 2:
    raise ValueError(
      f"`{where.path}` must name at least two runs, such as a/results.json"
      f" and b/results.json, got {', '.join(map(str, paths)) or 'none'}."
    )
  return tuple(paths)


Paths = Annotated[
  tuple[pathlib.Path, ...], Rule(given=str | tuple, read=_read_paths)
]


class Comparison(NamedTuple):
  """The settings of a comparison."""

  results: Paths  # folders or results.json files; the first is compared with
  seed: Whole = 0  # of the bootstrap


def read_settings(settings: Settings) -> Callable[[pathlib.Path], Any]:
  """Reads the settings of a comparison."""
  paths, seed = settings.read(Comparison)
  return lambda folder: compare(paths, folder, seed=seed)


def compare(
  paths: Sequence[pathlib.Path], folder: pathlib.Path, *, seed: int
) -> RunComparison:
  """Compares runs and writes compare.html, .md, .tex and .csv."""
  files = [path / _FILE if path.is_dir() else path for path in paths]
  names = [
    file.resolve().parent.name if file.name == _FILE else file.stem
    for file in files
  ]
  runs = []
  for label, file in zip(label_runs(names), files, strict=True):
    results = read_results(file)
    answers = {}
    if file.name == _FILE:
      answers = read_answers(file.with_name("predictions.csv"), results)
    runs.append(Run(label, results, answers))
  comparison = compare_runs(runs, seed=seed)
  atomic_write(folder / "compare.html", comparison_page(comparison))
  atomic_write(folder / "compare.md", comparison_markdown(comparison))
  atomic_write(folder / "compare.tex", comparison_latex(comparison))
  atomic_write(folder / "compare.csv", comparison_csv(comparison))
  tell(f"{comparison_text(comparison)}\n")
  tell(f"compare.html, .md, .tex and .csv: {folder}\n")
  return comparison
