"""Metrics in the fused kernels of large batches, which small ones never reach.

jaxlib 0.10.2 on CPU computes some jitted products of a matrix with a broadcast
from memory that it has not written; see `averages.center`.
"""

import numpy as np
import pytest

from s3_jax.point_to_space import POINT_TO_SPACE
from tests.point_to_space.oracles import (
  NEIGHBORS,
  images,
  make_space,
  plain_scores,
)

OPTIONS = {"local_center": {"neighbors": NEIGHBORS}}


def _large_batch_scores(name, x, points, mask, gram):
  """Scores of averages in float64, for all embeddings at once."""
  s = np.where(mask, np.einsum("bd,cmd->bcm", x, points), -np.inf)
  if name == "nearest_point":
    return np.where(mask.any(-1), s.max(-1), -1.0)
  if name in ("center", "mean_similarity"):
    weights = np.broadcast_to(mask, s.shape).astype(np.float64)
  elif name == "local_center":
    ranks = (-s).argsort(-1, kind="stable").argsort(-1, kind="stable")
    weights = (mask & (ranks < NEIGHBORS)).astype(np.float64)
  else:
    top = np.where(mask.any(-1), s.max(-1), 0.0)[..., None]
    weights = np.where(mask, np.exp((s - top) / 0.05), 0.0)
  weights /= np.maximum(weights.sum(-1, keepdims=True), 1e-9)
  total = (weights * np.where(mask, s, 0.0)).sum(-1)
  if name != "mean_similarity":
    spread = np.einsum("bci,cij,bcj->bc", weights, gram, weights, optimize=True)
    total = total / np.sqrt(np.maximum(spread, 1e-9))
  return np.where(mask.any(-1), total, -1.0)


@pytest.mark.parametrize("name", POINT_TO_SPACE)
def test_large_batches_match_float64(name):
  # Batches large enough for the fused kernels of XLA on CPU, which small ones
  # never reach, and memory that others have used before.
  space = make_space(20, 9, dim=32, max_simplices=256)
  x = images(900, dim=32)
  points = np.asarray(space.points, np.float64)
  mask = np.asarray(space.mask)
  averages = ("nearest_point", "mean_similarity", "center", "local_center")
  rows = range(900)
  if name in (*averages, "soft_local_center"):
    gram = np.einsum("cid,cjd->cij", points, points)
    expected = _large_batch_scores(name, x.astype(float), points, mask, gram)
  else:
    rows = [0, 449, 899]
    expected = [
      [plain_scores(name, x[i], space, c)[0] for c in range(20)] for i in rows
    ]
  scores = np.zeros(0)
  for _ in range(3):
    used = np.full(1 << 20, np.nan, np.float32)
    del used
    scores = POINT_TO_SPACE[name](x, space, **OPTIONS.get(name, {}))
    scores = np.asarray(scores)
    assert np.isfinite(scores).all()
    np.testing.assert_allclose(scores[rows], expected, atol=2e-5)
  # Each row alone gives what it gives in the batch.
  few = POINT_TO_SPACE[name](x[:300], space, **OPTIONS.get(name, {}))
  np.testing.assert_allclose(scores[:300], few, atol=1e-5)
