"""The task "prepare_data": downloads as TFDS data sets, read by Grain."""

import pathlib
from collections.abc import Callable
from typing import Annotated, Any, NamedTuple

from s3_jax.data.datasets import (
  DatasetSpec,
  check_counts,
  open_dataset,
)
from s3_jax.data.readers import masks, prepared_masks, tfds
from s3_jax.data.records import OpenedDataset
from s3_jax.data.segmentation_sets import (
  SegmentationSpec,
  check_mask_counts,
  open_masks,
)
from s3_jax.data.video_frames import FRAMES, read_videos
from s3_jax.experiment.run_log import tell
from s3_jax.experiment.settings import Folder, Settings
from s3_jax.experiment.tasks.check_data import downloaded
from s3_jax.fields import Rule, Where, raw
from s3_jax.files import write_json
from s3_jax.messages import nearest


def _read_specs(
  names: str, where: Where
) -> tuple[DatasetSpec | SegmentationSpec, ...]:
  known = downloaded()
  chosen = [name.strip() for name in names.split(",")]
  for name in chosen:
    if name not in known or chosen.count(name) > 1:
      raise ValueError(
        f"`{where.path}` must be different names between commas, of"
        f" {nearest(known, name)}; got {name!r:.80} in {names!r:.80}."
      )
  return tuple(known[name] for name in chosen)


Specs = Annotated[
  tuple[DatasetSpec | SegmentationSpec, ...], Rule(given=str, read=_read_specs)
]


class Preparation(NamedTuple):
  """The settings of a preparation."""

  dataset: Specs  # one, or several with commas
  data_dir: str = "data"  # holds the downloads, each in its own folder
  to: Folder = raw("")  # gets the prepared data sets; default: data_dir
  layout: str = "auto"  # or a reader's key; "videos" of UCF101
  partial: bool = False  # True: another number of images is accepted
  allow_empty: bool = False  # True: files without a picture are accepted

  @property
  def downloads(self) -> pathlib.Path:
    """The folder of the downloads."""
    return pathlib.Path(self.data_dir).expanduser()

  @property
  def target(self) -> pathlib.Path:
    """The folder that gets the prepared data sets."""
    return self.to or self.downloads


def read_settings(settings: Settings) -> Callable[[pathlib.Path], Any]:
  """Reads the settings of a preparation."""
  preparation = settings.read(Preparation)
  return lambda folder: prepare_data(preparation, folder)


def prepare_data(
  preparation: Preparation, folder: pathlib.Path
) -> list[pathlib.Path]:
  """Prepares the data sets one after another.

  One that is prepared already is opened and kept, so that a preparation that
  was stopped goes on where it was.
  """
  written: list[dict[str, Any]] = []
  for spec in preparation.dataset:
    if isinstance(spec, SegmentationSpec):
      written.append(_prepare_masks(spec, preparation))
    else:
      written.append(_prepare_images(spec, preparation))
    _write(folder, written)
    last = written[-1]
    tell(f"{last['folder']}: {last['state']}, {last['examples']} images\n")
    for file in last["empty"]:
      tell(f"  {file}: nothing in it, stored empty\n")
  return [pathlib.Path(each["folder"]) for each in written]


def _prepare_images(
  spec: DatasetSpec, preparation: Preparation
) -> dict[str, Any]:
  from s3_jax.data import benchmark_builders

  source = tfds.own_source(spec)
  index = preparation.target / source.builder / source.config / source.version
  found, empty, state = "", (), "kept"
  if not index.exists():
    opened = _open(spec, preparation)
    if not preparation.partial:
      _check_whole(lambda: check_counts(spec, opened))
    prepared = benchmark_builders.prepare(
      spec, opened, preparation.target, allow_empty=preparation.allow_empty
    )
    found, empty, state = opened.found, prepared.empty, "written"
  again = tfds.read(spec._replace(tfds=source), preparation.target)
  assert again is not None
  return _described(spec, index, again, found, state, empty)


def _check_whole(check: Callable[[], None]) -> None:
  """Says what takes another number of images, where a check refuses it."""
  try:
    check()
  except ValueError as error:
    raise ValueError(
      f"{error} `config.partial=True` stores what is there."
    ) from error


def _prepare_masks(
  spec: SegmentationSpec, preparation: Preparation
) -> dict[str, Any]:
  from s3_jax.data import segmentation_builders

  if preparation.layout not in ("auto", "mmseg"):
    raise ValueError(
      f"`config.layout` of {spec.name!r} must be auto or mmseg, got"
      f" {preparation.layout!r}."
    )
  source = prepared_masks.own_mask_source(spec)
  index = preparation.target / source.builder / source.config / source.version
  found, state = "", "kept"
  if not index.exists():
    # Without downloads the other reader's message says what is missing.
    opened = masks.read(spec, preparation.downloads) or open_masks(
      spec, preparation.downloads
    )
    if not preparation.partial:
      _check_whole(lambda: check_mask_counts(spec, opened))
    segmentation_builders.prepare_masks(spec, opened, preparation.target)
    found, state = opened.opened.found, "written"
  again = prepared_masks.read(spec, preparation.target)
  assert again is not None
  return _described(spec, index, again.opened, found, state, ())


def _described(
  spec: DatasetSpec | SegmentationSpec,
  index: pathlib.Path,
  again: OpenedDataset,
  found: str,
  state: str,
  empty: tuple[str, ...],
) -> dict[str, Any]:
  return {
    "dataset": spec.name,
    "split": spec.split,
    "folder": str(index),
    "state": state,
    "examples": len(again.records),
    "fingerprint": again.fingerprint,
    "found": found,
    "empty": list(empty),
  }


def _write(folder: pathlib.Path, written: list[dict[str, Any]]) -> None:
  document = {"schema": 1, "datasets": written}
  write_json(folder / "preparation.json", document)


def _open(spec: DatasetSpec, preparation: Preparation) -> OpenedDataset:
  """Finds the downloads; what TFDS has prepared is none."""
  layout, data_dir = preparation.layout, preparation.downloads
  frames = [data_dir / name / FRAMES for name in spec.folders]
  if layout == "videos" or (
    layout == "auto" and not any(map(pathlib.Path.is_dir, frames))
  ):
    opened = read_videos(spec, data_dir)
    if opened is not None:
      return opened
  layouts = tuple(key for key in spec.layouts if key != "tfds")
  if spec.name == "ucf101" and layout == "videos":
    raise ValueError(
      f"data set 'ucf101' must have its videos under {data_dir}, in a folder"
      f" {' or '.join(spec.folders)}/UCF-101: get them from {spec.source}."
    )
  return open_dataset(spec._replace(layouts=layouts), data_dir, layout=layout)
