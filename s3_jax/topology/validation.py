"""What the public functions of topology ask of their arguments.

Shapes are checked always; values only where they are known, which they are not
under `jit` and `vmap`.
"""

import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

MAX_SIMPLICES = 2**22
"""Most simplices of one cloud, which bounds the memory of an enumeration."""

_LARGEST = np.finfo(np.float32).max

MAX_ELEMENTS = 2**31 - 1
"""Most entries of one array, so that an int32 can count them."""


def check_distances(distances, mask) -> None:
  """Checks the distances of one cloud or of a batch of clouds.

  Only pairs of real vertices count; rows and columns of padding may hold
  anything.

  Args:
    distances: distances, [..., vertices, vertices].
    mask: which vertices are real, [..., vertices].

  Raises:
    ValueError: shapes or the mask's dtype are wrong, or a distance is NaN,
      infinite or negative, the diagonal is not zero, or distances are not
      exactly symmetric.
  """
  if distances.ndim < 2 or distances.shape[-1] != distances.shape[-2]:
    raise ValueError(
      "`distances` must be square, [vertices, vertices], got shape "
      f"{list(distances.shape)}."
    )
  if mask.shape != distances.shape[:-1]:
    raise ValueError(
      "`distances` and `mask` must agree on vertices, got shapes "
      f"{list(distances.shape)} and {list(mask.shape)}."
    )
  if mask.dtype != bool:
    raise ValueError(
      f"`mask` must be bool, True = real vertex, got {mask.dtype}; "
      "compare it with 0."
    )
  if isinstance(distances, Tracer) or isinstance(mask, Tracer):
    return
  values = np.asarray(distances)
  turned = np.swapaxes(values, -1, -2)
  # Padding included, which settles most arrays in one go. NaN compares false.
  sound = (values >= 0) & (values == turned) & (values <= _LARGEST)
  diagonal = np.diagonal(values, axis1=-2, axis2=-1)
  if not (sound.all() and not diagonal.any()):
    _check_pairs(values, turned, np.asarray(mask))


def _check_pairs(values, turned, mask):
  """Names the first rule that pairs of real vertices break, and the pair."""
  pairs = mask[..., :, None] & mask[..., None, :]
  on_diagonal = np.eye(mask.shape[-1], dtype=bool)
  for is_wrong, rule, advice in (
    (
      ~(np.abs(values) <= _LARGEST),
      "be finite float32 numbers",
      "mask that vertex out",
    ),
    (values < 0, "be >= 0", "use distances rather than similarities"),
    (
      (values != 0) & on_diagonal,
      "be 0 on the diagonal",
      "set the diagonal to 0",
    ),
    (
      values != turned,
      "be exactly symmetric",
      "use their mean with their transpose",
    ),
  ):
    wrong = np.argwhere(is_wrong & pairs)
    if wrong.size:
      *cloud, row, column = wrong[0].tolist()
      location = f"vertices {row} and {column}"
      if cloud:
        location += f" of cloud {cloud[0] if len(cloud) == 1 else cloud}"
      got = f"{values[tuple(wrong[0])]}"
      if "symmetric" in rule:
        got += f" and {turned[tuple(wrong[0])]}"
      raise ValueError(
        f"`distances` must {rule}, got {got} for {location}; {advice}."
      )


def check_scale(max_edge_length) -> None:
  """Checks the scale of a complex, or of each one of a batch.

  Args:
    max_edge_length: a number or an array of numbers.

  Raises:
    ValueError: a number is negative or NaN.
  """
  if isinstance(max_edge_length, Tracer):
    return
  values = np.asarray(max_edge_length)
  is_wrong = ~(values >= 0)
  if is_wrong.any():
    raise ValueError(
      f"`max_edge_length` must be >= 0, got {values[is_wrong].flat[0]}; "
      "0 connects equal points only."
    )


def check_sizes(vertices, max_dimension, max_simplices=None) -> None:
  """Checks the sizes of a complex before any memory is used.

  Args:
    vertices: number of vertices of a cloud, padding included.
    max_dimension: highest dimension of a simplex.
    max_simplices: number of simplices that are stored, None for as many as
      there are.

  Raises:
    ValueError: a size is not a whole number in its range, or an array of this
      size would have more entries than an int32 can count.
  """
  _check_whole("max_dimension", max_dimension, 0)
  if max_simplices is None:
    max_simplices = 1
  _check_whole("max_simplices", max_simplices, 1)
  if max_simplices > MAX_SIMPLICES:
    raise ValueError(
      f"`max_simplices` must be at most {MAX_SIMPLICES}, got "
      f"{max_simplices}; lower `max_edge_length` or `max_dimension` until "
      "fewer will do."
    )
  entries = max_simplices * (max(int(max_dimension), vertices) + 1)
  if entries > MAX_ELEMENTS:
    raise ValueError(
      "`max_simplices` times `max_dimension` + 1, or times vertices + 1, must "
      f"be at most {MAX_ELEMENTS}, got {max_simplices} simplices, dimension "
      f"{max_dimension} and {vertices} vertices; lower one of them."
    )


def _check_whole(name, value, least):
  is_whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
  if not is_whole or value < least:
    raise ValueError(
      f"`{name}` must be a whole number >= {least}, got {value!r}."
    )


def flush(distances, *, xp=jnp):
  """Rounds numbers too small for normal float32 to 0, and -0 to 0.

  XLA does so on some devices and numpy never does; the same complex has to come
  out of both.

  Args:
    distances: float32 numbers.
    xp: the array library, `jax.numpy` or `numpy`.

  Returns:
    The numbers, of the same shape.
  """
  tiny = np.finfo(np.float32).tiny
  return xp.where(xp.abs(distances) < tiny, np.float32(0), distances)
