"""STS: directions against an SVD, and steps against torch in float64."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from s3_jax.adaptation import (
  adapt_in_chunks,
  adapt_space,
  adapted_scores,
  center_space,
  spectral_directions,
)
from s3_jax.point_to_space.local_centers import point_to_soft_local_center
from tests.adaptation import oracles

LOG_SCALE = oracles.LOG_SCALE
STS: dict[str, Any] = {
  "metric": "soft_local_center",
  "confident_fraction": 0.3,
  "shift": "shared",
}


def f32(x):
  return np.array(x, np.float32)


def rank_by_gavish_and_donoho(values, shape):
  beta = min(shape) / max(shape)
  omega = ((0.56 * beta - 0.95) * beta + 1.82) * beta + 1.43
  return sum(value > omega * np.median(values) for value in values)


def low_rank(rng, rows, columns, rank, noise):
  texts = rng.normal(size=(rows, rank)) @ rng.normal(size=(rank, columns))
  texts += noise * rng.normal(size=(rows, columns))
  return texts / np.linalg.norm(texts, axis=1, keepdims=True)


@pytest.mark.parametrize("shape", [(40, 16), (16, 40), (24, 24)])
def test_directions_are_eigenvectors_of_the_texts(shape):
  texts = low_rank(np.random.default_rng(0), *shape, 3, 0.05)
  with jax.enable_x64(True):
    found = np.asarray(spectral_directions(texts))
    every = np.asarray(spectral_directions(texts, rank=99))
  values, vectors = np.linalg.eigh(texts.T @ texts)
  order = np.argsort(-values)[: min(shape)]
  singular = np.sqrt(np.maximum(values[order], 0))
  assert len(found) == rank_by_gavish_and_donoho(singular, shape)
  assert 3 <= len(found) < min(shape)
  assert len(every) == min(shape)
  np.testing.assert_allclose(every @ every.T, np.eye(len(every)), atol=1e-12)
  for row, vector in zip(found, vectors[:, order].T, strict=False):
    assert abs(row @ vector) == pytest.approx(1, abs=1e-9)
  np.testing.assert_array_equal(every[: len(found)], found)


def test_directions_of_odd_classifiers():
  rng = np.random.default_rng(1)
  texts = f32(low_rank(rng, 9, 16, 9, 0.0))
  empty = np.concatenate([texts, np.zeros((5, 16), np.float32)])
  np.testing.assert_array_equal(
    spectral_directions(empty), spectral_directions(texts)
  )
  # Equal classes span less than their number; noise is no direction.
  twice = np.concatenate([texts, texts])
  assert spectral_directions(twice, rank=16).shape == (9, 16)
  (one,) = spectral_directions(texts[:1])
  assert abs(one @ texts[0]) == pytest.approx(1, abs=1e-6)
  assert spectral_directions(texts[:0]).shape == (0, 16)
  half = spectral_directions(jnp.asarray(texts, jnp.bfloat16))
  assert half.dtype == jnp.float32
  with pytest.raises(ValueError, match="`rank` must be a whole number >= 1"):
    spectral_directions(texts, rank=0)
  with pytest.raises(ValueError, match="`classifier` must be finite"):
    spectral_directions(np.full((2, 3), np.nan))


@pytest.mark.parametrize("predict", ["original", "confident", "all"])
@pytest.mark.parametrize(
  ("name", "steps"),
  [
    ("nearest_point", 1),
    ("soft_local_center", 1),
    ("soft_local_center", 3),
  ],
)
def test_steps_agree_with_torch_in_float64(name, steps, predict):
  points, mask = oracles.make_texts(23, 6)
  if name == "nearest_point":  # STS itself: one text a class
    points, mask = points[:, :1], mask[:, :1]
  (views,) = oracles.make_views(points)
  with jax.enable_x64(True):
    space = oracles.exact_space(points, mask)
    centers = np.asarray(center_space(space).points[:, 0])
    directions = spectral_directions(centers, rank=5)
    options: dict[str, Any] = {**STS, "metric": name, "steps": steps}
    options["directions"] = directions
    scores = adapted_scores(views, space, LOG_SCALE, predict=predict, **options)
    adapted = adapt_space(views, space, LOG_SCALE, **options)
    scores, moved = np.asarray(scores), np.asarray(adapted.points)
    directions = np.asarray(directions)
  expected = oracles.adapt(
    name,
    views,
    points,
    mask,
    shared=True,
    steps=steps,
    directions=directions,
    predict=predict,
  )
  np.testing.assert_allclose(
    np.exp(LOG_SCALE) * scores, expected.logits, atol=1e-8
  )
  shifted = points + expected.shift[0]
  shifted /= np.linalg.norm(shifted, axis=2, keepdims=True)
  np.testing.assert_allclose(moved[mask], shifted[mask], atol=1e-9)
  assert np.abs(expected.shift).max() > 1e-3


def setting(classes=20, synonyms=5, dim=16):
  points, mask = oracles.make_texts(classes, synonyms, dim)
  space = oracles.exact_space(points, mask, np.float32)
  (views,) = oracles.make_views(points, views=10, seed=3)
  return jnp.asarray(views, jnp.float32), space


def centers_of(space):
  return center_space(space).points[:, 0]


def shift_of(views, space, **options):
  """The shift of an image, from a vertex and its shifted place."""
  adapted = adapt_space(views, space, LOG_SCALE, **{**STS, **options})
  z, moved = (np.asarray(s.points, np.float64)[:, 0] for s in (space, adapted))
  # n moved = z + d for all classes: least squares over the n and d.
  classes, dim = z.shape
  matrix = np.zeros((classes * dim, classes + dim))
  for c in range(classes):
    rows = slice(c * dim, (c + 1) * dim)
    matrix[rows, c] = moved[c]
    matrix[rows, classes:] = -np.eye(dim)
  return np.linalg.lstsq(matrix, z.ravel(), rcond=None)[0][classes:]


def test_all_directions_and_plain_descent_are_the_shared_shift():
  views, space = setting()
  directions = spectral_directions(centers_of(space), rank=16)
  assert directions.shape == (16, 16)
  optimizer = optax.sgd(0.01)
  for steps in (1, 3):
    options = {**STS, "optimizer": optimizer, "steps": steps}
    expected = adapted_scores(views, space, LOG_SCALE, **options)
    scores = adapted_scores(
      views, space, LOG_SCALE, directions=directions, **options
    )
    np.testing.assert_allclose(scores, expected, atol=1e-5)
    still = adapted_scores(
      views, space, LOG_SCALE, **{**options, "optimizer": optax.sgd(0.0)}
    )
    assert np.abs(np.asarray(expected - still)).max() > 1e-3
  # Adam steps along each direction by the same length, so there they differ.
  assert not np.allclose(
    adapted_scores(views, space, LOG_SCALE, **STS, directions=directions),
    adapted_scores(views, space, LOG_SCALE, **STS),
    atol=1e-3,
  )


def test_plain_descent_projects_the_gradient_on_the_span():
  views, space = setting()
  directions = np.asarray(spectral_directions(centers_of(space), rank=4))
  optimizer = optax.sgd(0.01)
  free = shift_of(views, space, optimizer=optimizer)
  bound = shift_of(views, space, optimizer=optimizer, directions=directions)
  np.testing.assert_allclose(
    bound, directions.T @ (directions @ free), atol=2e-5
  )
  assert np.linalg.norm(bound) < 0.9 * np.linalg.norm(free)


def test_a_step_of_adam_is_as_long_along_every_direction():
  views, space = setting()
  directions = np.asarray(spectral_directions(centers_of(space), rank=4))
  shift = shift_of(views, space, directions=directions, learning_rate=0.02)
  np.testing.assert_allclose(np.abs(directions @ shift), 0.02, atol=1e-4)
  outside = shift - directions.T @ (directions @ shift)
  assert np.abs(outside).max() < 1e-5


def test_signs_of_the_directions_change_nothing():
  views, space = setting()
  directions = np.array(spectral_directions(centers_of(space), rank=6))
  for steps in (1, 3):
    options = {**STS, "steps": steps}
    expected = adapted_scores(
      views, space, LOG_SCALE, directions=directions, **options
    )
    flipped = directions * f32([1, -1, -1, 1, -1, 1])[:, None]
    scores = adapted_scores(
      views, space, LOG_SCALE, directions=flipped, **options
    )
    np.testing.assert_allclose(scores, expected, atol=1e-6)


def test_no_direction_or_no_rate_is_zero_shot():
  views, space = setting()
  expected = point_to_soft_local_center(views[0], space)
  nothing = np.zeros((0, 16), np.float32)
  directions = spectral_directions(centers_of(space))
  for options in (
    {"directions": nothing},
    {"directions": directions, "learning_rate": 0.0},
  ):
    scores = adapted_scores(views, space, LOG_SCALE, **STS, **options)
    np.testing.assert_allclose(scores, expected, atol=1e-6)


def test_weight_decay_says_nothing_in_the_first_step():
  views, space = setting()
  directions = spectral_directions(centers_of(space))
  some, none = (
    adapted_scores(
      views, space, LOG_SCALE, **STS, directions=directions, weight_decay=decay
    )
    for decay in (0.5, 0.0)
  )
  np.testing.assert_array_equal(some, none)


def test_what_predicts():
  views, space = setting()
  directions = spectral_directions(centers_of(space))
  options = {**STS, "directions": directions}
  adapted = adapt_space(views, space, LOG_SCALE, **options)
  logits = np.exp(LOG_SCALE) * np.asarray(
    point_to_soft_local_center(views, adapted), np.float64
  )
  every = np.exp(jax.nn.log_softmax(logits, axis=1)).mean(axis=0)
  scores = adapted_scores(views, space, LOG_SCALE, **options, predict="all")
  softmax = jax.nn.softmax(np.exp(LOG_SCALE) * np.asarray(scores))
  np.testing.assert_allclose(softmax, every, atol=1e-5)
  # One view predicts the same, whoever is asked.
  alone = [
    jax.nn.softmax(
      np.exp(LOG_SCALE)
      * np.asarray(
        adapted_scores(views[:1], space, LOG_SCALE, **options, predict=word)
      )
    )
    for word in ("original", "confident", "all")
  ]
  np.testing.assert_allclose(alone[1], alone[0], atol=1e-6)
  np.testing.assert_allclose(alone[2], alone[0], atol=1e-6)


def test_jit_vmap_chunks_and_empty_classes():
  points, mask = oracles.make_texts(12, 5)
  mask[4] = False
  space = oracles.exact_space(points, mask, np.float32)
  views = jnp.asarray(oracles.make_views(points, 5, 10), jnp.float32)
  directions = spectral_directions(centers_of(space), rank=3)
  options = {**STS, "directions": directions, "predict": "confident"}

  def score(views, directions):
    changed = {**options, "directions": directions}
    return adapted_scores(views, space, LOG_SCALE, **changed)

  expected = np.stack([score(x, directions) for x in views])
  assert np.isfinite(expected).all()
  assert np.all(np.argmin(expected, axis=1) == 4)
  for chunk in (2, 100):
    scores = adapt_in_chunks(views, space, LOG_SCALE, chunk=chunk, **options)
    np.testing.assert_allclose(scores, expected, atol=1e-6)
  mapped = jax.jit(jax.vmap(score, in_axes=(0, None)))(views, directions)
  np.testing.assert_allclose(mapped, expected, atol=1e-6)


def test_what_is_refused():
  views, space = setting()
  with pytest.raises(ValueError, match="`predict` must be 'original' or 'con"):
    adapted_scores(views, space, LOG_SCALE, predict="mean")
  with pytest.raises(ValueError, match=r"`directions` must have .* 16, got"):
    adapt_space(views, space, LOG_SCALE, directions=np.zeros((3, 5)))
