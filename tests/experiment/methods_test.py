"""The nine methods, against loops over single cosines."""

import hashlib
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from s3_jax.experiment.methods.spaces import (
  METHODS,
  MethodInputs,
  SpaceOptions,
  build_spaces,
  gather_texts,
  space_scorer,
)
from s3_jax.experiment.tasks.evaluate import count_pruned
from s3_jax.lexicon.synonyms import load_lexicon

TEMPLATE = "a photo of a {}."
TEMPLATES = ("{}", "the {}.", TEMPLATE)
DIM = 8
OPTIONS = SpaceOptions("local_center", 2, 0.52, "largest", 0.5, 0.15)


def embed_one(text: str) -> np.ndarray:
  """A unit vector for every text; nearer for texts that share letters."""
  point = np.zeros(DIM)
  for word in text.split():
    seed = int(hashlib.sha256(word.encode()).hexdigest()[:8], 16)
    point += np.random.default_rng(seed).normal(size=DIM)
  return point / np.linalg.norm(point)


@pytest.fixture(scope="module")
def lexicon(tmp_path_factory):
  classes = [
    ("kite", ["paper kite", "flyer"], ["flyer", "kite"], ["shark"]),
    ("eel", [], ["eel"], []),
    ("{oak}", ["oak tree", "tree", "{x}"], ["tree"], ["fern", "acorn"]),
  ]
  table = {
    "schema": 1,
    "dataset": "three",
    "provenance": {},
    "classes": [
      {
        "index": index,
        "name": name,
        "synonyms": synonyms,
        "captioned": captioned,
        "polluted": polluted,
        "descriptors": [],
      }
      for index, (name, synonyms, captioned, polluted) in enumerate(classes)
    ],
  }
  path = tmp_path_factory.mktemp("lexicon") / "three.json"
  path.write_text(json.dumps(table), encoding="utf-8")
  return load_lexicon(path)


@pytest.fixture(scope="module")
def gathered(lexicon):
  asked = []

  def embed(prompts):
    asked.append(tuple(prompts))
    return np.stack([embed_one(text) for text in prompts]).astype(np.float32)

  texts, prompts = gather_texts(
    lexicon, embed, template=TEMPLATE, templates=TEMPLATES
  )
  assert asked == [prompts], "one call, of every prompt"
  return texts, prompts


@pytest.fixture(scope="module")
def inputs(gathered):
  texts, _ = gathered
  return MethodInputs(texts, build_spaces(texts, OPTIONS), OPTIONS, seed=0)


@pytest.fixture(scope="module")
def images():
  points = np.random.default_rng(1).normal(size=(20, DIM))
  points /= np.linalg.norm(points, axis=1, keepdims=True)
  return jnp.asarray(points, jnp.float32)


def filled(name, template=TEMPLATE):
  return embed_one(template.replace("{}", name))


def unit(vector):
  return vector / np.linalg.norm(vector)


def local_center(image, points, k):
  nearest = sorted(points, key=lambda point: -(image @ point))[:k]
  return image @ unit(np.sum(nearest, axis=0))


def in_core(space, label, names):
  mask = np.asarray(space.mask)[label]
  return [filled(name) for name, kept in zip(names, mask, strict=False) if kept]


def test_every_prompt_is_embedded_once(gathered, lexicon):
  _, prompts = gathered
  expected = {
    TEMPLATE.replace("{}", text)
    for entry in lexicon.classes
    for text in (*entry.names, *entry.polluted)
  } | {
    template.replace("{}", entry.name)
    for entry in lexicon.classes
    for template in TEMPLATES
  }
  assert len(prompts) == len(expected) and set(prompts) == expected
  assert "a photo of a {oak}." in prompts and "a photo of a {x}." in prompts


def test_tables_are_padded_and_masked(gathered, lexicon):
  texts, _ = gathered
  for table, widest, polluted in (
    (texts.names, 4, False),
    (texts.polluted, 6, True),
  ):
    assert table.embeddings.shape == (3, widest, DIM)
    for entry, names in zip(lexicon.classes, table.texts, strict=True):
      assert names == entry.names + (entry.polluted if polluted else ())
      row, mask = table.embeddings[entry.label], table.mask[entry.label]
      assert mask.tolist() == [True] * len(names) + [False] * (
        widest - len(names)
      )
      np.testing.assert_allclose(
        row[mask], [filled(name) for name in names], atol=1e-6
      )
      assert not row[~mask].any()


def expected_score(method, image, entry, spaces):
  names = [filled(name) for name in entry.names]
  every = (*entry.names, *entry.polluted)
  if method == "class_name":
    return image @ filled(entry.name)
  if method == "best_name":
    return image @ filled(entry.captioned[0])
  if method == "templates":
    return image @ unit(sum(filled(entry.name, each) for each in TEMPLATES))
  if method == "synonyms_mean":
    return image @ unit(np.sum(names, axis=0))
  if method == "synonyms_nearest":
    return max(image @ name for name in names)
  if method == "local_center":
    names = in_core(spaces.names_core, entry.label, entry.names)
  elif method == "polluted_all":
    names = [filled(text) for text in every]
  elif method == "polluted_core":
    names = in_core(spaces.polluted_core, entry.label, every)
  return local_center(image, names, 2)


@pytest.mark.parametrize(
  "method", [x for x in METHODS if x != "random_synonym"]
)
def test_a_method_is_a_loop_over_cosines(method, inputs, images, lexicon):
  scores = np.asarray(METHODS[method](inputs)(images))
  expected = [
    [
      expected_score(method, np.float64(image), entry, inputs.spaces)
      for entry in lexicon.classes
    ]
    for image in images
  ]
  np.testing.assert_allclose(scores, expected, atol=1e-5)


def test_methods_differ(inputs, images):
  scores = [np.asarray(METHODS[method](inputs)(images)) for method in METHODS]
  for index, one in enumerate(scores):
    for other in scores[:index]:
      assert np.abs(one - other).max() > 1e-3
  assert len(scores) == 9
  # A class of one name has one score under every method without templates.
  for method, score in zip(METHODS, scores, strict=True):
    if method != "templates":
      np.testing.assert_allclose(score[:, 1], scores[0][:, 1], atol=1e-5)


def test_spaces_are_with_and_without_a_core(inputs):
  texts, spaces = inputs.texts, inputs.spaces
  for space, table in (
    (spaces.names_all, texts.names),
    (spaces.polluted_all, texts.polluted),
  ):
    np.testing.assert_array_equal(space.mask, table.mask)
  # Worked by hand: texts joined by chords of at most 0.52, the largest set.
  kept = [
    {
      label: [names[i] for i in np.flatnonzero(space.mask[label])]
      for label, names in enumerate(table.texts)
    }
    for space, table in (
      (spaces.names_core, texts.names),
      (spaces.polluted_core, texts.polluted),
    )
  ]
  assert kept == [
    {0: ["kite", "paper kite"], 1: ["eel"], 2: ["oak tree", "tree"]},
    {0: ["kite", "paper kite"], 1: ["eel"], 2: ["oak tree", "tree", "fern"]},
  ]
  np.testing.assert_allclose(spaces.names_core.max_edge_length, 0.52)


def test_options_reach_the_core(gathered):
  texts, _ = gathered
  whole = build_spaces(texts, OPTIONS._replace(keep="all"))
  np.testing.assert_array_equal(whole.names_core.mask, texts.names.mask)
  uncut = build_spaces(texts, OPTIONS._replace(scale=None))
  np.testing.assert_array_equal(uncut.polluted_core.mask, texts.polluted.mask)
  cut, kept = (
    build_spaces(texts, OPTIONS._replace(scale="gap", min_gap=gap))
    for gap in (0.0, 1.0)
  )
  assert np.asarray(cut.polluted_core.mask).sum() < texts.polluted.mask.sum()
  np.testing.assert_array_equal(kept.polluted_core.mask, texts.polluted.mask)
  strict = build_spaces(
    texts, OPTIONS._replace(scale="gap", min_gap=0.0, min_fraction=1.0)
  )
  np.testing.assert_array_equal(strict.polluted_core.mask, texts.polluted.mask)


def test_a_random_synonym_is_one_of_the_names(inputs, images, lexicon):
  used = [set() for _ in lexicon.classes]
  for seed in range(40):
    scorer = METHODS["random_synonym"](inputs._replace(seed=seed))
    scores = np.asarray(scorer(images))
    for entry in lexicon.classes:
      (name,) = (
        name
        for name in entry.names
        if np.allclose(scores[:, entry.label], images @ filled(name), atol=1e-5)
      )
      used[entry.label].add(name)
  assert used == [set(entry.names) for entry in lexicon.classes]


@pytest.mark.parametrize("metric", ["center", "nearest_point"])
def test_the_configs_metric_scores_the_polluted_table(inputs, images, metric):
  options = OPTIONS._replace(metric=metric)
  changed = inputs._replace(options=options)
  for method in ("polluted_all", "polluted_core"):
    space = getattr(inputs.spaces, method)
    np.testing.assert_array_equal(
      METHODS[method](changed)(images),
      space_scorer(space, metric, neighbors=2)(images),
    )
  # The rows that carry a metric's name do not follow it.
  for method in ("local_center", "synonyms_mean", "synonyms_nearest"):
    np.testing.assert_array_equal(
      METHODS[method](changed)(images), METHODS[method](inputs)(images)
    )


@pytest.mark.parametrize("neighbors", [1, 4, 50])
def test_neighbors_reach_the_local_center(inputs, images, neighbors):
  space = inputs.spaces.names_all
  local = space_scorer(space, "local_center", neighbors=neighbors)(images)
  limit = {1: "nearest_point", 50: "center"}.get(neighbors, "center")
  expected = space_scorer(space, limit, neighbors=1)(images)
  np.testing.assert_allclose(local, expected, atol=1e-5)


def test_scoring_compiles_once_a_metric(inputs, images):
  traces = []

  @jax.jit
  def score(scorer, points):
    traces.append(points.shape)
    return scorer(points)

  for space in (inputs.spaces.names_all, inputs.spaces.names_core):
    for metric in ("center", "local_center"):
      score(space_scorer(space, metric, neighbors=2), images)
  assert len(traces) == 2


def test_pruning_is_counted_by_hand(inputs):
  # Classes of 3 right and 1 wrong, 1 and 0, 4 and 2 texts.
  mask = np.array(
    [
      [True, False, True, False, False, False],
      [True, False, False, False, False, False],
      [False, False, True, True, True, False],
    ]
  )
  space = inputs.spaces.polluted_core._replace(mask=mask)
  spaces = inputs.spaces._replace(polluted_core=space)
  assert count_pruned(inputs.texts, spaces) == {
    "wrong_total": 3,
    "wrong_removed": 2,
    "right_total": 8,
    "right_removed": 3,
  }


def test_without_a_cut_nothing_is_pruned(inputs):
  spaces = inputs.spaces._replace(polluted_core=inputs.spaces.polluted_all)
  pruned = count_pruned(inputs.texts, spaces)
  assert (pruned["wrong_removed"], pruned["right_removed"]) == (0, 0)
