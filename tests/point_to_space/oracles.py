"""Metrics of one point and one class in float64, by other means than ours."""

import itertools

import numpy as np
import scipy.optimize

from s3_jax.space import attach_complex, build_space

NEIGHBORS = 3
TEMPERATURE = 0.05


def unit(rng, *shape):
  x = rng.normal(size=shape)
  x /= np.linalg.norm(x, axis=-1, keepdims=True)
  return x.astype(np.float32)


def make_space(
  classes,
  synonyms,
  *,
  dim=8,
  seed=0,
  mask=None,
  points=None,
  scale=1.35,
  max_dimension=3,
  max_simplices: int | None = 128,
):
  """A space of random points with a complex; masks leave empty classes."""
  rng = np.random.default_rng(seed)
  if points is None:
    points = unit(rng, classes, synonyms, dim)
  if mask is None:
    mask = rng.random((classes, synonyms)) < rng.random((classes, 1)) * 1.3
  space = build_space(points, np.asarray(mask), scale=scale, keep="all")
  return attach_complex(
    space, max_dimension=max_dimension, max_simplices=max_simplices
  )


def images(*shape, dim=8, seed=9):
  return unit(np.random.default_rng(seed), *shape, dim)


def core(space, index):
  """The class's vertices, and its complex as tuples of places among them."""
  mask = np.asarray(space.mask[index])
  points = np.asarray(space.points[index], np.float64)[mask]
  position = np.cumsum(mask) - 1
  simplices = [
    tuple(int(position[v]) for v in row if v >= 0)
    for row in np.asarray(space.simplices.simplices[index])
    if row[0] >= 0
  ]
  return points, simplices


def _cosine(x, p):
  norm = np.linalg.norm(p)
  return x @ p / norm if norm > 1e-3 else -1.0


def project_hull(x, points):
  """Nearest point of a convex hull, by scipy's non-negative least squares."""
  rows = np.concatenate([(points - x).T, np.ones((1, len(points)))])
  weights, _ = scipy.optimize.nnls(rows, np.eye(len(rows))[-1])
  return weights @ points / weights.sum()


def project_complex(x, points, simplices):
  """Nearest point of a complex: of the hulls of all faces, not just some."""
  faces = {(i,) for i in range(len(points))}
  for simplex in simplices:
    for size in range(1, len(simplex) + 1):
      faces.update(itertools.combinations(simplex, size))
  nearest = [project_hull(x, points[list(face)]) for face in sorted(faces)]
  return min(nearest, key=lambda p: np.sum((x - p) ** 2))


def project_flat(x, points):
  """Projection on an affine hull, by singular values of its directions."""
  mean = points.mean(axis=0)
  _, values, rows = np.linalg.svd(points - mean, full_matrices=False)
  kept = values**2 > max(1e-5 * values[0] ** 2, 1e-6)
  return mean + rows[kept].T @ (rows[kept] @ (x - mean))


def condition(points, *, centred):
  """Ratio of the eigenvalues of a Gram matrix that the rank rule keeps."""
  if centred:
    points = points - points.mean(axis=0)
  values = np.linalg.svd(points, compute_uv=False) ** 2
  kept = values > max(1e-5 * values[0], 1e-6)
  return values[0] / values[kept].min() if kept.any() else 1.0


def _nearest_places(s, count):
  """The places of the `count` largest, for each order rounding may give."""
  order = sorted(range(len(s)), key=lambda i: (-s[i], i))
  choices = [order[:count]]
  if count < len(s) and s[order[count - 1]] - s[order[count]] < 1e-6:
    choices.append([*order[: count - 1], order[count]])
  return choices


def plain_scores(name, x, space, index, *, rank=None):
  """All scores of one point and one class that rounding may give."""
  points, simplices = core(space, index)
  if not len(points):
    return [-1.0]
  x = np.asarray(x, np.float64)
  s = points @ x
  if name == "nearest_point":
    return [s.max()]
  if name == "mean_similarity":
    return [s.mean()]
  if name == "center":
    return [_cosine(x, points.mean(axis=0))]
  if name == "local_center":
    choices = _nearest_places(s, min(NEIGHBORS, len(s)))
    return [_cosine(x, points[c].mean(axis=0)) for c in choices]
  if name == "soft_local_center":
    weights = np.exp((s - s.max()) / TEMPERATURE)
    return [_cosine(x, weights @ points / weights.sum())]
  if name == "star_center":
    reach = float(space.max_edge_length[index])
    lengths = np.linalg.norm(points[:, None] - points[None], axis=-1)
    choices = [c[0] for c in _nearest_places(s, 1)]
    return [
      _cosine(x, points[lengths[c] <= reach].mean(axis=0)) for c in choices
    ]
  if name == "simplex_center":
    faces = [(i,) for i in range(len(points))] + simplices
    return [max(_cosine(x, points[list(f)].mean(axis=0)) for f in faces)]
  if name == "subspace":
    _, values, rows = np.linalg.svd(points, full_matrices=False)
    kept = values**2 > 1e-5 * values[0] ** 2
    kept &= np.arange(len(values)) < (rank or len(values))
    return [np.linalg.norm(rows[kept] @ x)]
  if name == "affine_hull":
    return [_cosine(x, project_flat(x, points))]
  if name == "convex_hull":
    return [_cosine(x, project_hull(x, points))]
  assert name == "complex"
  return [_cosine(x, project_complex(x, points, simplices))]
