"""Options of the metrics, their limits and what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from s3_jax.point_to_space import POINT_TO_SPACE
from s3_jax.space import build_space
from tests.point_to_space.oracles import (
  core,
  images,
  make_space,
  plain_scores,
  unit,
)

WITHOUT_COMPLEX = sorted(POINT_TO_SPACE.keys() - {"complex", "simplex_center"})


def test_temperature_goes_from_the_nearest_point_to_the_center():
  space, x = make_space(9, 6), images(5)
  soft = POINT_TO_SPACE["soft_local_center"]
  for temperature, limit, tolerance in (
    (1e-5, "nearest_point", 1e-4),
    (1e5, "center", 1e-4),
  ):
    np.testing.assert_allclose(
      soft(x, space, temperature=temperature),
      POINT_TO_SPACE[limit](x, space),
      atol=tolerance,
    )


def test_temperature_may_be_traced_and_differentiated():
  space, x = make_space(4, 5), images(3)
  soft = POINT_TO_SPACE["soft_local_center"]

  def total(temperature):
    return soft(x, space, temperature=temperature).sum()

  slope = jax.jit(jax.grad(total))(jnp.float32(0.2))
  difference = (total(0.21) - total(0.19)) / 0.02
  np.testing.assert_allclose(slope, difference, rtol=2e-2)


@pytest.mark.parametrize("rank", [1, 2, 5, 100])
def test_rank_bounds_the_subspace(rank):
  space, x = make_space(6, 7), images(4)
  scores = POINT_TO_SPACE["subspace"](x, space, rank=rank)
  for c in range(6):
    for i in range(4):
      (expected,) = plain_scores("subspace", x[i], space, c, rank=rank)
      assert scores[i, c] == pytest.approx(expected, abs=3e-5)


@settings(max_examples=15, deadline=None, derandomize=True)
@given(seed=st.integers(0, 2**32 - 1))
def test_another_vertex_never_moves_a_set_away(seed):
  rng = np.random.default_rng(seed)
  points, x = unit(rng, 4, 5, 6), unit(rng, 6, 6)
  few, all_ = np.arange(5) < 4, np.ones(5, bool)
  smaller, larger = (
    build_space(points, np.broadcast_to(m, (4, 5)), scale=None, keep="all")
    for m in (few, all_)
  )
  for name in ("nearest_point", "subspace"):
    metric = POINT_TO_SPACE[name]
    assert np.all(metric(x, larger) >= metric(x, smaller) - 1e-5), name


@settings(max_examples=10, deadline=None, derandomize=True)
@given(seed=st.integers(0, 2**32 - 1))
def test_classes_and_images_are_independent(seed):
  rng = np.random.default_rng(seed)
  space = make_space(5, 4, seed=seed)
  order, x = rng.permutation(5), unit(rng, 6, 8)
  moved = jax.tree.map(lambda part: part[order], space)
  for metric in POINT_TO_SPACE.values():
    scores = np.asarray(metric(x, space))
    np.testing.assert_allclose(metric(x, moved), scores[:, order], atol=2e-6)
    np.testing.assert_allclose(metric(x[::-1], space), scores[::-1], atol=2e-6)


def test_metrics_of_simplices_say_how_to_get_a_complex():
  points, mask = unit(np.random.default_rng(0), 3, 4, 8), np.ones((3, 4), bool)
  space = build_space(points, mask, scale="gap")
  for name in WITHOUT_COMPLEX:
    assert POINT_TO_SPACE[name](images(2), space).shape == (2, 3)
  for name in ("complex", "simplex_center"):
    with pytest.raises(ValueError, match=r"max_simplices.*attach_complex"):
      POINT_TO_SPACE[name](images(2), space)


@pytest.mark.parametrize(
  ("name", "options", "message"),
  [
    ("local_center", {"neighbors": 0}, "`neighbors` must be a whole number"),
    ("local_center", {"neighbors": True}, "`neighbors` must be a whole number"),
    ("subspace", {"rank": 0}, "`rank` must be a whole number"),
    ("soft_local_center", {"temperature": 0.0}, "`temperature` must be > 0"),
    ("soft_local_center", {"temperature": -1}, "`temperature` must be > 0"),
    (
      "soft_local_center",
      {"temperature": float("nan")},
      "`temperature` must be > 0",
    ),
  ],
)
def test_options_out_of_range_are_named(name, options, message):
  with pytest.raises(ValueError, match=message):
    POINT_TO_SPACE[name](images(2), make_space(2, 3), **options)


def test_ties_at_the_last_neighbour_go_to_the_lower_vertex():
  # Vertices 1 and 2 are equally near; their means with vertex 0 are not.
  points = np.array([[[1, 0, 0], [0.6, 0.8, 0], [0.6, 0, 0.8]]], np.float32)
  space = build_space(points, np.ones((1, 3), bool), scale=None)
  swapped = build_space(points[:, [0, 2, 1]], np.ones((1, 3), bool), scale=None)
  x = jnp.array([1.0, 0.0, 0.0])
  local = POINT_TO_SPACE["local_center"]
  for each, other in ((space, 1), (swapped, 2)):
    score = local(x, each, neighbors=2)
    mean = points[0, 0] + points[0, other]
    np.testing.assert_allclose(
      score, [mean[0] / np.linalg.norm(mean)], atol=1e-6
    )
  # The gradient tells them apart: it points to the vertex that was taken.
  slopes = jax.jacrev(lambda x: local(x, space, neighbors=2))(x)
  assert slopes[0, 1] > 0.1 > abs(float(slopes[0, 2]))


def test_more_classes_than_fit_at_once_are_streamed():
  """21,000 classes of 64 texts need no more memory than 20 do."""
  few = make_space(20, 16, dim=4, scale=0.8, max_simplices=None)
  many = jax.tree.map(lambda x: jnp.tile(x, (60,) + (1,) * (x.ndim - 1)), few)
  x = images(512, dim=4)
  for name in ("local_center", "soft_local_center", "convex_hull", "complex"):
    metric = POINT_TO_SPACE[name]
    programs = [
      jax.jit(metric).lower(x, space).compile() for space in (few, many)
    ]
    small, large = (
      program.memory_analysis().temp_size_in_bytes for program in programs
    )
    result = 512 * len(many.mask) * 4
    assert large <= small + 3 * result, name
    assert large - 3 * result <= 40 << 20, name
    scores = np.asarray(metric(x[:9], many))
    np.testing.assert_allclose(
      scores, np.tile(metric(x[:9], few), (1, 60)), atol=2e-6
    )


def test_real_embeddings(reference):
  """Names of LVIS categories as CLIP embeds them, in float64 and float32."""
  raw = np.load(reference / "clip_vitb32_text_lvis.npy").astype(np.float32)
  raw /= np.linalg.norm(raw, axis=1, keepdims=True)
  gram = raw @ raw.T
  nearest = np.argsort(-gram[::120], axis=1)[:, :10]
  points = raw[nearest]
  space = make_space(
    len(points),
    10,
    dim=512,
    points=points,
    mask=np.ones(points.shape[:2], bool),
    scale=0.75,  # no edge is just as long: its rounding would decide
    max_simplices=None,
  )
  x = raw[7::200]
  for name, metric in POINT_TO_SPACE.items():
    options = {"neighbors": 3} if name == "local_center" else {}
    scores = np.asarray(metric(x, space, **options))
    for c in range(len(points)):
      assert len(core(space, c)[0]) == 10
      for i in range(len(x)):
        expected = plain_scores(name, x[i], space, c)
        error = min(abs(score - float(scores[i, c])) for score in expected)
        assert error <= 2e-5, (name, i, c)
