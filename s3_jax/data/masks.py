"""Segmentation masks: encoded bytes to class indices, nothing taken on trust.

A mask is a PNG of indices, grey or with a palette. What is stored in it differs
between data sets and between their conversions; a `LabelMap` says what each
stored value means. A mask of another kind is not interpreted but refused: read
as anything else, it would give a mean IoU that looks like one.
"""

import io
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Integer, UInt8
from PIL import Image

from s3_jax.data.decoding import MAX_PIXELS, BadImage, decode_image

IGNORED = 255
"""The label of pixels that belong to no class."""

LabelMap = tuple[int, ...]
"""What each stored value 0..255 means: a class, `IGNORED`, or -1: an error."""

Palette = tuple[tuple[int, int, int], ...]
"""The published colours of stored values 0, 1, 2, ..."""


def _voc_palette() -> Palette:
  """Spreads the bits of a value over three colours, as VOC's tools do."""
  colours = []
  for value in range(256):
    colour = [0, 0, 0]
    for bit in range(8):
      colour[bit % 3] |= (value >> bit & 1) << 7 - bit // 3
    colours.append((colour[0], colour[1], colour[2]))
  return tuple(colours)


VOC_PALETTE: Palette = _voc_palette()

CITYSCAPES_PALETTE: Palette = (
  *((128, 64, 128), (244, 35, 232), (70, 70, 70), (102, 102, 156)),
  *((190, 153, 153), (153, 153, 153), (250, 170, 30), (220, 220, 0)),
  *((107, 142, 35), (152, 251, 152), (70, 130, 180), (220, 20, 60)),
  *((255, 0, 0), (0, 0, 142), (0, 0, 70), (0, 60, 100), (0, 80, 100)),
  *((0, 0, 230), (119, 11, 32)),
)

_PNG = b"\x89PNG\r\n\x1a\n"
_GREY = 0  # PNG's colour type
# Pillow spreads grey values of few bits over 0..255.
_SPREAD = {2: 85, 4: 17}


def label_map(meanings: Mapping[int, int]) -> LabelMap:
  """Makes a map of the values that may occur."""
  return tuple(meanings.get(value, -1) for value in range(256))


def plain_labels(classes: int) -> LabelMap:
  """Maps values that are class indices already."""
  return label_map({IGNORED: IGNORED, **{k: k for k in range(classes)}})


def shifted_labels(classes: int) -> LabelMap:
  """Maps values of which 0 counts as no class, and k is class k - 1.

  References:
    mmseg's `reduce_zero_label`.
  """
  meanings = {k + 1: k for k in range(classes)}
  return label_map({0: IGNORED, IGNORED: IGNORED, **meanings})


def read_mask(
  data: bytes, *, max_pixels: int = MAX_PIXELS, palette: Palette = ()
) -> UInt8[np.ndarray, "rows cols"]:
  """Decodes a mask to the values that are stored in it.

  Of a palette the indices count and not the colours; but a palette that has
  the published colours at other indices was sorted anew by some tool, and what
  its indices mean is not known. Grey values of 1, 2 or 4
  bits are what the file says (Pillow would spread them over 0..255), and those
  of 16 bits are taken if none is above 255.
  """
  if data and not data.startswith(_PNG):
    raise ValueError(
      "a mask must be a PNG, whose values are exact, got another kind of file."
    )
  image = decode_image(data, max_pixels=max_pixels)
  if image.mode == "1":
    return np.asarray(image).astype(np.uint8)
  if image.mode in ("L", "P"):
    values = np.asarray(image)
    if image.mode == "P" and palette:
      _check_palette(image, values, palette)
    # The first chunk of every PNG: width, height, bit depth, colour type.
    depth, colour = data[24], data[25]
    spread = _SPREAD.get(depth, 1) if colour == _GREY else 1
    return values // np.uint8(spread)
  if image.mode in ("I", "I;16"):
    return _from_16_bits(image)
  raise ValueError(
    "a mask must hold class indices, grey or with a palette, got colours (mode"
    f" {image.mode}): convert it to indices first."
  )


def _check_palette(
  image: Any, values: UInt8[np.ndarray, "rows cols"], palette: Palette
) -> None:
  """Refuses a palette that has published colours at other indices."""
  stored = list(image.getpalette("RGB") or ())
  indices: dict[tuple[int, ...], int] = {}
  for value, colour in enumerate(palette):
    indices.setdefault(colour, value)
  for value in np.unique(values).tolist():
    shown = tuple(stored[3 * value : 3 * value + 3])
    index = indices.get(shown, value)
    if index != value:
      raise ValueError(
        f"a mask's palette must have its colours as published, got that of"
        f" value {index} {shown} for {value}: a tool sorted the palette; take"
        " the published file, or store values and no colours."
      )


def _from_16_bits(image: Any) -> UInt8[np.ndarray, "rows cols"]:
  values = np.asarray(image)
  largest = int(values.max())
  if largest > IGNORED:
    raise ValueError(
      f"a mask must hold values of at most {IGNORED}, got 16 bits with"
      f" {largest}: is it one of instances?"
    )
  return values.astype(np.uint8)


def map_labels(
  values: UInt8[np.ndarray, "rows cols"], labels: LabelMap
) -> UInt8[np.ndarray, "rows cols"]:
  """Turns stored values into class indices."""
  mapped = np.asarray(labels, np.int16)[values]
  if mapped.min(initial=0) < 0:
    strange = np.unique(values[mapped < 0])
    more = f" and {strange.size - 1} more" if strange.size > 1 else ""
    known = [value for value, label in enumerate(labels) if label >= 0]
    raise ValueError(
      f"a mask must hold {_ranges(known)} alone, got {strange[0]}{more}: is it"
      " of another data set, or converted in another way?"
    )
  return mapped.astype(np.uint8)


def _ranges(values: list[int]) -> str:
  """Writes ascending numbers as "0..18, 255"."""
  runs: list[list[int]] = []
  for value in values:
    if runs and value == runs[-1][-1] + 1:
      runs[-1].append(value)
    else:
      runs.append([value])
  return ", ".join(
    str(run[0]) if len(run) == 1 else f"{run[0]}..{run[-1]}" for run in runs
  )


def check_size(
  labels: UInt8[np.ndarray, "rows cols"], size: tuple[int, int]
) -> None:
  """Refuses a mask that has another size than its image."""
  if labels.shape != size:
    raise ValueError(
      f"a mask must have its image's size, {size[0]} x {size[1]} (rows x"
      f" columns), got {labels.shape[0]} x {labels.shape[1]}."
    )


def encode_mask(labels: Integer[np.ndarray, "rows cols"]) -> bytes:
  """Encodes labels as a grey PNG of 8 bits."""
  buffer = io.BytesIO()
  Image.fromarray(labels.astype(np.uint8)).save(buffer, "PNG")
  return buffer.getvalue()


def decode_labels(
  data: bytes,
  labels: LabelMap,
  size: tuple[int, int],
  *,
  where: str,
  max_pixels: int = MAX_PIXELS,
  palette: Palette = (),
) -> UInt8[np.ndarray, "rows cols"]:
  """Decodes a mask to the class indices of a benchmark."""
  try:
    values = read_mask(data, max_pixels=max_pixels, palette=palette)
    check_size(values, size)
    return map_labels(values, labels)
  except BadImage as error:
    raise type(error)(f"mask {where}: {error.reason}") from error
  except ValueError as error:
    raise ValueError(f"{where}: {error}") from error
