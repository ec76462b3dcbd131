"""Images with masks, decoded in threads a little ahead of who takes them."""

import functools
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import UInt8

from s3_jax.colors import to_rgb
from s3_jax.data.ahead import ahead
from s3_jax.data.decoding import MAX_PIXELS, BadImage, decoded_image
from s3_jax.data.input_pipeline import why_bad
from s3_jax.data.masks import decode_labels
from s3_jax.data.readers.masks import OpenedMasks

_AHEAD = 8
"""Images that wait to be taken."""


class MaskedImage(NamedTuple):
  """One image of a data set with its labels.

  Attributes:
    position: index in the data set.
    pixels: RGB; empty for a bad example.
    labels: class indices, 255 where a pixel belongs to none; empty for a bad
      example.
    reason: why it is a bad example; "" for a good one.
    passing: whether it may be a good one in another run.
  """

  position: int
  pixels: UInt8[np.ndarray, "rows cols 3"]
  labels: UInt8[np.ndarray, "rows cols"]
  reason: str
  passing: bool = False


def rgb_pixels(image: Any) -> UInt8[np.ndarray, "rows cols 3"]:
  """Turns a decoded picture of any mode into RGB at its own size.

  What is transparent lies on white, and 16 bits are scaled to 8.
  """
  try:
    return np.array(to_rgb(image))
  except ValueError as error:
    raise BadImage(str(error)) from error


def masked_images(
  found: OpenedMasks,
  indices: Sequence[int],
  *,
  threads: int = 4,
  max_pixels: int = MAX_PIXELS,
) -> Iterator[MaskedImage]:
  """Decodes images and masks, in order.

  An image or a mask that is absent or damaged makes a bad example. A mask that
  is whole and breaks a rule is an error: others of the data set will as well.
  """
  load = functools.partial(_load, found, max_pixels=max_pixels)
  return ahead(load, indices, threads=threads, most=_AHEAD)


def _load(found: OpenedMasks, index: int, *, max_pixels: int) -> MaskedImage:
  try:
    record = found.opened.records[index]
    with decoded_image(record["image"], max_pixels=max_pixels) as image:
      pixels = rgb_pixels(image)
    labels = decode_labels(
      record["mask"],
      found.labels,
      pixels.shape[:2],
      where=found.mask_files[index],
      max_pixels=max_pixels,
      palette=found.palette,
    )
  except (BadImage, OSError, MemoryError) as error:
    empty = np.zeros((0, 0, 3), np.uint8)
    return MaskedImage(index, empty, empty[..., 0], *why_bad(error))
  return MaskedImage(index, pixels, labels, "")
