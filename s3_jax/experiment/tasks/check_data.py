"""The task "check_data": which benchmarks are on disk, and what they lack."""

import pathlib
from collections.abc import Callable, Sequence
from typing import Annotated, Any, NamedTuple

from s3_jax.data.datasets import DATASETS, DatasetSpec
from s3_jax.data.inventory import Finding, take_inventory
from s3_jax.data.segmentation_sets import SEGMENTATION_SETS, SegmentationSpec
from s3_jax.experiment.run_log import tell
from s3_jax.experiment.settings import Settings
from s3_jax.fields import words
from s3_jax.files import atomic_write, write_json
from s3_jax.messages import visible
from s3_jax.results.document import Column, Table
from s3_jax.results.renderers import align, to_markdown

_COLUMNS = (
  Column("data set", words=True),
  Column("status", words=True),
  Column("images"),
  Column("classes"),
  Column("layout", words=True),
  Column("found", words=True),
)
_ORIGIN = ("data set", "split", "where to get it", "licence")


def downloaded() -> dict[str, DatasetSpec | SegmentationSpec]:
  """Returns the rows of both tables whose images are not drawn here."""
  return {
    name: spec
    for name, spec in (*DATASETS.items(), *SEGMENTATION_SETS.items())
    if spec.family != "embedded"
  }


class DataCheck(NamedTuple):
  """The settings of the check."""

  data_dir: str = "data"  # holds the data sets, each in its own folder
  # Keys of data sets; default: all.
  datasets: Annotated[tuple[str, ...], words(downloaded, least=0)] = ()


def read_settings(settings: Settings) -> Callable[[pathlib.Path], Any]:
  """Reads the settings of the check."""
  check = settings.read(DataCheck)
  known = downloaded()
  specs = [known[name] for name in check.datasets or known]
  data_dir = pathlib.Path(check.data_dir).expanduser()
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
  table = Table(_COLUMNS, list(map(_row, findings)))
  atomic_write(folder / "data.md", _page(table, findings, data_dir))
  complete = sum(finding.status == "complete" for finding in findings)
  lines = "\n".join(align(table))
  tell(
    f"{lines}\n\n{complete} of {len(findings)} complete under"
    f" {data_dir}; docs/DATASETS.md shows the folders that are read.\n"
  )
  return findings


def _row(finding: Finding) -> tuple[str, ...]:
  return (
    finding.name,
    finding.status,
    _of(finding.images, finding.expected),
    _of(finding.classes, finding.expected_classes),
    finding.layout or "-",
    visible(finding.found or f"get it: {finding.source}"),
  )


def _of(count: int | None, expected: int) -> str:
  return f"{'-' if count is None else f'{count:,}'} of {expected:,}"


def _page(
  table: Table, findings: Sequence[Finding], data_dir: pathlib.Path
) -> str:
  origin = Table(
    [Column(title, words=True) for title in _ORIGIN],
    [(each.title, each.split, each.source, each.licence) for each in findings],
  )
  return f"""# Data sets under {data_dir}

Written by

    python main.py --config=configs/check_data.py --config.data_dir={data_dir}

{to_markdown(table)}
Images are counted by their names, and none is decoded here. "-" stands where
nothing was found, or where labels lie inside the records or the masks.

{to_markdown(origin)}"""
