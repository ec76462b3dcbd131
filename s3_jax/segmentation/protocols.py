"""How an image becomes a map of labels, as data.

A protocol is everything between the pixels of a photograph and its labels that
is neither the checkpoint nor the texts. The rows are those of the papers' own
codes; `SEGMENTATION_PROTOCOLS["sclip"]` is what a code does by default,
`["sclip/voc21"]` what it does on one data set.

References:
  SCLIP: github.com/wangf3014/SCLIP, configs and clip_segmentor.py. ClearCLIP:
  github.com/mc-lan/ClearCLIP, configs and clearclip_segmentor.py. MaskCLIP:
  github.com/chongzhou96/MaskCLIP, configs/maskclip and configs/_base_. NACLIP:
  github.com/sinahmr/NACLIP, configs and naclip.py. ResCLIP:
  github.com/yvhangyang/ResCLIP, configs. That a protocol is one record is ours.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from s3_jax.clip.dense import ATTENTIONS

PADDINGS = ("floor", "center", "corner")


class SegmentationProtocol(NamedTuple):
  """Settings of one way to segment; change some with `_replace`.

  Attributes:
    attention: of the last block, see `embed_patches`.
    position_offset: of the resampled position embeddings, see `embed_patches`.
    short_side: pixels of the shorter side after the resize.
    long_side: pixels that the longer side may not exceed; where it would, it
      alone sets the size, and the shorter side comes out shorter.
    window: rows and columns of a window, pixels; 0: the whole image is one.
      Where the image is smaller than a window, the window is cut to it.
    stride: pixels from one window to the next; the last one of a row or column
      is moved back so that it ends with the image.
    padding: what is done with a window that patches do not fill. "floor":
      nothing, the rest is not seen, and the scores are stretched over the whole
      window. "center": zeros on all sides, cut off the scores again. "corner":
      zeros below and at the right, and scores stretched over the window.
    pixel_mean: subtracted from RGB pixels of 0 to 255; None: the checkpoint's.
    pixel_std: what they are divided by; None: the checkpoint's.
    logit_factor: what scores are multiplied by before the softmax: the factor
      itself, not its logarithm. The codes fix it, whatever the checkpoint.
    prob_threshold: a pixel whose best probability is below it gets class 0.
    area_threshold: a class other than 0 is given up in an image unless its
      pixels are more than this share of all pixels of such classes; 0: never.
    neighbor_std: of the Gaussian around a patch, see `embed_patches`.
    residual_share: of middle blocks' attention, see `embed_patches`.
  """

  attention: str
  position_offset: float
  short_side: int
  long_side: int
  window: int
  stride: int
  padding: str
  pixel_mean: tuple[float, float, float] | None
  pixel_std: tuple[float, float, float] | None
  logit_factor: float
  prob_threshold: float = 0.0
  area_threshold: float = 0.0
  neighbor_std: float = 5.0
  residual_share: float = 0.3


def check_protocol(protocol: SegmentationProtocol) -> None:
  """Refuses settings that nothing can follow, naming the first."""
  for field, words in (("attention", tuple(ATTENTIONS)), ("padding", PADDINGS)):
    value = getattr(protocol, field)
    if value not in words:
      _refuse(field, f"one of {', '.join(words)}", value)
  for field in ("short_side", "long_side", "stride"):
    value = getattr(protocol, field)
    if value < 1:
      _refuse(field, ">= 1", value)
  if protocol.long_side < protocol.short_side:
    rule = f"at least its short_side, {protocol.short_side}"
    _refuse("long_side", rule, protocol.long_side)
  if protocol.window < 0:
    _refuse("window", ">= 0", protocol.window)
  if protocol.window and protocol.stride > protocol.window:
    rule = f"at most its window, {protocol.window}"
    _refuse("stride", rule, protocol.stride)
  if (protocol.pixel_mean is None) != (protocol.pixel_std is None):
    rule = "None, which is the checkpoint's own, just where pixel_std is"
    _refuse("pixel_mean", rule, protocol.pixel_mean)
  if not protocol.logit_factor > 0:
    _refuse("logit_factor", "> 0", protocol.logit_factor)
  if not protocol.neighbor_std > 0:
    _refuse("neighbor_std", "> 0", protocol.neighbor_std)
  for field in ("prob_threshold", "area_threshold", "residual_share"):
    value = getattr(protocol, field)
    if not 0 <= value <= 1:
      _refuse(field, "in [0, 1]", value)


def _refuse(field: str, rule: str, value: object) -> None:
  raise ValueError(f"`{field}` of the protocol must be {rule}, got {value!r}.")


DATA_SETS = (
  "voc21",
  "voc20",
  "context60",
  "context59",
  "coco_object",
  "coco_stuff",
  "cityscapes",
  "ade20k",
)

_OPENAI_MEAN = (122.771, 116.746, 104.094)
_OPENAI_STD = (68.501, 66.632, 70.323)
_IMAGENET_MEAN = (123.675, 116.28, 103.53)
_IMAGENET_STD = (58.395, 57.12, 57.375)

_METHODS = {
  # Labels are the argmax of cosines, so that its factor plays no part; 100 is
  # the one of its optional refinements.
  "maskclip": SegmentationProtocol(
    attention="maskclip",
    position_offset=0.0,
    short_side=512,
    long_side=2048,
    window=0,
    stride=1,
    padding="corner",
    pixel_mean=_IMAGENET_MEAN,
    pixel_std=_IMAGENET_STD,
    logit_factor=100.0,
  ),
  "sclip": SegmentationProtocol(
    attention="sclip",
    position_offset=0.1,
    short_side=336,
    long_side=2048,
    window=224,
    stride=112,
    padding="floor",
    pixel_mean=_OPENAI_MEAN,
    pixel_std=_OPENAI_STD,
    logit_factor=40.0,
  ),
  "clearclip": SegmentationProtocol(
    attention="clearclip",
    position_offset=0.1,
    short_side=448,
    long_side=2048,
    window=448,
    stride=224,
    padding="center",
    pixel_mean=_OPENAI_MEAN,
    pixel_std=_OPENAI_STD,
    logit_factor=50.0,
  ),
}
# NACLIP without its refinement of masks (PAMR); ResCLIP on NACLIP without its
# second pass, whose affinities come from a first segmentation.
_METHODS["naclip"] = _METHODS["sclip"]._replace(attention="naclip")
_METHODS["resclip_rcs"] = _METHODS["naclip"]._replace(attention="resclip_rcs")

_NACLIP: dict[str, dict[str, int | float]] = {
  # The whole image is one window.
  "voc21": {"window": 0, "prob_threshold": 0.1},
  "voc20": {"window": 0},
  "context60": {"prob_threshold": 0.1},
  "coco_object": {"prob_threshold": 0.1},
  "cityscapes": {"short_side": 560},
}
_RESCLIP_SHARES = {
  "voc21": 0.3,
  "voc20": 0.6,
  "context60": 0.3,
  "context59": 0.4,
  "coco_object": 0.4,
  "coco_stuff": 0.4,
  "cityscapes": 0.2,
  "ade20k": 0.3,
}

# What the configuration of one data set changes.
_VARIANTS: dict[str, dict[str, int | float]] = {
  # Its scale of (520, 520) bounds the longer side.
  "maskclip/context60": {"short_side": 520, "long_side": 520},
  "maskclip/context59": {"short_side": 520, "long_side": 520},
  "maskclip/cityscapes": {"long_side": 1024},
  "sclip/voc21": {
    "logit_factor": 65.0,
    "prob_threshold": 0.1,
    "area_threshold": 0.1,
  },
  "sclip/context60": {"logit_factor": 50.0, "prob_threshold": 0.1},
  "sclip/coco_object": {"logit_factor": 50.0, "prob_threshold": 0.1},
  "sclip/coco_stuff": {"short_side": 448},
  "sclip/cityscapes": {"short_side": 560},
  "clearclip/voc21": {"prob_threshold": 0.5},
  "clearclip/context60": {"prob_threshold": 0.15},
  "clearclip/coco_object": {"prob_threshold": 0.4},
  "clearclip/cityscapes": {"window": 224},
  **{f"naclip/{name}": changes for name, changes in _NACLIP.items()},
  **{
    f"resclip_rcs/{name}": {**_NACLIP.get(name, {}), "residual_share": share}
    for name, share in _RESCLIP_SHARES.items()
  },
}

SEGMENTATION_PROTOCOLS: Mapping[str, SegmentationProtocol] = MappingProxyType(
  _METHODS
  | {
    key: protocol._replace(**_VARIANTS.get(key, {}))
    for method, protocol in _METHODS.items()
    for key in (f"{method}/{name}" for name in DATA_SETS)
  }
)
"""Protocols by method, and by method and data set, such as "sclip/voc21"."""
