"""What is said to a caller who gives something else than an array."""

import functools
import inspect
import os
from collections.abc import Callable, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from PIL import Image

_MAKERS = {
  "images": (
    "make it with `np.stack([clip.preprocess(image) for image in images])`, of"
    " PIL images"
  ),
  "token_ids": 'make it with `clip.tokenize(["a cat"])`',
}


def takes_arrays(name: str) -> Callable[[Any], Any]:
  """Makes a compiled function refuse what is no array of its kind.

  Without it the caller reads of a missing attribute or of JAX's types. Pixels
  that are whole numbers of another type than uint8 would be taken for
  normalised ones.
  """

  def decorate(compiled: Any) -> Any:
    signature = inspect.signature(compiled)

    @functools.wraps(compiled)
    def call(*args: Any, **options: Any) -> Any:
      bound = signature.bind(*args, **options)
      check_array(name, bound.arguments[name])
      return compiled(*args, **options)

    setattr(call, "lower", compiled.lower)  # noqa: B010
    return call

  return decorate


def check_array(name: str, value: Any) -> None:
  """Refuses what is no array of images or of token ids."""
  axes = {"images": 4, "token_ids": 2}[name]
  if not hasattr(value, "shape") or not hasattr(value, "dtype"):
    raise ValueError(
      f"`{name}` must be an array, got {describe(value)}; {_MAKERS[name]}."
    )
  if value.ndim != axes:
    raise ValueError(
      f"`{name}` must have {axes} axes, got {value.ndim}; `{name}[None]` makes"
      " a batch of one."
    )
  whole = jnp.issubdtype(value.dtype, jnp.integer)
  if name == "token_ids" and not whole:
    raise ValueError(
      f"`token_ids` must be whole numbers, got {value.dtype}; {_MAKERS[name]}."
    )
  floating = jnp.issubdtype(value.dtype, jnp.floating)
  if name == "images" and value.dtype != np.uint8 and not floating:
    raise ValueError(
      f"`images` must be uint8 pixels, or floats that are normalised already,"
      f" got {value.dtype}; use `images.astype(np.uint8)` for pixels from 0 to"
      " 255."
    )


def describe(value: Any) -> str:
  """Says in a few words what a caller gave."""
  if isinstance(value, str | os.PathLike):
    text = repr(os.fspath(value))
    kind = "the text or path" if isinstance(value, str) else "the path"
    return f"{kind} {text if len(text) <= 60 else text[:60] + '...'}"
  if isinstance(value, Image.Image):
    return f"a PIL image of {value.width} x {value.height} pixels"
  if isinstance(value, Sequence | set | dict):
    return f"a {type(value).__name__} of {len(value)}"
  return type(value).__name__
