"""What the segmentation tasks read of a config beside the common fields."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, NamedTuple

from s3_jax.clip import ModelSpec
from s3_jax.experiment.settings import Templates
from s3_jax.fields import Fraction, Rule, Where, read_value
from s3_jax.lexicon.synonyms import split_kinds
from s3_jax.lexicon.templates import IMAGENET_80
from s3_jax.messages import nearest
from s3_jax.segmentation import (
  EMBEDDINGS,
  SEGMENTATION_PROTOCOLS,
  SegmentationProtocol,
)
from s3_jax.segmentation.protocols import check_protocol
from s3_jax.segmentation.windows import resized_shape

_CHECKPOINT = "checkpoint"


def _are_statistics(value: str | tuple[float, ...]) -> bool:
  return value == _CHECKPOINT if isinstance(value, str) else len(value) == 3


def _read_templates(values: tuple[Any, ...], where: Where) -> tuple[str, ...]:
  return read_value(Templates, values, where) or IMAGENET_80


def _set_alone(values: dict[str, Any], where: Where) -> dict[str, float]:
  del where
  return {name: value for name, value in values.items() if value is not None}


Protocol = Annotated[
  str, Rule(choices=("sclip", "clearclip", "maskclip", "naclip", "resclip_rcs"))
]
# "windows": each window as one image (ours).
Embeddings = Annotated[str, Rule(choices=EMBEDDINGS)]
NameTemplates = Annotated[
  tuple[str, ...], Rule(given=tuple, read=_read_templates)
]
Thresholds = Annotated[
  dict[str, float], Rule(given=dict[str, Fraction | None], read=_set_alone)
]
Statistics = Annotated[
  str | tuple[float, ...] | None,
  Rule('must be three numbers or "checkpoint"', _are_statistics),
]


AskedKinds = Annotated[
  str,
  Rule(
    'must be kinds such as "+subtype"', lambda text: not split_kinds(text)[0]
  ),
]


class ProtocolChanges(NamedTuple):
  """Which fields of a protocol a config changes; None leaves one as it is."""

  attention: str | None = None  # of the last block
  position_offset: float | None = None  # of position embeddings, patches
  short_side: int | None = None  # of the resized image, pixels
  long_side: int | None = None  # its bound, pixels
  window: int | None = None  # rows and columns, pixels; 0: the whole image
  stride: int | None = None  # pixels between windows
  padding: str | None = None  # floor, center or corner: of a window
  pixel_mean: Statistics = None  # three, or "checkpoint"
  pixel_std: Statistics = None  # the same
  logit_factor: float | None = None  # of the cosines, before the softmax
  prob_threshold: float | None = None  # below it a pixel is background
  area_threshold: float | None = None  # share of pixels, below it a class goes
  neighbor_std: float | None = (
    None  # of naclip's and resclip_rcs's Gaussian, patches
  )
  residual_share: float | None = (
    None  # of middle blocks in resclip_rcs's attention
  )

  @property
  def given(self) -> dict[str, Any]:
    """The changes as a protocol has them."""
    return {
      name: None if value == _CHECKPOINT else value
      for name, value in self._asdict().items()
      if value is not None
    }


def check_thresholds(
  thresholds: Mapping[str, float], methods: Sequence[str], where: Where
) -> None:
  """Refuses the threshold of a method that is not run.

  A probability over all names is smaller than one over classes, so that one
  threshold means different things to different methods.
  """
  for method in thresholds:
    if method not in methods:
      raise ValueError(
        f"`{where.path}.thresholds.{method}` must be of one of the methods"
        f" {nearest(methods, method)}, and {method!r} is not run."
      )


def protocol_of(
  protocol: str, dataset: str, changes: Mapping[str, Any]
) -> SegmentationProtocol:
  """Chooses the protocol of a data set."""
  chosen = SEGMENTATION_PROTOCOLS.get(
    f"{protocol}/{dataset}", SEGMENTATION_PROTOCOLS[protocol]
  )
  chosen = chosen._replace(**changes)
  check_protocol(chosen)
  return chosen


def too_small(
  size: tuple[int, int],
  spec: ModelSpec,
  protocol: SegmentationProtocol,
  embeddings: str,
) -> str:
  """Says why an image cannot be labelled after the resize."""
  resized = resized_shape(
    *size, short_side=protocol.short_side, long_side=protocol.long_side
  )
  whole = embeddings == "windows"
  if whole or protocol.padding == "floor":
    least, word = (
      (protocol.window, "window") if whole else (spec.patch_size, "patch")
    )
    if min(resized) < least:
      return f"{size[0]} x {size[1]} pixels, too narrow for a {word}"
  return ""
