"""The directions in which the texts of all classes differ most, for STS."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from s3_jax.point_to_space.streaming import whole_number

_MIN_SINGULAR_VALUE = 1e-6
"""Of the largest: a direction with less is rounding of float32."""


def spectral_directions(
  classifier: Float[Array | np.ndarray, "classes dim"],
  *,
  rank: int | None = None,
) -> Float[Array, "directions dim"]:
  """Finds the top right singular vectors of a classifier's rows.

  The rows are not centred, so the first direction is close to their mean. Rows
  of zeros, of classes without vertices, are left out. It runs on the host, in
  float64, once for a set of classes.

  Args:
    classifier: one unit row a class; of spaces, `center_space(...).points[:,
      0]`.
    rank: number of directions, at least 1; None counts the singular values
      above the threshold of Gavish and Donoho for noise of unknown size,
      `omega(beta)` times their median with `beta <= 1` the ratio of the sides
      and `omega(b) = 0.56 b^3 - 0.95 b^2 + 1.82 b + 1.43`; at least 1.

  Returns:
    Orthonormal rows, the largest singular value first, at most as many as
    singular values above 1e-6 of the largest. Their signs are arbitrary.

  Raises:
    ValueError: `rank` is no whole number >= 1, or `classifier` is not finite.

  References:
    STS (Dafnis and Metaxas, arXiv 2511.09809); the threshold, with the
    polynomial for omega, is Gavish and Donoho's (arXiv 1305.5870). What is left
    out is ours.
  """
  if rank is not None:
    rank = whole_number("rank", rank)
  dtype = jnp.promote_types(jnp.asarray(classifier).dtype, jnp.float32)
  rows = np.asarray(classifier, np.float64)
  if not np.isfinite(rows).all():
    raise ValueError(
      "`classifier` must be finite, got NaN or infinity; leave that class out."
    )
  rows = rows[np.any(rows != 0, axis=1)]
  if len(rows) == 0:
    return jnp.zeros((0, rows.shape[1]), dtype)
  _, values, right = np.linalg.svd(rows, full_matrices=False)
  if rank is None:
    beta = min(rows.shape) / max(rows.shape)
    omega = 0.56 * beta**3 - 0.95 * beta**2 + 1.82 * beta + 1.43
    rank = max(1, int(np.sum(values > omega * np.median(values))))
  real = int(np.sum(values > _MIN_SINGULAR_VALUE * values[0]))
  return jnp.asarray(right[: min(rank, real)], dtype)
