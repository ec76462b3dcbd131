"""The task "check_data": which benchmarks are on disk, and what they lack."""

import pathlib
from collections.abc import Callable, Sequence
from typing import Any

from s3_jax.data.datasets import DATASETS, DatasetSpec
from s3_jax.data.inventory import Finding, take_inventory
from s3_jax.data.segmentation_sets import SEGMENTATION_SETS, SegmentationSpec
from s3_jax.experiment.run_log import tell
from s3_jax.experiment.settings import Settings
from s3_jax.files import atomic_write, write_json
from s3_jax.messages import visible

_HEAD = ("data set", "status", "images", "classes", "layout", "found")
_NUMBERS = ("images", "classes")


def read_settings(settings: Settings) -> Callable[[pathlib.Path], Any]:
  """Reads the settings of the check."""
  data_dir = pathlib.Path(settings.take("data_dir", str)).expanduser()
  known: dict[str, DatasetSpec | SegmentationSpec] = {
    name: spec
    for name, spec in (*DATASETS.items(), *SEGMENTATION_SETS.items())
    if spec.family != "embedded"
  }
  benchmarks = tuple(known)
  names = benchmarks
  if settings.everything.get("datasets"):
    names = settings.words("datasets", benchmarks)
  else:
    settings.take("datasets", (list, tuple), default=())
  specs = [known[name] for name in names]
  return lambda folder: check_data(specs, data_dir, folder)


def check_data(
  specs: Sequence[DatasetSpec | SegmentationSpec],
  data_dir: pathlib.Path,
  folder: pathlib.Path,
) -> list[Finding]:
  """Prints what is there of each data set, and writes it down.

  The report is the result: that data sets are missing is no error.
  """
  findings = take_inventory(specs, data_dir)
  document = {
    "schema": 1,
    "data_dir": str(data_dir),
    "datasets": [finding._asdict() for finding in findings],
  }
  write_json(folder / "data.json", document)
  rows = [_row(finding) for finding in findings]
  atomic_write(folder / "data.md", _markdown(rows, findings, data_dir))
  complete = sum(finding.status == "complete" for finding in findings)
  tell(
    f"{_table(rows)}\n{complete} of {len(findings)} complete under"
    f" {data_dir}; docs/DATASETS.md shows the folders that are read.\n"
  )
  return findings


def _row(finding: Finding) -> dict[str, str]:
  values = (
    finding.name,
    finding.status,
    _of(finding.images, finding.expected),
    _of(finding.classes, finding.expected_classes),
    finding.layout or "-",
    finding.found or f"get it: {finding.source}",
  )
  return dict(zip(_HEAD, values, strict=True))


def _of(count: int | None, expected: int) -> str:
  return f"{'-' if count is None else f'{count:,}'} of {expected:,}"


def _table(rows: Sequence[dict[str, str]]) -> str:
  lines = [{key: key for key in _HEAD}, *rows]
  widths = {key: max(len(line[key]) for line in lines) for key in _HEAD}
  text = ""
  for line in lines:
    cells = [
      line[key].rjust(width) if key in _NUMBERS else line[key].ljust(width)
      for key, width in widths.items()
    ]
    text += "  ".join(cells).rstrip() + "\n"
  return text


def _markdown(
  rows: Sequence[dict[str, str]],
  findings: Sequence[Finding],
  data_dir: pathlib.Path,
) -> str:
  state = [_HEAD, *(tuple(row.values()) for row in rows)]
  origin = [
    ("data set", "split", "where to get it", "licence"),
    *((each.title, each.split, each.source, each.licence) for each in findings),
  ]
  return f"""# Data sets under {data_dir}

Written by

    python main.py --config=configs/check_data.py --config.data_dir={data_dir}

{_grid(state)}
Images are counted by their names, and none is decoded here. "-" stands where
nothing was found, or where labels lie inside the records or the masks.

{_grid(origin)}"""


def _grid(lines: Sequence[Sequence[str]]) -> str:
  rule = ["--:" if head in _NUMBERS else "---" for head in lines[0]]
  text = ""
  for cells in (lines[0], rule, *lines[1:]):
    text += (
      f"| {' | '.join(visible(c).replace('|', '&#124;') for c in cells)} |\n"
    )
  return text
