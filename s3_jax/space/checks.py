"""What `build_space` accepts; every error names the value and what to do."""

import math
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Bool, Float

_NORM_TOLERANCE = 1e-3
"""Half-precision storage moves a unit norm by less than this."""

KEEP = ("largest", "label", "all")
"""The rules for the part of a class that is kept."""

_SHARES = {"quantile": "[0, 1]", "coverage": "(0, 1]"}
"""The scale rules with a number, and the range of it."""


class ScaleRule(NamedTuple):
  """A scale rule, read and checked."""

  name: str  # "gap", "quantile", "coverage", "number" or "last"
  values: Float[Array, " classes"]  # the rule's number for each class, or 0


def read_scale(scale: Any, classes: int) -> ScaleRule:
  """Reads the option `scale`.

  Args:
    scale: as given to `build_space`.
    classes: number of classes.

  Returns:
    The rule.

  Raises:
    ValueError: it is no scale rule, or its number is out of range.
  """
  if scale is None:
    return ScaleRule("last", jnp.zeros(classes, jnp.float32))
  if isinstance(scale, str) and scale == "gap":
    return ScaleRule("gap", jnp.zeros(classes, jnp.float32))
  is_pair = isinstance(scale, tuple) and len(scale) == 2
  if is_pair and isinstance(scale[0], str) and scale[0] in _SHARES:
    return _read_share(scale[0], scale[1], classes)
  if isinstance(scale, str | bool | tuple | list):
    raise ValueError(
      '`scale` must be "gap", ("quantile", q), ("coverage", p), a number, an '
      f"array of one number for each class, or None, got {scale!r}."
    )
  lengths = jnp.asarray(scale, jnp.float32)
  if lengths.shape not in ((), (classes,)):
    raise ValueError(
      f"`scale` must be one number or one for each of {classes} classes, got "
      f"shape {list(lengths.shape)}."
    )
  if not isinstance(lengths, Tracer):
    values = np.atleast_1d(np.asarray(lengths))
    wrong = np.flatnonzero(~(np.isfinite(values) & (values >= 0)))
    if wrong.size:
      raise ValueError(
        "`scale` must be finite and >= 0, got "
        f"{values[wrong[0]]}; use None to prune nothing."
      )
  return ScaleRule("number", jnp.broadcast_to(lengths, (classes,)))


def _read_share(name, share, classes):
  is_number = isinstance(share, float | int | np.number | np.ndarray | Array)
  is_share = is_number and not isinstance(share, bool) and not np.ndim(share)
  if is_share and not isinstance(share, Tracer):
    is_share = 0 <= share <= 1 and (share > 0 or name == "quantile")
  if not is_share:
    raise ValueError(
      f'`scale` must be ("{name}", share) with a share in {_SHARES[name]}, '
      f"got {share!r}."
    )
  share = jnp.asarray(share, jnp.float32)
  return ScaleRule(name, jnp.broadcast_to(share, (classes,)))


def check_options(keep: str, min_fraction: Any, min_gap: Any) -> None:
  """Checks the words and shares among the other options of `build_space`.

  Args:
    keep: a word of KEEP.
    min_fraction: in (0, 1].
    min_gap: finite, at least 0.

  Raises:
    ValueError: one of them breaks its rule.
  """
  if keep not in KEEP:
    known = ", ".join(f'"{word}"' for word in KEEP)
    raise ValueError(f"`keep` must be one of {known}, got {keep!r}.")
  if not isinstance(min_fraction, Tracer) and not (0 < min_fraction <= 1):
    raise ValueError(
      f"`min_fraction` must be in (0, 1], got {min_fraction}; "
      "it is the share of a class's texts that a cut must keep together."
    )
  if not isinstance(min_gap, Tracer) and not (0 <= min_gap < math.inf):
    raise ValueError(
      f"`min_gap` must be finite and >= 0, got {min_gap}; "
      "it is a share of the scale that connects a class."
    )


def check_shapes(embeddings: Any, mask: Any) -> None:
  """Checks the shapes of the arrays that `build_space` takes.

  Args:
    embeddings: `[classes, synonyms, dim]`.
    mask: bool, `[classes, synonyms]`.

  Raises:
    ValueError: they disagree.
  """
  for name, array in (("embeddings", embeddings), ("mask", mask)):
    if not hasattr(array, "dtype"):
      raise ValueError(
        f"`{name}` must be an array, got {type(array).__name__}; embeddings are"
        " f32[classes, synonyms, dim], and `mask` is bool[classes, synonyms],"
        " True = real text: np.ones(shape, bool) where all are."
      )
  if embeddings.ndim != 3:
    raise ValueError(
      "`embeddings` must have shape [classes, synonyms, dim], got "
      f"{list(embeddings.shape)}."
    )
  check_mask(mask, embeddings.shape[:2], "embeddings")


def check_mask(mask: Any, shape: tuple[int, ...], beside: str) -> None:
  """Checks a mask of texts.

  Args:
    mask: bool.
    shape: the one it must have.
    beside: name of the argument that has this shape.

  Raises:
    ValueError: its shape or type is another.
  """
  check_beside(beside, shape, mask)
  if mask.dtype != bool:
    raise ValueError(
      f"`mask` must be bool, True = real text, got {mask.dtype}; "
      "compare it with 0."
    )


def check_beside(name: str, shape: tuple[int, ...], mask: Any) -> None:
  """Checks that an array lies beside a mask of texts.

  Args:
    name: of the argument.
    shape: its shape, or the part of it that the mask must have.
    mask: of texts.

  Raises:
    ValueError: the mask has another shape.
  """
  if mask.shape != shape:
    raise ValueError(
      f"`{name}` and `mask` must agree on [classes, synonyms], got "
      f"{list(shape)} and {list(mask.shape)}."
    )


def check_values(
  embeddings: Float[Array | np.ndarray, "classes synonyms dim"],
  mask: Bool[Array | np.ndarray, "classes synonyms"],
  keep: str,
) -> None:
  """Checks every real row where values are known; names the first wrong one.

  Args:
    embeddings: unit vectors.
    mask: which of them are real.
    keep: with "label", text 0 of every class that has texts must be real.

  Raises:
    ValueError: a row is not finite, zero or not of unit norm, or the class
      name that `keep` asks for is missing.
  """
  if isinstance(embeddings, Tracer) or isinstance(mask, Tracer):
    return
  rows, real = np.asarray(embeddings, np.float32), np.asarray(mask)
  if keep == "label" and real.shape[1]:
    nameless = np.flatnonzero(real.any(axis=1) & ~real[:, 0])
    if nameless.size:
      raise ValueError(
        '`mask` must hold text 0, the class name, for keep="label", got class '
        f"{nameless[0]} without it; put the class name first."
      )
  with np.errstate(over="ignore", invalid="ignore"):
    norms = np.sqrt(np.einsum("cmd,cmd->cm", rows, rows))
  is_unit = np.abs(norms - 1) <= _NORM_TOLERANCE
  wrong = np.argwhere(real & ~is_unit)
  if not wrong.size:
    return
  index, text = wrong[0]
  location = f"class {index}, text {text}"
  if not np.isfinite(rows[index, text]).all():
    raise ValueError(
      f"`embeddings` must be finite, got NaN or infinity in {location}; "
      "embed that text again or mask it out."
    )
  if not rows[index, text].any():
    raise ValueError(
      f"`embeddings` must have unit norm, got the zero vector in {location}; "
      "mask it out if it is padding."
    )
  raise ValueError(
    f"`embeddings` must have unit norm, got norm {norms[index, text]:.6g} in "
    f"{location}; use `l2_normalize`."
  )
