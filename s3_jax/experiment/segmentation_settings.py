"""What the segmentation tasks read of a config beside the common fields."""

from collections.abc import Mapping
from typing import Any

from s3_jax.evaluation.segmentation import (
  SEGMENTATION_PROTOCOLS,
  SegmentationProtocol,
)
from s3_jax.evaluation.segmentation.protocols import check_protocol
from s3_jax.evaluation.segmentation.windows import resized_shape
from s3_jax.experiment.settings import Settings
from s3_jax.lexicon.prompts import fill_template
from s3_jax.lexicon.templates import IMAGENET_80

PROTOCOLS = ("sclip", "clearclip", "maskclip")
_STATISTICS = ("pixel_mean", "pixel_std")


def read_templates(settings: Settings) -> tuple[str, ...]:
  """Reads the templates of names; the 80 of ImageNet where there are none.

  Args:
    settings: of a config.

  Returns:
    Templates with one `{}` each.

  Raises:
    ValueError: one has no `{}`, or several.
  """
  templates = tuple(settings.take("templates", (list, tuple), default=()))
  for template in templates:
    fill_template(template, "")
  return templates or IMAGENET_80


def read_changes(settings: Settings) -> dict[str, Any]:
  """Reads which fields of a protocol a config changes.

  Args:
    settings: of a config.

  Returns:
    Field of `SegmentationProtocol` -> value.

  Raises:
    ValueError: a field is unknown or of another type.
  """
  given = settings.take("protocol_changes", dict, default={})
  example = SEGMENTATION_PROTOCOLS["sclip"]
  changes = {}
  for field, value in given.items():
    label = f"`config.protocol_changes.{field}`"
    if field not in example._fields:
      raise ValueError(
        f"{label} must be one of {', '.join(example._fields)}; it is unknown."
      )
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


def _statistics(label: str, value: Any) -> tuple[float, ...] | None:
  if value is None:
    return None
  numbers = isinstance(value, list | tuple) and all(
    isinstance(each, int | float) and not isinstance(each, bool)
    for each in value
  )
  if not numbers or len(value) != 3:
    raise ValueError(f"{label} must be three numbers or None, got {value!r}.")
  return tuple(map(float, value))


def protocol_of(
  protocol: str, dataset: str, changes: Mapping[str, Any]
) -> SegmentationProtocol:
  """Chooses the protocol of a data set.

  Args:
    protocol: "sclip", "clearclip" or "maskclip".
    dataset: whose variant is taken, where there is one; "" for none.
    changes: fields to change.

  Returns:
    The protocol.

  Raises:
    ValueError: a changed field breaks a rule.
  """
  chosen = SEGMENTATION_PROTOCOLS.get(
    f"{protocol}/{dataset}", SEGMENTATION_PROTOCOLS[protocol]
  )
  chosen = chosen._replace(**changes)
  check_protocol(chosen)
  return chosen


def is_too_small(
  size: tuple[int, int], patch: int, protocol: SegmentationProtocol
) -> bool:
  """Says whether not one patch fits into an image after the resize.

  Args:
    size: rows and columns of the image.
    patch: pixels of a patch.
    protocol: of the resize and the padding.

  Returns:
    True for images that only a padding would make large enough.
  """
  resized = resized_shape(
    *size, short_side=protocol.short_side, long_side=protocol.long_side
  )
  return protocol.padding == "floor" and min(resized) < patch
