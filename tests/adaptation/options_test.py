"""What adaptation refuses, and what it says."""

import numpy as np
import pytest

from s3_jax.adaptation import (
  adapt_in_chunks,
  adapt_space,
  adapted_scores,
  average_views,
  robust_mean_shift,
  template_descriptor_classifier,
)
from tests.adaptation import oracles

POINTS, MASK = oracles.make_texts(3, 4)
SPACE = oracles.exact_space(POINTS, MASK, np.float32)
VIEWS = oracles.make_views(POINTS, views=5)[0].astype(np.float32)


@pytest.mark.parametrize("function", [adapt_space, adapted_scores])
@pytest.mark.parametrize(
  ("options", "message"),
  [
    ({"method": "tpt"}, "`method` must be 'ts3' or 'tps', got 'tpt'"),
    ({"shift": "class"}, "`shift` must be 'per_class' or 'shared'"),
    ({"steps": 0}, "`steps` must be a whole number >= 1, got 0"),
    ({"steps": True}, "`steps` must be a whole number"),
    ({"learning_rate": -1.0}, "`learning_rate` must be a number >= 0"),
    ({"learning_rate": float("nan")}, "`learning_rate` must be a number"),
    ({"weight_decay": float("inf")}, "`weight_decay` must be a number"),
    ({"confident_fraction": 0.0}, r"`confident_fraction` must be in \(0, 1\]"),
    ({"confident_fraction": 1.1}, r"`confident_fraction` must be in \(0, 1\]"),
    ({"metric": "centre"}, "`metric` must be a function or one of nearest_p"),
    ({"metric": "complex"}, "`space` must hold a complex"),
    (
      {"metric": "center", "metric_options": {"neighbors": 2}},
      "center has no option, got 'neighbors'",
    ),
    (
      {"metric_options": {"temperature": 2}},
      "local_center has the option 'neighbors' only, got 'temperature'",
    ),
    ({"metric_options": {"neighbors": 0}}, "`neighbors` must be a whole numb"),
    (
      {"metric": "soft_local_center", "metric_options": {"temperature": 0}},
      "`temperature` must be > 0",
    ),
    (
      {"metric": lambda x, space: x, "metric_options": {"a": [1]}},
      "must be hashable",
    ),
  ],
)
def test_options_out_of_range_are_named(function, options, message):
  with pytest.raises(ValueError, match=message) as caught:
    function(VIEWS, SPACE, oracles.LOG_SCALE, **options)
  assert "\n" not in str(caught.value)


@pytest.mark.parametrize("function", [adapt_space, adapted_scores])
def test_views_that_do_not_fit(function):
  with pytest.raises(ValueError, match="`views` must hold at least the orig"):
    function(VIEWS[:0], SPACE, oracles.LOG_SCALE)
  with pytest.raises(ValueError, match="must agree on dim, got 9 and 16"):
    function(VIEWS[:, :9], SPACE, oracles.LOG_SCALE)


def test_a_chunk_is_a_whole_number():
  with pytest.raises(ValueError, match="`chunk` must be a whole number >= 1"):
    adapt_in_chunks(VIEWS[None], SPACE, oracles.LOG_SCALE, chunk=0)


@pytest.mark.parametrize(
  ("options", "message"),
  [
    ({"lambda_y": 0.0}, "`lambda_y` must be > 0, got 0.0"),
    ({"lambda_q": -1.0}, "`lambda_q` must be >= 0"),
    ({"tolerance": -1.0}, "`tolerance` must be >= 0"),
    ({"neighbor_fraction": 0.0}, r"`neighbor_fraction` must be in \(0, 1\]"),
    ({"steps": 0}, "`steps` must be a whole number >= 1"),
    ({"inner_steps": 0}, "`inner_steps` must be a whole number >= 1"),
  ],
)
def test_mean_shift_refuses(options, message):
  with pytest.raises(ValueError, match=message):
    robust_mean_shift(VIEWS, POINTS[:, 0], oracles.LOG_SCALE, **options)


def test_baselines_need_a_view_of_the_right_size():
  for call in (
    lambda: average_views(VIEWS[:0]),
    lambda: robust_mean_shift(VIEWS[:0], POINTS[:, 0], oracles.LOG_SCALE),
  ):
    with pytest.raises(ValueError, match="at least the original view"):
      call()
  with pytest.raises(ValueError, match="`classifier` must agree on dim"):
    robust_mean_shift(VIEWS, POINTS[:, 0, :9], oracles.LOG_SCALE)


def test_prototypes_refuse():
  texts = np.ones((2, 3, 4), np.float32)
  mask = np.ones((2, 3), bool)
  with pytest.raises(ValueError, match="`weighting` must be 'micro' or 'mac"):
    template_descriptor_classifier(texts, texts, mask, weighting="mean")
  with pytest.raises(ValueError, match="at least one template, got 0"):
    template_descriptor_classifier(texts[:, :0], texts, mask)
