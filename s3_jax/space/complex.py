"""The Rips complexes of a space, listed once on the host."""

import jax
import numpy as np
from jax.core import Tracer

from s3_jax import topology
from s3_jax.embeddings import chordal_distances
from s3_jax.space.build import SynonymousSpace


def attach_complex(
  space: SynonymousSpace,
  *,
  max_dimension: int = 2,
  max_simplices: int | None = None,
) -> SynonymousSpace:
  """Attaches the Vietoris-Rips complex of every core, listed on the host.

  The complex of a class has every set of at most `max_dimension + 1` core
  vertices whose longest edge is `<= max_edge_length` of the class. It is the
  one that `build_space(..., max_simplices=...)` builds under jit, only faster
  and with the capacity that the data needs; none is ever cut. An attached
  complex is replaced.

  Memory on the host: as much as the Gram matrices, and the complexes.

  Args:
    space: the spaces, with their final cores: `exclude_shared` comes before.
    max_dimension: highest dimension of a simplex; 2 has triangles.
    max_simplices: number of simplices stored for each class; None takes the
      largest number in the data, rounded up by at most a quarter, 8 at least.

  Returns:
    The spaces with `simplices`.

  Raises:
    ValueError: the space is traced, a size is out of range, a class has more
      than `max_simplices` simplices, or more than memory should hold.

  References:
    S3 (arXiv 2412.04925) builds a Vietoris-Rips complex; its order and form are
    ours.
  """
  if isinstance(space.gram, Tracer):
    raise ValueError(
      "`space` must be known on the host, got a traced one; under jit give "
      "`build_space` a number of `max_simplices`."
    )
  # Through the very function that built the space: an edge as long as the scale
  # must not fall to rounding.
  distances = np.asarray(_distances(space.gram))
  core, scales = np.asarray(space.mask), np.asarray(space.max_edge_length)
  complexes = topology.enumerate_rips(
    distances,
    core,
    scales,
    max_dimension=max_dimension,
    max_simplices=max_simplices,
  )
  overflow = np.flatnonzero(np.asarray(complexes.overflow))
  if overflow.size:
    needed = topology.simplex_capacity(
      distances[overflow],
      core[overflow],
      scales[overflow],
      max_dimension=max_dimension,
    )
    raise ValueError(
      f"`max_simplices` must hold the complex of every class, got "
      f"{max_simplices}, too few for {overflow.size} classes, the first of "
      f"them class {overflow[0]}; {needed} holds them all, as does None."
    )
  return space._replace(simplices=complexes)


_distances = jax.jit(chordal_distances)
