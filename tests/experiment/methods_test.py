"""The demo's nine methods, against loops over single cosines."""

import hashlib
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from s3_jax.experiment.methods.images import (
  METHODS,
  Method,
  Scorers,
  prepare_methods,
)
from s3_jax.experiment.methods.prompts import (
  MethodTexts,
  concepts,
  concepts_with_wrong_ones,
  drawn_by_jax,
)
from s3_jax.experiment.methods.spaces import SpaceOptions, count_removed
from s3_jax.lexicon.synonyms import load_lexicon
from s3_jax.named_classes.cores import space_scorer
from s3_jax.named_classes.vertices import embed_vertices
from s3_jax.zero_shot import random_synonym_classifier

TEMPLATE = "a photo of a {}."
TEMPLATES = ("{}", "the {}.", TEMPLATE)
DIM = 8
OPTIONS = SpaceOptions("local_center", 2, 0.52, "largest", 0.5, 0.15)
DEMO = (
  "class_name",
  "best_name",
  "templates",
  "random_synonym",
  "synonyms_mean",
  "synonyms_nearest",
  "local_center",
  "polluted_all",
  "polluted_core",
)


def embed_one(text: str) -> np.ndarray:
  """A unit vector for every text; nearer for texts that share letters."""
  point = np.zeros(DIM)
  for word in text.split():
    seed = int(hashlib.sha256(word.encode()).hexdigest()[:8], 16)
    point += np.random.default_rng(seed).normal(size=DIM)
  return point / np.linalg.norm(point)


@pytest.fixture(scope="module")
def classes(tmp_path_factory):
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
  return load_lexicon(path).classes


@pytest.fixture(scope="module")
def texts(classes):
  """As the demo's config has them: one template, and some for one method."""
  return MethodTexts(
    classes, "{} texture.", TEMPLATES, {}, 0, TEMPLATE, drawn_by_jax
  )


class Run:
  """The demo's methods on some texts."""

  def __init__(self, texts, options=OPTIONS):
    plans = prepare_methods({name: METHODS[name] for name in DEMO}, texts)
    self.plans = {plan.name: plan for plan in plans}
    self.scorers = Scorers(options)
    self.tables = {
      plan.method.vertices: embed_vertices(
        plan.vertices,
        plan.prompts,
        np.stack([embed_one(text) for text in plan.prompts]).astype("f4"),
        plan.forms,
      )
      for plan in plans
    }

  def scorer(self, name):
    plan = self.plans[name]
    return self.scorers.scorer(plan, self.tables[plan.method.vertices])

  def space(self, vertices, *, pruned):
    method = Method(vertices, core=pruned)
    return self.scorers.core(method, self.tables[vertices]).space

  def kept(self, vertices):
    return np.asarray(self.space(vertices, pruned=True).mask)


@pytest.fixture(scope="module")
def run(texts):
  return Run(texts)


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


def in_core(mask, names):
  return [filled(name) for name, kept in zip(names, mask, strict=False) if kept]


def test_prompts_are_names_in_the_templates(run, classes):
  prompts = {text for plan in run.plans.values() for text in plan.prompts}
  assert prompts == {
    TEMPLATE.replace("{}", text)
    for entry in classes
    for text in (*entry.names, *entry.polluted)
  } | {
    template.replace("{}", entry.name)
    for entry in classes
    for template in TEMPLATES
  }
  assert "a photo of a {oak}." in prompts and "a photo of a {x}." in prompts


def test_wrong_entries_have_the_form_of_the_names(run):
  for forms in run.plans["polluted_core"].forms:
    assert set(forms.values()) == {TEMPLATE}


def test_tables_are_padded_and_masked(run, classes):
  for vertices, widest in ((concepts, 4), (concepts_with_wrong_ones, 6)):
    table = run.tables[vertices]
    assert table.embeddings.shape == (3, widest, DIM)
    for entry in classes:
      wrong = entry.polluted if vertices is concepts_with_wrong_ones else ()
      names = (*entry.names, *wrong)
      row, mask = table.embeddings[entry.label], table.mask[entry.label]
      assert mask.tolist() == [True] * len(names) + [False] * (
        widest - len(names)
      )
      np.testing.assert_allclose(
        row[mask], [filled(name) for name in names], atol=1e-6
      )
      assert not row[~mask].any()


def expected_score(method, image, entry, run):
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
    names = in_core(run.kept(concepts)[entry.label], entry.names)
  elif method == "polluted_all":
    names = [filled(text) for text in every]
  elif method == "polluted_core":
    names = in_core(run.kept(concepts_with_wrong_ones)[entry.label], every)
  return local_center(image, names, 2)


@pytest.mark.parametrize("method", [x for x in DEMO if x != "random_synonym"])
def test_a_method_is_a_loop_over_cosines(method, run, images, classes):
  expected = [
    [expected_score(method, np.float64(image), entry, run) for entry in classes]
    for image in images
  ]
  np.testing.assert_allclose(run.scorer(method)(images), expected, atol=1e-5)


def test_methods_differ(run, images):
  scores = [np.asarray(run.scorer(method)(images)) for method in DEMO]
  for index, one in enumerate(scores):
    for other in scores[:index]:
      assert np.abs(one - other).max() > 1e-3
  # A class of one name has one score under every method without templates.
  for method, score in zip(DEMO, scores, strict=True):
    if method != "templates":
      np.testing.assert_allclose(score[:, 1], scores[0][:, 1], atol=1e-5)


def test_spaces_are_with_and_without_a_core(run, classes):
  spaces = (concepts, concepts_with_wrong_ones)
  for vertices in spaces:
    np.testing.assert_array_equal(
      run.space(vertices, pruned=False).mask, run.tables[vertices].mask
    )
  # Worked by hand: texts joined by chords of at most 0.52, the largest set.
  every = [(*entry.names, *entry.polluted) for entry in classes]
  assert [
    {
      label: [every[label][i] for i in np.flatnonzero(mask)]
      for label, mask in enumerate(run.kept(vertices))
    }
    for vertices in spaces
  ] == [
    {0: ["kite", "paper kite"], 1: ["eel"], 2: ["oak tree", "tree"]},
    {0: ["kite", "paper kite"], 1: ["eel"], 2: ["oak tree", "tree", "fern"]},
  ]
  scales = run.space(concepts, pruned=True).max_edge_length
  np.testing.assert_allclose(scales, 0.52)


def test_options_reach_the_core(texts):
  mask = Run(texts).tables[concepts_with_wrong_ones].mask

  def kept(**changes):
    return Run(texts, OPTIONS._replace(**changes)).kept(
      concepts_with_wrong_ones
    )

  for changes in (
    {"keep": "all"},
    {"scale": None},
    {"scale": "gap", "min_gap": 1.0},
    {"scale": "gap", "min_gap": 0.0, "min_fraction": 1.0},
  ):
    np.testing.assert_array_equal(kept(**changes), mask)
  assert kept(scale="gap", min_gap=0.0).sum() < mask.sum()


@pytest.mark.parametrize("draws_by_jax", [True, False])
def test_a_random_synonym_is_one_of_the_names(
  texts, images, classes, draws_by_jax
):
  if not draws_by_jax:
    texts = MethodTexts(*texts[:5], name_template=TEMPLATE)
  used = [set() for _ in classes]
  for seed in range(40):
    seeded = Run(texts._replace(seed=seed))
    scores = np.asarray(seeded.scorer("random_synonym")(images))
    for entry in classes:
      (name,) = (
        name
        for name in entry.names
        if np.allclose(scores[:, entry.label], images @ filled(name), atol=1e-5)
      )
      used[entry.label].add(name)
    table = seeded.tables[concepts]
    drawn = random_synonym_classifier(
      jax.random.key(seed), table.embeddings, table.mask
    )
    if draws_by_jax:
      np.testing.assert_allclose(scores, images @ drawn.T, atol=1e-5)
  assert used == [set(entry.names) for entry in classes]


@pytest.mark.parametrize("metric", ["center", "nearest_point"])
def test_the_configs_metric_scores_the_polluted_table(
  run, texts, images, metric
):
  changed = Run(texts, OPTIONS._replace(metric=metric))
  for method, pruned in (("polluted_all", False), ("polluted_core", True)):
    space = run.space(concepts_with_wrong_ones, pruned=pruned)
    np.testing.assert_array_equal(
      changed.scorer(method)(images),
      space_scorer(space, metric, neighbors=2)(images),
    )
  # The rows that carry a metric's name do not follow it.
  for method in ("local_center", "synonyms_mean", "synonyms_nearest"):
    np.testing.assert_array_equal(
      changed.scorer(method)(images), run.scorer(method)(images)
    )


def test_a_method_may_have_options_of_its_own(run, texts, images):
  options = OPTIONS._replace(metric="center", scale=None)
  method = Method(concepts, None, core=True, options=options)
  (plan,) = prepare_methods({"mine": method}, texts)
  scores = run.scorers.scorer(plan, run.tables[concepts])(images)
  np.testing.assert_array_equal(scores, run.scorer("synonyms_mean")(images))


@pytest.mark.parametrize("neighbors", [1, 4, 50])
def test_neighbors_reach_the_local_center(run, images, neighbors):
  space = run.space(concepts, pruned=False)
  local = space_scorer(space, "local_center", neighbors=neighbors)(images)
  limit = {1: "nearest_point", 50: "center"}.get(neighbors, "center")
  expected = space_scorer(space, limit, neighbors=1)(images)
  np.testing.assert_allclose(local, expected, atol=1e-5)


def test_scoring_compiles_once_a_metric(run, images):
  traces = []

  @jax.jit
  def score(scorer, points):
    traces.append(points.shape)
    return scorer(points)

  for pruned in (True, False):
    space = run.space(concepts, pruned=pruned)
    for metric in ("center", "local_center"):
      score(space_scorer(space, metric, neighbors=2), images)
  assert len(traces) == 2


def test_pruning_is_counted_by_hand(run):
  # Classes of 3 right and 1 wrong, 1 and 0, 4 and 2 texts.
  kept = np.array(
    [
      [True, False, True, False, False, False],
      [True, False, False, False, False, False],
      [False, False, True, True, True, False],
    ]
  )
  mask = run.tables[concepts_with_wrong_ones].mask
  assert count_removed((3, 1, 4), mask, kept)._asdict() == {
    "wrong_total": 3,
    "wrong_removed": 2,
    "right_total": 8,
    "right_removed": 3,
  }
  nothing = count_removed((3, 1, 4), mask, mask)
  assert (nothing.wrong_removed, nothing.right_removed) == (0, 0)
