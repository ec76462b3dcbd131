"""Point-to-space metrics: how close a point is to a class's space.

Every metric takes unit `embeddings` f32[..., dim] and a `SynonymousSpace` and
returns scores f32[..., classes] in cosine terms, larger = closer, in [-1, 1].
A class without vertices scores -1, and so does a nearest point or a mean of
squared norm below 1e-6; nothing is NaN.

Only similarities `s_i = <x, z_i>` and the Gram matrix `G` of the class enter:
the cosine of `x` with a mean of vertices of weights `w` is
`w.s / sqrt(w.(G w))`, so vectors of size dim are never gathered. Classes are
worked through in blocks, and large batches in chunks, which keeps the
similarities of a block in cache and bounds the memory; see `streaming`.

| name | the score is the cosine to |
|---|---|
| nearest_point | the most similar vertex |
| mean_similarity | each vertex, averaged |
| center | the mean of all vertices |
| local_center | the mean of the `neighbors` nearest vertices |
| soft_local_center | the mean weighted by a softmax of `temperature` |
| star_center | the mean of the nearest vertex and its neighbours |
| simplex_center | the nearest barycentre of a simplex |
| subspace | the projection on the vertices' span, at most `rank` of it |
| affine_hull | the projection on the vertices' affine hull |
| convex_hull | the nearest point of the vertices' convex hull |
| complex | the nearest point of the complex |
"""

from collections.abc import Callable, Mapping

from jaxtyping import Array, Float

from s3_jax.point_to_space.averages import (
  point_to_center,
  point_to_mean_similarity,
  point_to_nearest_point,
)
from s3_jax.point_to_space.complexes import (
  point_to_complex,
  point_to_simplex_center,
  project_to_complex,
)
from s3_jax.point_to_space.flats import point_to_affine_hull, point_to_subspace
from s3_jax.point_to_space.hulls import point_to_convex_hull, project_to_hull
from s3_jax.point_to_space.local_centers import (
  point_to_local_center,
  point_to_soft_local_center,
  point_to_star_center,
)
from s3_jax.point_to_space.streaming import Projection

POINT_TO_SPACE: Mapping[str, Callable[..., Float[Array, "..."]]] = {
  "nearest_point": point_to_nearest_point,
  "mean_similarity": point_to_mean_similarity,
  "center": point_to_center,
  "local_center": point_to_local_center,
  "soft_local_center": point_to_soft_local_center,
  "star_center": point_to_star_center,
  "simplex_center": point_to_simplex_center,
  "subspace": point_to_subspace,
  "affine_hull": point_to_affine_hull,
  "convex_hull": point_to_convex_hull,
  "complex": point_to_complex,
}
"""The metrics by name; `POINT_TO_SPACE[name](embeddings, space, **options)`."""

__all__ = [
  "POINT_TO_SPACE",
  "Projection",
  "point_to_affine_hull",
  "point_to_center",
  "point_to_complex",
  "point_to_convex_hull",
  "point_to_local_center",
  "point_to_mean_similarity",
  "point_to_nearest_point",
  "point_to_simplex_center",
  "point_to_soft_local_center",
  "point_to_star_center",
  "point_to_subspace",
  "project_to_complex",
  "project_to_hull",
]
