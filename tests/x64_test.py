"""A process with 64 bits: every result is float32 all the same."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import s3_jax
from s3_jax.evaluation.ranking import (
  confidences,
  merge_rankings,
  rank_nothing,
  rank_scores,
)

SCALE = 3.0
NARROW = {"float32", "int32", "uint32", "bool"}


def unit(rng, *shape):
  points = rng.normal(size=shape).astype(np.float32)
  return points / np.linalg.norm(points, axis=-1, keepdims=True)


@pytest.fixture(scope="module")
def setting():
  rng = np.random.default_rng(0)
  points, mask = unit(rng, 4, 5, 16), np.ones((4, 5), bool)
  mask[1, 3:] = False
  points[2, 1] = points[0, 1]  # shared
  return points, mask, unit(rng, 3, 16), unit(rng, 6, 16)


def ranked(scores):
  whole = rank_scores(
    jnp.asarray(scores), count=2, logit_scale=np.float32(SCALE)
  )
  return whole, merge_rankings(rank_nothing(3, count=2), whole)


BUILDS: Any = (
  {"scale": None, "keep": "all"},
  {"scale": 0.9},
  {"scale": "gap", "min_gap": 0.05},
  {"scale": ("quantile", 0.5)},
  {"scale": ("coverage", 0.8)},
)

CALLS = {
  "build_space": lambda p, m, x, v: [
    s3_jax.build_space(p, m, **options) for options in BUILDS
  ],
  "attach_complex": lambda p, m, x, v: s3_jax.attach_complex(
    s3_jax.build_space(p, m)
  ),
  "exclude_shared": lambda p, m, x, v: s3_jax.exclude_shared(
    s3_jax.build_space(p, m)
  ),
  "chordal_distances": lambda p, m, x, v: s3_jax.chordal_distances(
    s3_jax.gram_matrix(jnp.asarray(p))
  ),
  "h0_persistence": lambda p, m, x, v: s3_jax.h0_persistence(
    distances(p), jnp.asarray(m[0])
  ),
  "persistence_pairs": lambda p, m, x, v: s3_jax.persistence_pairs(
    distances(p), jnp.asarray(m[0])
  ),
  "connected_components": lambda p, m, x, v: s3_jax.connected_components(
    distances(p), jnp.asarray(m[0]), 0.8
  ),
  "rips_complex": lambda p, m, x, v: s3_jax.rips_complex(
    distances(p), jnp.asarray(m[0]), 1.2, max_dimension=2, max_simplices=64
  ),
  "adapt_space ts3": lambda p, m, x, v: s3_jax.adapt_space(
    v, s3_jax.build_space(p, m), SCALE
  ),
  "adapt_space tps": lambda p, m, x, v: s3_jax.adapt_space(
    v, s3_jax.build_space(p, m), SCALE, method="tps"
  ),
  "adapted_scores": lambda p, m, x, v: s3_jax.adapted_scores(
    v, s3_jax.build_space(p, m), SCALE, steps=2
  ),
  "average_views": lambda p, m, x, v: s3_jax.average_views(v),
  "robust_mean_shift": lambda p, m, x, v: s3_jax.robust_mean_shift(
    v, s3_jax.name_classifier(p[:, 0]), SCALE
  ),
  "majority_vote": lambda p, m, x, v: s3_jax.majority_vote(v),
  "spectral_directions": lambda p, m, x, v: s3_jax.spectral_directions(p[:, 0]),
  "project_to_hull": lambda p, m, x, v: s3_jax.project_to_hull(
    x, s3_jax.build_space(p, m)
  ),
  "project_to_complex": lambda p, m, x, v: s3_jax.project_to_complex(
    x, s3_jax.attach_complex(s3_jax.build_space(p, m))
  ),
  "no class": lambda p, m, x, v: s3_jax.project_to_hull(
    x, s3_jax.build_space(p[:0], m[:0])
  ),
  "zero_shot": lambda p, m, x, v: (
    s3_jax.zero_shot_scores(x, s3_jax.template_classifier(p)),
    s3_jax.random_synonym_classifier(jax.random.key(0), p, m),
    s3_jax.template_mean(jnp.asarray(p)),
    s3_jax.l2_normalize(jnp.asarray(p)),
  ),
  "ranking": lambda p, m, x, v: ranked(x @ p[:, 0].T),
  "confidences": lambda p, m, x, v: confidences(ranked(x @ p[:, 0].T)[1]),
  **{
    name: lambda p, m, x, v, name=name: s3_jax.POINT_TO_SPACE[name](
      x, s3_jax.attach_complex(s3_jax.build_space(p, m))
    )
    for name in s3_jax.POINT_TO_SPACE
  },
}


def distances(points):
  return s3_jax.chordal_distances(s3_jax.gram_matrix(jnp.asarray(points[0])))


@pytest.mark.parametrize("name", CALLS)
def test_results_have_32_bits_and_are_the_same(setting, name):
  expected = CALLS[name](*setting)
  with jax.enable_x64(True):
    found = CALLS[name](*setting)
  for ours, wide in zip(
    jax.tree.leaves(expected), jax.tree.leaves(found), strict=True
  ):
    if jnp.issubdtype(ours.dtype, jax.dtypes.prng_key):
      continue
    assert wide.dtype == ours.dtype and str(wide.dtype) in NARROW
    np.testing.assert_allclose(ours, wide, atol=2e-6)
