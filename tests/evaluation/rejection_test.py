"""Unrelated names, p-values and measures of rejection, against enumeration."""

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
import sklearn.metrics

from s3_jax.evaluation.rejection import (
  answer_by_share,
  answer_by_texts,
  auroc,
  count_names_above,
  false_positive_rate,
  least_error,
  none_p_values,
  selective_precision,
  unrelated_names,
)


def unit(generator, *shape):
  rows = generator.normal(size=shape)
  return (rows / np.linalg.norm(rows, axis=-1, keepdims=True)).astype("f4")


@pytest.mark.parametrize(("texts", "names"), [(1, 1), (1, 4), (2, 5), (3, 4)])
def test_p_values_are_those_of_all_orders(texts, names):
  """Counts, over all places that the texts may take among all."""
  places = range(texts + names)
  orders = list(itertools.combinations(places, texts))
  # Places count from the best: as many names are above the best text as its
  # place says.
  expected = [
    np.mean([min(order) <= above for order in orders])
    for above in range(names + 1)
  ]
  found = none_p_values(np.arange(names + 1), texts=texts, names=names)
  assert found.dtype == np.float64
  np.testing.assert_allclose(found, expected, atol=1e-12)
  assert least_error(texts=texts, names=names) == pytest.approx(expected[0])


def test_p_values_by_hand():
  # One class, 19 names: the text is as likely in any of 20 places.
  found = none_p_values(np.array([0, 1, 18, 19]), texts=1, names=19)
  np.testing.assert_allclose(found, [0.05, 0.1, 0.95, 1.0], atol=1e-12)
  large = none_p_values(np.array([0, 3]), texts=700, names=14_000)
  expected = 1 - math.comb(14_000, 4) / math.comb(14_700, 4)
  np.testing.assert_allclose(large, [1 / 21, expected], rtol=1e-9)


@pytest.mark.parametrize(
  ("texts", "names", "above"),
  [(1, 19, 0), (2, 38, 0), (7, 133, 0), (1, 999, 49), (2, 8, 1), (1, 9999, 0)],
)
def test_the_share_itself_is_allowed(texts, names, above):
  """The least share that a run accepts must answer something."""
  orders = [math.comb(n, above + 1) for n in (names, names + texts)]
  share = float(1 - Fraction(*orders))
  if not above:
    assert share == least_error(texts=texts, names=names)
  answered = answer_by_texts(
    np.array([above, above + 1]), texts=texts, names=names, false_answers=share
  )
  assert answered.tolist() == [True, False]


def test_images_of_no_class_are_answered_as_often_as_is_said():
  """Texts and names from one distribution: the bound holds and is not slack."""
  generator = np.random.default_rng(0)
  scores = generator.normal(size=(20_000, 3 + 60))
  above = np.sum(scores[:, 3:] >= scores[:, :3].max(axis=1)[:, None], axis=1)
  for error in (0.05, 0.1, 0.3):
    answered = answer_by_texts(above, texts=3, names=60, false_answers=error)
    most = none_p_values(np.arange(61), texts=3, names=60)
    exact = most[most <= error].max(initial=0.0)
    assert np.mean(answered) == pytest.approx(exact, abs=0.008)
    assert exact <= error


@pytest.mark.parametrize(
  ("above", "texts", "names", "message"),
  [
    ([0], 0, 3, "`texts` and `names` must be >= 1, got 0 and 3"),
    ([0], 3, 0, "`texts` and `names` must be >= 1, got 3 and 0"),
    ([0, 4], 1, 3, r"`above` must be in 0..3, got 0 to 4"),
    ([-1], 1, 3, r"`above` must be in 0..3, got -1 to -1"),
  ],
)
def test_wrong_counts_are_named(above, texts, names, message):
  with pytest.raises(ValueError, match=message):
    none_p_values(np.array(above), texts=texts, names=names)


def test_no_image_has_no_p_value():
  assert none_p_values(np.zeros(0, int), texts=1, names=1).shape == (0,)


def test_names_above_are_those_of_a_loop():
  generator = np.random.default_rng(1)
  images, names = unit(generator, 4, 8), unit(generator, 37, 8)
  cosines = np.array([-1.0, 0.1, 0.4, 1.0], "f4")
  expected = [
    sum(
      float(np.dot(image.astype(float), name.astype(float))) >= cosine
      for name in names
    )
    for image, cosine in zip(images, cosines, strict=True)
  ]
  found = count_names_above(images, cosines, names)
  assert found.dtype == np.int32
  assert found.tolist() == expected
  assert expected[0] == 37 and 0 < expected[1] < 37 and expected[3] == 0


@pytest.mark.parametrize("size", [1, 2, 40, 1030])  # two blocks
@pytest.mark.parametrize("related", [0.0, 0.005, 0.1])
def test_unrelated_names_are_those_of_a_loop(size, related):
  generator = np.random.default_rng(size)
  names, texts = unit(generator, size, 5), unit(generator, 3, 5)
  found = unrelated_names(names, texts, related=related)
  least = math.ceil(related * size)
  for index in range(0, size, max(1, size // 40)):
    name = names[index].astype(np.float64)
    nearest = max(texts.astype(np.float64) @ name)
    others = np.delete(names, index, axis=0).astype(np.float64) @ name
    if np.min(np.abs(others - nearest), initial=1.0) < 1e-6:
      continue  # float32 may order these either way
    assert found[index] == (np.sum(others > nearest) >= least)
  if related == 0:
    assert found.all()


def test_names_of_the_same_thing_are_related():
  # Three things of ten names each; the class is the first of them.
  generator = np.random.default_rng(2)
  centers = np.eye(3, 16, dtype="f4")
  names = np.repeat(centers, 10, axis=0) + 0.02 * unit(generator, 30, 16)
  names /= np.linalg.norm(names, axis=1, keepdims=True)
  found = unrelated_names(names, centers[:1], related=0.1)
  assert found.tolist() == [False] * 10 + [True] * 20


def test_a_share_refuses_what_most_names_reach():
  above = np.array([3, 0, 3, 9, 0])
  cosines = np.array([0.2, 0.3, 0.1, 0.9, 0.3], "f4")
  by_share = {
    share: answer_by_share(above, cosines, share=share).tolist()
    for share in (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
  }
  yes, no = True, False
  assert by_share == {
    0.0: [yes, yes, yes, yes, yes],
    0.2: [yes, yes, yes, no, yes],
    0.4: [yes, yes, no, no, yes],  # of equal counts the lower cosine
    0.6: [no, yes, no, no, yes],
    0.8: [no, yes, no, no, no],  # of equal images the later one
    1.0: [no, no, no, no, no],
  }
  assert answer_by_share(above[:0], cosines[:0], share=0.5).shape == (0,)


@pytest.mark.parametrize(("a", "b"), [(1, 1), (5, 3), (200, 321)])
@pytest.mark.parametrize("digits", [0, 6])  # 0: many equal values
def test_auroc_is_that_of_scikit_learn(a, b, digits):
  generator = np.random.default_rng(a)
  inside = np.round(generator.normal(0.7, size=a), digits)
  outside = np.round(generator.normal(size=b), digits)
  expected = sklearn.metrics.roc_auc_score(
    np.repeat([1, 0], [a, b]), np.concatenate([inside, outside])
  )
  assert auroc(inside, outside) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("recall", [0.05, 0.5, 0.95, 1.0])
def test_false_positives_are_those_of_a_loop(recall):
  generator = np.random.default_rng(3)
  inside = np.round(generator.normal(1, size=100), 1)
  outside = np.round(generator.normal(size=64), 1)
  threshold = max(t for t in inside if np.mean(inside >= t) >= recall - 1e-12)
  found = false_positive_rate(inside, outside, recall=recall)
  assert found == np.mean(outside >= threshold)


def test_measures_need_images_of_both_kinds():
  for measure in (auroc, false_positive_rate):
    with pytest.raises(ValueError, match="must hold an image each, got 0 and"):
      measure(np.zeros(0), np.zeros(2))


def test_coverage_and_precision_by_hand():
  answered = np.array([True, True, False, True, False])
  correct = np.array([True, False, True, True, False])
  assert selective_precision(answered, correct) == (0.6, 2 / 3)
  coverage, precision = selective_precision(answered & False, correct)
  assert coverage == 0.0 and math.isnan(precision)
  coverage, precision = selective_precision(answered[:0], correct[:0])
  assert math.isnan(coverage) and math.isnan(precision)
