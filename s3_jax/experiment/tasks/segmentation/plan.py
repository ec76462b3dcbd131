"""What a segmentation run will do: its settings, and the data sets it finds."""

from typing import Annotated, NamedTuple

from s3_jax.data.decoding import MAX_PIXELS
from s3_jax.data.segmentation_sets import (
  SEGMENTATION_SETS,
  OpenedMasks,
  SegmentationSpec,
  check_mask_counts,
  open_masks,
)
from s3_jax.experiment.checkpoint import CheckpointSource
from s3_jax.experiment.methods.patches import PATCH_METHODS
from s3_jax.experiment.methods.spaces import SpaceOptions
from s3_jax.experiment.settings import (
  CacheDir,
  Dtype,
  Folder,
  check_baseline,
  check_sets,
)
from s3_jax.experiment.tasks.segmentation.settings import (
  AskedKinds,
  Embeddings,
  NameTemplates,
  Protocol,
  ProtocolChanges,
  Thresholds,
  check_thresholds,
  protocol_of,
)
from s3_jax.fields import Count, Given, Inline, Rule, Where, Whole, raw, words
from s3_jax.segmentation import SegmentationProtocol


class Segmentation(NamedTuple):
  """The settings of a segmentation run."""

  config: Given
  model: Inline[CheckpointSource]
  options: Inline[SpaceOptions]
  # Rows of the table, in its order.
  methods: Annotated[tuple[str, ...], words(PATCH_METHODS)]
  dataset: Annotated[str, Rule(choices=SEGMENTATION_SETS)] = ""  # one data set
  # Several; those that are not on disk are left out.
  datasets: Annotated[tuple[str, ...], words(SEGMENTATION_SETS)] = ()
  data_dir: Folder = raw(
    ""
  )  # docs/SEGMENTATION_DATA.md says what may lie there
  protocol: Protocol = "sclip"  # whose sizes, windows and thresholds
  # One of each patch; "windows": each window as one image.
  embeddings: Embeddings = "patches"
  # Fields of the protocol with values of your own.
  protocol_changes: ProtocolChanges = raw({})
  partial: bool = False  # True: another number of images is accepted
  strict: bool = False  # True: a bad example makes the run fail at its end
  thresholds: Thresholds = {}  # of methods; default: the protocol's
  baseline: str = "names_max"  # the method that the others are compared with
  templates: NameTemplates = raw(())  # default: the 80 of ImageNet
  lexicon: AskedKinds = ""  # "+subtype" adds kinds of synonyms
  pictures: Whole = 3  # worst, best, most gained and most lost images of each
  dtype: Dtype = "float32"  # of the towers' matrix products
  mesh: Whole = 0  # devices of each process that share windows; 0 for all
  max_pixels: Count = MAX_PIXELS  # of an image file, all frames together
  cache_dir: CacheDir = raw("")  # default: the user's cache folder
  seed: Whole = 0  # of the bootstrap

  @property
  def names(self) -> tuple[str, ...]:
    """The data sets of the run."""
    return self.datasets or (self.dataset,)

  @property
  def skip_absent(self) -> bool:
    """Whether data sets that are not there are left out: in a suite."""
    return bool(self.datasets)

  @property
  def protocols(self) -> dict[str, SegmentationProtocol]:
    """The protocol of each data set."""
    changes = self.protocol_changes.given
    return {n: protocol_of(self.protocol, n, changes) for n in self.names}

  @property
  def changed(self) -> bool:
    """Whether a protocol is not as published."""
    return bool(self.protocol_changes.given or self.thresholds)

  def protocol_of(self, dataset: str, method: str) -> SegmentationProtocol:
    """Returns a data set's protocol with the method's own threshold."""
    protocol = self.protocols[dataset]
    own = self.thresholds.get(method, protocol.prob_threshold)
    return protocol._replace(prob_threshold=own)

  def check(self, where: Where) -> None:
    """Refuses a run without data or baseline, and protocols of no use."""
    check_sets(self, ("dataset", "datasets"), where)
    check_baseline(self.baseline, self.methods)
    check_thresholds(self.thresholds, self.methods, where)
    assert self.protocols  # made here, so that a faulty one is refused


class FoundSet(NamedTuple):
  """A data set that can be run."""

  spec: SegmentationSpec
  found: OpenedMasks
  complete: bool


def find_sets(
  run: Segmentation,
) -> tuple[list[FoundSet], list[tuple[str, str]]]:
  """Opens the data sets of a run."""
  found, skipped = [], []
  for name in run.names:
    try:
      found.append(_find_one(run, SEGMENTATION_SETS[name]))
    except ValueError as error:
      if not run.skip_absent:
        raise
      skipped.append((name, str(error)))
  if not found:
    raise ValueError(
      "`config.datasets` must name a data set that is there, got none of"
      f" {len(run.names)}: {skipped[0][1]}"
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
