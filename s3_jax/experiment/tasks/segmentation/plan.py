"""What a segmentation run will do: its settings, and the data sets it finds."""

import pathlib
from typing import Any, NamedTuple

from s3_jax.data.decoding import MAX_PIXELS
from s3_jax.data.segmentation_sets import (
  SEGMENTATION_SETS,
  OpenedMasks,
  SegmentationSpec,
  check_mask_counts,
  open_masks,
)
from s3_jax.experiment import checkpoint
from s3_jax.experiment.methods.patches import PATCH_METHODS
from s3_jax.experiment.methods.spaces import SpaceOptions, read_space_options
from s3_jax.experiment.settings import Settings, read_cache_dir
from s3_jax.experiment.tasks.segmentation.settings import (
  PROTOCOLS,
  protocol_of,
  read_changes,
  read_embeddings,
  read_templates,
  read_thresholds,
)
from s3_jax.messages import nearest
from s3_jax.segmentation import SegmentationProtocol


class Segmentation(NamedTuple):
  """The settings of a segmentation run, read and checked."""

  model: checkpoint.CheckpointSource
  datasets: tuple[str, ...]
  skip_absent: bool  # of a suite
  data_dir: pathlib.Path | None
  protocols: dict[str, SegmentationProtocol]  # by data set
  protocol: str
  embeddings: str  # a key of EMBEDDINGS
  changed: bool  # whether a protocol is not as published
  partial: bool
  strict: bool
  methods: tuple[str, ...]
  thresholds: dict[str, float]  # of methods whose threshold is their own
  baseline: str
  templates: tuple[str, ...]
  options: SpaceOptions
  pictures: int
  dtype: str
  mesh: int
  max_pixels: int
  cache_dir: pathlib.Path
  seed: int
  config: dict[str, Any]  # as given, for the results

  def protocol_of(self, dataset: str, method: str) -> SegmentationProtocol:
    """Returns a data set's protocol with the method's own threshold."""
    protocol = self.protocols[dataset]
    own = self.thresholds.get(method, protocol.prob_threshold)
    return protocol._replace(prob_threshold=own)


class FoundSet(NamedTuple):
  """A data set that can be run."""

  spec: SegmentationSpec
  found: OpenedMasks
  complete: bool


def read_plan(settings: Settings) -> Segmentation:
  """Reads the settings of a segmentation run."""
  known = tuple(SEGMENTATION_SETS)
  suite = "datasets" in settings.everything
  if suite:
    datasets = settings.words("datasets", known)
  else:
    datasets = (settings.take("dataset", str, choices=known),)
  data_dir = settings.take("data_dir", str, default="")
  protocol = settings.take("protocol", str, choices=PROTOCOLS)
  changes = read_changes(settings)
  methods = settings.words("methods", tuple(PATCH_METHODS))
  thresholds = read_thresholds(settings, methods)
  run = Segmentation(
    config=settings.everything,
    model=checkpoint.read_checkpoint(settings, "model"),
    datasets=datasets,
    skip_absent=suite,
    data_dir=pathlib.Path(data_dir).expanduser() if data_dir else None,
    protocols={n: protocol_of(protocol, n, changes) for n in datasets},
    protocol=protocol,
    embeddings=read_embeddings(settings),
    changed=bool(changes or thresholds),
    partial=settings.take("partial", bool, default=False),
    strict=settings.take("strict", bool, default=False),
    methods=methods,
    thresholds=thresholds,
    baseline=settings.take("baseline", str, default="names_max"),
    templates=read_templates(settings),
    options=read_space_options(settings),
    pictures=settings.take("pictures", int, default=3, minimum=0),
    dtype=settings.take("dtype", str, choices=("float32", "bfloat16")),
    mesh=settings.take("mesh", int, default=0, minimum=0),
    max_pixels=settings.take("max_pixels", int, default=MAX_PIXELS, minimum=1),
    cache_dir=read_cache_dir(settings),
    seed=settings.take("seed", int, minimum=0),
  )
  if run.baseline not in run.methods:
    raise ValueError(
      f"`config.methods` must hold the baseline {run.baseline!r}, got"
      f" {nearest(run.methods)}."
    )
  return run


def find_sets(
  run: Segmentation,
) -> tuple[list[FoundSet], list[tuple[str, str]]]:
  """Opens the data sets of a run."""
  found, skipped = [], []
  for name in run.datasets:
    try:
      found.append(_find_one(run, SEGMENTATION_SETS[name]))
    except ValueError as error:
      if not run.skip_absent:
        raise
      skipped.append((name, str(error)))
  if not found:
    raise ValueError(
      "`config.datasets` must name a data set that is there, got none of"
      f" {len(run.datasets)}: {skipped[0][1]}"
    )
  return found, skipped


def _find_one(run: Segmentation, spec: SegmentationSpec) -> FoundSet:
  if spec.family == "embedded":
    found = open_masks(spec, run.cache_dir / "tfds")
  elif run.data_dir is None:
    raise ValueError(
      f"`config.data_dir` must be the folder that holds {spec.title}, and is"
      " not set."
    )
  else:
    found = open_masks(spec, run.data_dir)
  try:
    check_mask_counts(spec, found)
  except ValueError as error:
    if not run.partial:
      raise ValueError(
        f"{error} `config.partial=True` runs on what is there."
      ) from error
    return FoundSet(spec, found, False)
  return FoundSet(spec, found, True)
