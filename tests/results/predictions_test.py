"""Rankings against a float64 loop; names made visible; JSON and CSV files."""

import csv
import io
import json

import numpy as np
import pytest
from jax.tree_util import Partial

from s3_jax.point_to_space import point_to_center, point_to_nearest_point
from s3_jax.results.predictions import (
  Candidate,
  ImageRow,
  Ranking,
  rank_classes,
  read_candidates,
  show_name,
  write_csv,
  write_json,
)
from s3_jax.space import build_space


def unit(generator, *shape):
  rows = generator.normal(size=(*shape, 6)).astype("f4")
  return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


@pytest.fixture
def space():
  generator = np.random.default_rng(0)
  mask = np.array(
    [[1, 1, 1, 0], [1, 0, 0, 0], [1, 1, 0, 0], [1, 1, 1, 1]], bool
  )
  return build_space(unit(generator, 4, 4), mask, scale=None)


@pytest.mark.parametrize("metric", [point_to_center, point_to_nearest_point])
@pytest.mark.parametrize("top", [1, 3, 4])
def test_a_ranking_is_that_of_a_double_loop(space, metric, top):
  x = unit(np.random.default_rng(1), 5)
  ranking = rank_classes(
    lambda images: metric(images, space), space, x, logit_scale=2.0, top=top
  )
  scores = np.asarray(metric(x, space), np.float64)
  points, mask = np.asarray(space.points, np.float64), np.asarray(space.mask)
  for image in range(5):
    order = sorted(range(4), key=lambda label: -scores[image, label])[:top]
    assert ranking.labels[image].tolist() == order
    exponents = np.exp(np.exp(2.0) * scores[image])
    for index, label in enumerate(order):
      cosines = [
        float(points[label, text] @ x[image])
        for text in range(4)
        if mask[label, text]
      ]
      assert ranking.texts[image, index] == int(np.argmax(cosines))
      for found, expected in (
        (ranking.scores, scores[image, label]),
        (ranking.probabilities, exponents[label] / exponents.sum()),
        (ranking.cosines, max(cosines)),
      ):
        assert float(found[image, index]) == pytest.approx(expected, abs=1e-6)


def test_texts_outside_the_core_decide_nothing():
  x = np.eye(6, dtype="f4")[:1]
  points = np.eye(6, dtype="f4")[None, [1, 0, 2]]
  space = build_space(points, np.ones((1, 3), bool), scale=0.0, keep="label")
  ranking = rank_classes(
    lambda images: point_to_center(images, space),
    space,
    x,
    logit_scale=0.0,
    top=1,
  )
  assert (int(ranking.texts[0, 0]), float(ranking.cosines[0, 0])) == (0, 0.0)


def test_equal_scores_and_texts_go_to_the_lower_index():
  points = np.tile(np.eye(6, dtype="f4")[0], (40, 3, 1))
  space = build_space(points, np.ones((40, 3), bool), scale=None)
  ranking = rank_classes(
    lambda images: point_to_center(images, space),
    space,
    points[:2, 0],
    logit_scale=4.6,
    top=40,
  )
  assert ranking.labels.tolist() == [list(range(40))] * 2
  assert not np.any(ranking.texts)
  np.testing.assert_allclose(ranking.probabilities, 1 / 40, rtol=1e-6)
  assert float(np.max(ranking.cosines)) <= 1


@pytest.mark.parametrize("top", [0, 5])
def test_top_is_at_most_the_classes(space, top):
  with pytest.raises(ValueError, match=rf"`top` must be in 1..4, got {top}"):
    rank_classes(lambda x: x, space, np.eye(6), logit_scale=0.0, top=top)


def test_no_image_is_no_ranking(space):
  ranking = rank_classes(
    lambda images: point_to_center(images, space),
    space,
    np.zeros((0, 6), "f4"),
    logit_scale=0.0,
    top=2,
  )
  assert [column.shape for column in ranking] == [(0, 2)] * 5


def test_words_are_put_to_numbers():
  ranking = Ranking(
    labels=np.array([[1, 0]], np.int32),
    scores=np.array([[0.5, 0.25]], np.float32),
    probabilities=np.array([[0.75, 0.25]], np.float32),
    texts=np.array([[2, 0]], np.int32),
    cosines=np.array([[0.5, 0.125]], np.float32),
  )
  found = read_candidates(ranking, 0, ("a", "b"), (("x",), ("u", "v", "w")))
  assert found == (
    Candidate(1, "b", 0.5, 0.75, "w", 0.5),
    Candidate(0, "a", 0.25, 0.25, "x", 0.125),
  )


@pytest.mark.parametrize(
  ("text", "shown"),
  [
    ("plain name.png", "plain name.png"),
    ("two\nlines\t\r", r"two\nlines\t\r"),
    ("\x1b[31m", r"\x1b[31m"),
    ("\u202egnp.exe", r"\u202egnp.exe"),
    ("\u2028\u2029\u200b\ufeff", r"\u2028\u2029\u200b\ufeff"),
    ("caf\udce9", r"caf\udce9"),
    ("\U000e0041", r"\U000e0041"),
    ("ünï 日本 مرحبا", "ünï 日本 مرحبا"),
    ("👩\u200d👧", "👩\u200d👧"),
    ("", ""),
  ],
)
def test_every_character_is_visible(text, shown):
  assert show_name(text) == shown
  shown.encode("utf-8")


def rows():
  candidate = Candidate(3, "a\nb", 0.123456789, 1e-9, "=text", -0.5)
  yield ImageRow("=1.png", 12, 4, 3, (candidate, candidate), "")
  yield ImageRow("caf\udce9.png", -1, 0, 0, (), "cut off")


def test_the_csv_file_has_a_line_a_candidate(tmp_path):
  write_csv(tmp_path / "a.csv", rows())
  text = (tmp_path / "a.csv").read_text("utf-8")
  assert text.count("\n") == 4
  first, second, bad = csv.DictReader(io.StringIO(text))
  assert (first["rank"], second["rank"], bad["rank"]) == ("1", "2", "")
  assert first["file"] == "'=1.png" and first["class"] == r"a\nb"
  assert first["nearest_text"] == "'=text"
  assert (first["score"], first["probability"]) == ("0.123457", "1e-09")
  assert first["nearest_cosine"] == "-0.5"
  assert (first["width"], bad["width"]) == ("4", "")
  assert (bad["file"], bad["problem"]) == (r"caf\udce9.png", "cut off")


def test_the_json_file_has_a_line_an_image(tmp_path):
  path = tmp_path / "a.json"
  facts = {"config": {"images": "caf\udce9", "top": 2}, "notes": []}
  good = next(rows())
  write_json(path, facts, [{"label": 0}, {"label": 1}], [good, good])
  text = path.read_text("utf-8")
  document = json.loads(text)
  assert list(document) == ["config", "notes", "classes", "images"]
  assert document["config"] == facts["config"]
  assert document["classes"] == [{"label": 0}, {"label": 1}]
  assert document["images"][0] == document["images"][1]
  assert document["images"][0]["file"] == "=1.png"
  (first, _) = document["images"][0]["predictions"]
  assert first["class"] == "a\nb" and first["probability"] == 1e-9
  assert sum('"rank"' in line for line in text.splitlines()) == 2
  write_json(path, {"a": 1}, [], [])
  assert json.loads(path.read_text()) == {"a": 1, "classes": [], "images": []}
  with pytest.raises(ValueError, match="Out of range float"):
    write_json(path, {"a": float("nan")}, [], [])


def test_a_ranking_compiles_once(space):
  traced = []

  def score(space, embeddings):
    traced.append(embeddings.shape)
    return point_to_center(embeddings, space)

  for seed in range(3):
    x = unit(np.random.default_rng(seed), 3)
    rank_classes(Partial(score, space), space, x, logit_scale=seed, top=2)
  assert traced == [(3, 6)]
