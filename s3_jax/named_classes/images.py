"""Pictures of every kind that a program holds, embedded."""

import functools
import os
from collections.abc import Iterable, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float32, UInt8
from PIL import Image

from s3_jax.clip import Clip, embed_images
from s3_jax.data.ahead import ahead
from s3_jax.data.decoding import decoding_threads
from s3_jax.data.input_pipeline import why_bad
from s3_jax.data.loading import load_image
from s3_jax.data.thumbnails import turn_upright
from s3_jax.messages import visible
from s3_jax.named_classes.spaces import batch_rows, is_array

__all__ = ["embed_pictures", "is_embedded"]

_Loaded = tuple[UInt8[np.ndarray, "rows cols 3"] | None, str]


def is_embedded(images: Any) -> bool:
  """Tells embeddings, vectors of floating-point numbers, from pictures."""
  if not is_array(images):
    return False
  array = np.asarray(images)
  return array.ndim in (1, 2) and jnp.issubdtype(array.dtype, jnp.floating)


def embed_pictures(
  clip: Clip,
  images: Any,
  *,
  batch_size: int,
  strict: bool,
  exif_orientation: bool,
  max_pixels: int,
  dtype: str,
) -> tuple[Float32[np.ndarray, "images dim"], list[str]]:
  """Embeds pictures in their order; of one that is bad zeros and the reason."""
  if batch_size < 1:
    raise ValueError(f"`batch_size` must be >= 1, got {batch_size}.")
  pictures = _listed(images)
  problems = [""] * len(pictures)
  load = functools.partial(
    _load, clip=clip, exif_orientation=exif_orientation, max_pixels=max_pixels
  )
  rows = batch_rows(len(pictures), batch_size)
  side = clip.spec.crop_size
  loaded = ahead(load, pictures, threads=decoding_threads(), most=2 * rows)
  pieces = []
  batch = np.zeros((rows, side, side, 3), np.uint8)
  for number, (pixels, problem) in enumerate(loaded):
    if problem and strict:
      raise ValueError(
        f"`images` must be usable, got image {number},"
        f" {_shown(pictures[number])}: {problem}; strict=False lists such"
        " images."
      )
    problems[number] = problem
    batch[number % rows] = 0 if pixels is None else pixels
    if number % rows == rows - 1 or number == len(pictures) - 1:
      # Left on the device, which works while the next batch is decoded.
      pieces.append(embed_images(clip.spec, clip.params, batch, dtype=dtype))
      batch = np.zeros_like(batch)
  embeddings = np.zeros((len(pieces) * rows, clip.spec.embed_dim), np.float32)
  for start, piece in enumerate(pieces):
    embeddings[start * rows : (start + 1) * rows] = np.asarray(piece)
  embeddings = embeddings[: len(pictures)]
  embeddings[[bool(problem) for problem in problems]] = 0
  return embeddings, problems


def _listed(images: Any) -> Sequence[Any]:
  """Makes a list of pictures of one or several."""
  if isinstance(images, str | os.PathLike | Image.Image):
    return [images]
  if is_array(images) and len(images.shape) in (2, 3):
    return [images]  # the pixels of one
  if not isinstance(images, Iterable):
    raise ValueError(
      "`images` must be paths, PIL images, arrays u8[rows, cols, 3] or"
      f" embeddings f32[images, dim], got {type(images).__name__}."
    )
  return list(images)


def _load(
  picture: Any, *, clip: Clip, exif_orientation: bool, max_pixels: int
) -> _Loaded:
  """Prepares one picture, or says why it cannot be used."""
  if isinstance(picture, str | os.PathLike):
    path = os.fspath(picture)
    if "\0" in path:  # which no system takes
      return None, "a path must not hold a NUL character"
    if os.path.isdir(path):
      raise ValueError(
        f"`images` must be files, got the folder {visible(path)!r}: give"
        " sorted(pathlib.Path(FOLDER).glob('*.jpg')) or the like."
      )
    loaded = load_image(
      path,
      clip.preprocess,
      max_pixels=max_pixels,
      thumbnail=False,
      exif_orientation=exif_orientation,
    )
    return loaded.pixels, loaded.problem
  is_image = isinstance(picture, Image.Image)
  image = picture if is_image else _picture(picture)
  if not (image.width and image.height):
    return None, f"{image.width} x {image.height} pixels"
  try:
    if is_image and exif_orientation:
      image = turn_upright(image)
    return clip.preprocess(image), ""
  # Of a file that PIL reads only now, or what `preprocess` cannot take.
  except (OSError, ValueError, MemoryError) as error:
    return None, why_bad(error)[0]


def _picture(pixels: Any) -> Image.Image:
  """Makes a PIL image of pixels."""
  if not is_array(pixels):
    raise ValueError(
      "`images` must be paths, PIL images, arrays u8[rows, cols, 3] or"
      f" embeddings f32[images, dim], got {type(pixels).__name__} among them."
    )
  array = np.asarray(pixels)
  grey = array.ndim == 2 or (array.ndim == 3 and array.shape[2] == 1)
  colour = array.ndim == 3 and array.shape[2] in (3, 4)
  if array.dtype != np.uint8 or not (grey or colour) or not array.size:
    raise ValueError(
      "`images` must have pixels u8[rows, cols, 3], 0 to 255, got"
      f" {array.dtype}{list(array.shape)}: scale them, and put the channels"
      " last."
    )
  return Image.fromarray(array[..., 0] if grey and array.ndim == 3 else array)


def _shown(picture: Any) -> str:
  if isinstance(picture, str | os.PathLike):
    return visible(os.fspath(picture))
  return type(picture).__name__
