"""What the segmentation tasks read of a config beside the common fields."""

from collections.abc import Mapping, Sequence
from typing import Any

from s3_jax.clip import ModelSpec
from s3_jax.experiment import settings as settings_lib
from s3_jax.experiment.settings import Settings
from s3_jax.lexicon.templates import IMAGENET_80
from s3_jax.messages import nearest
from s3_jax.segmentation import (
  EMBEDDINGS,
  SEGMENTATION_PROTOCOLS,
  SegmentationProtocol,
)
from s3_jax.segmentation.protocols import check_protocol
from s3_jax.segmentation.windows import resized_shape

PROTOCOLS = ("sclip", "clearclip", "maskclip")
_STATISTICS = ("pixel_mean", "pixel_std")
_CHECKPOINT = "checkpoint"


def read_templates(settings: Settings) -> tuple[str, ...]:
  """Reads the templates of names; the 80 of ImageNet where there are none."""
  return settings_lib.read_templates(settings) or IMAGENET_80


def read_changes(settings: Settings) -> dict[str, Any]:
  """Reads which fields of a protocol a config changes."""
  given = settings.take("protocol_changes", dict, default={})
  example = SEGMENTATION_PROTOCOLS["sclip"]
  changes = {}
  for field, value in given.items():
    label = f"`config.protocol_changes.{field}`"
    if field not in example._fields:
      raise ValueError(
        f"{label} must be one of {nearest(example._fields, field)}; it is"
        " unknown."
      )
    if value is None:
      continue
    if field in _STATISTICS:
      changes[field] = _statistics(label, value)
      continue
    kind = type(getattr(example, field))
    fits = isinstance(value, int | float) if kind is float else None
    if isinstance(value, bool) or not (
      isinstance(value, kind) if fits is None else fits
    ):
      raise ValueError(
        f"{label} must be of type {kind.__name__}, got {value!r}."
      )
    changes[field] = kind(value)
  return changes


def read_thresholds(
  settings: Settings, methods: Sequence[str]
) -> dict[str, float]:
  """Reads the methods that have a threshold of their own.

  A probability over all names is smaller than one over classes, so that one
  threshold means different things to different methods.
  """
  given = {
    method: value
    for method, value in settings.take("thresholds", dict, default={}).items()
    if value is not None
  }
  for method, value in given.items():
    label = f"`config.thresholds.{method}`"
    if method not in methods:
      raise ValueError(
        f"{label} must be of one of the methods {nearest(methods, method)}, and"
        f" {method!r} is not run."
      )
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not 0 <= value <= 1:
      raise ValueError(f"{label} must be in [0, 1], got {value!r}.")
  return {method: float(value) for method, value in given.items()}


def _statistics(label: str, value: Any) -> tuple[float, ...] | None:
  if value == _CHECKPOINT:
    return None
  numbers = isinstance(value, list | tuple) and all(
    isinstance(each, int | float) and not isinstance(each, bool)
    for each in value
  )
  if not numbers or len(value) != 3:
    raise ValueError(
      f'{label} must be three numbers or "checkpoint", got {value!r}.'
    )
  return tuple(map(float, value))


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


def read_embeddings(settings: Settings) -> str:
  """Reads what the tower is asked for."""
  return settings.take(
    "embeddings", str, default="patches", choices=tuple(EMBEDDINGS)
  )


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
