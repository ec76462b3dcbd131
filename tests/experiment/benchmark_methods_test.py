"""Benchmark methods: prompts, averages, pruning, and their scores by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from s3_jax.embeddings import template_mean
from s3_jax.experiment.methods.images import (
  METHODS,
  NEED_FILES,
  Method,
  Scorers,
  prepare_methods,
)
from s3_jax.experiment.methods.prompts import MethodTexts, concepts
from s3_jax.experiment.methods.spaces import SpaceOptions
from s3_jax.lexicon.synonyms import ClassEntry
from s3_jax.lexicon.templates import IMAGENET_7, IMAGENET_80
from s3_jax.named_classes.vertices import embed_vertices
from s3_jax.point_to_space import POINT_TO_SPACE
from s3_jax.space import build_space

DIM = 12
CLASSES = (
  ClassEntry(
    7, "sofa", ("couch", "settee"), ("soft seat", "legs"), (), ("couch",), None
  ),
  ClassEntry(2, "tea_cup", (), ("a handle",), (), ("tea cup",), None),
  ClassEntry(5, "sun", ("star", "day star", "sol"), (), (), ("sun",), None),
)
TEXTS = MethodTexts(
  CLASSES,
  "a photo of a {}, a type of thing.",
  ("a {}.", "the {}."),
  {
    "cupl": (("A sofa is soft.", "Sofas seat three."), ("A cup.",), ("Sun.",)),
    "dclip": (("soft cushions",), ("a rim", "tea"), ("bright light",)),
    "waffle": (("xq zt",), ("xq zt",), ("xq zt",)),
  },
  seed=3,
)
OPTIONS = SpaceOptions("local_center", 2, "gap", "largest", 0.5, 0.05)


def embed(prompts):
  """Gives every text a unit vector that depends on its letters."""
  rows = [
    np.random.default_rng(list(text.encode())).normal(size=DIM)
    for text in prompts
  ]
  rows = np.array(rows) + 0.8
  return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype("f4")


@pytest.fixture(scope="module")
def images():
  rows = np.random.default_rng(0).normal(size=(9, DIM)) + 0.5
  return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype("f4")


def prepared(name, texts=TEXTS):
  (only,) = prepare_methods({name: METHODS[name]}, texts)
  return only


def mean(prompts):
  total = embed(prompts).astype(np.float64).sum(0)
  return total / np.linalg.norm(total)


PHOTO = "a photo of a {}."
EXPECTED = {
  "class_name": [[PHOTO.format(n)] for n in ("sofa", "tea cup", "sun")],
  "dataset_template": [
    [f"a photo of a {n}, a type of thing."] for n in ("sofa", "tea cup", "sun")
  ],
  "templates_7": [
    [t.format(n) for t in IMAGENET_7] for n in ("sofa", "tea cup", "sun")
  ],
  "templates_80": [
    [t.format(n) for t in IMAGENET_80] for n in ("sofa", "tea cup", "sun")
  ],
  "cupl": [list(texts) for texts in TEXTS.files["cupl"]],
  "templates_descriptors": [
    [
      *(t.format("sofa") for t in IMAGENET_80),
      "sofa, which has soft seat",
      "sofa, which has legs",
    ],
    [
      *(t.format("tea cup") for t in IMAGENET_80),
      "tea cup, which is a handle",
    ],
    [*(t.format("sun") for t in IMAGENET_80), "sun"],
  ],
}


@pytest.mark.parametrize("name", EXPECTED)
def test_one_vector_a_class(name, images):
  method = prepared(name)
  table = embed_vertices(method.vertices, method.prompts, embed(method.prompts))
  scores = Scorers(OPTIONS).scorer(method, table)(jnp.asarray(images))
  expected = np.array([mean(prompts) for prompts in EXPECTED[name]])
  np.testing.assert_allclose(scores, images @ expected.T, atol=2e-6)


SENTENCES = {
  "dclip": [
    ["sofa, which has soft cushions"],
    ["tea cup, which is a rim", "tea cup, which has tea"],
    ["sun, which has bright light"],
  ],
  "waffle": [
    [f"A photo of a {name}, which has xq zt."]
    for name in ("sofa", "tea cup", "sun")
  ],
  "descriptors": [
    ["sofa, which has soft seat", "sofa, which has legs"],
    ["tea cup, which is a handle"],
    ["sun"],
  ],
}


@pytest.mark.parametrize("name", SENTENCES)
def test_the_mean_over_descriptors(name, images):
  method = prepared(name)
  table = embed_vertices(method.vertices, method.prompts, embed(method.prompts))
  scores = Scorers(OPTIONS).scorer(method, table)(jnp.asarray(images))
  expected = [
    np.mean(images @ embed(prompts).T, axis=1) for prompts in SENTENCES[name]
  ]
  np.testing.assert_allclose(scores, np.stack(expected, 1), atol=2e-6)


def vertices_of(entry):
  return np.array(
    [mean([t.format(n) for t in TEXTS.templates]) for n in entry.names]
  )


@pytest.mark.parametrize("name", ["synonyms_mean", "synonyms_nearest"])
def test_all_synonyms_without_a_core(name, images):
  method = prepared(name)
  table = embed_vertices(method.vertices, method.prompts, embed(method.prompts))
  scores = Scorers(OPTIONS).scorer(method, table)(jnp.asarray(images))
  for label, entry in enumerate(CLASSES):
    points = vertices_of(entry)
    center = points.sum(0) / np.linalg.norm(points.sum(0))
    by_hand = {
      "synonyms_mean": images @ center,
      "synonyms_nearest": np.max(images @ points.T, axis=1),
    }
    np.testing.assert_allclose(scores[:, label], by_hand[name], atol=2e-6)


@pytest.mark.parametrize("name", [*POINT_TO_SPACE, "s3", "s3_descriptors"])
def test_metrics_score_the_core(name, images):
  method = prepared(name)
  table = embed_vertices(method.vertices, method.prompts, embed(method.prompts))
  scores = Scorers(OPTIONS).scorer(method, table)(jnp.asarray(images))
  space = build_space(
    table.embeddings, table.mask, scale="gap", min_gap=0.05, max_simplices=50
  )
  metric = name if name in POINT_TO_SPACE else "local_center"
  options = {"neighbors": 2} if metric == "local_center" else {}
  expected = POINT_TO_SPACE[metric](images, space, **options)
  np.testing.assert_allclose(scores, expected, atol=2e-6)
  pairs = [len(e.names) * (1 + len(e.descriptors)) for e in CLASSES]
  names = [len(e.names) for e in CLASSES]
  counted = pairs if name == "s3_descriptors" else names
  assert table.mask.sum(1).tolist() == counted


def test_methods_that_share_texts_share_a_space():
  names = ("center", "local_center", "s3", "synonyms_mean")
  made = prepare_methods({name: METHODS[name] for name in names}, TEXTS)
  assert len({id(method.vertices) for method in made}) == 1
  scorers = Scorers(OPTIONS)
  table = embed_vertices(
    made[0].vertices, made[0].prompts, embed(made[0].prompts)
  )
  for method in made:
    scorers.scorer(method, table)
  whole, core = Method(concepts), Method(concepts, "nearest_point", core=True)
  assert scorers.built(core) is not None
  assert scorers.core(core, table) is scorers.built(METHODS["s3"])
  assert scorers.core(whole, table) is not scorers.core(core, table)
  other = core._replace(options=OPTIONS._replace(scale=0.3))
  assert scorers.built(other) is None  # its space is another one


def test_a_rule_of_its_own_leaves_the_other_options_to_the_config(images):
  """The row `polluted_gap` is scored as the config says."""
  (plan,) = prepare_methods({"polluted_gap": METHODS["polluted_gap"]}, TEXTS)
  table = embed_vertices(plan.vertices, plan.prompts, embed(plan.prompts))
  for metric in ("local_center", "nearest_point"):
    given = OPTIONS._replace(scale=None, metric=metric)
    scores = Scorers(given).scorer(plan, table)(images)
    same = METHODS["polluted_core"]
    wanted = Scorers(given._replace(scale="gap")).scorer(
      plan._replace(method=same), table
    )(images)
    np.testing.assert_array_equal(scores, wanted)
    all_kept = Scorers(given).scorer(plan._replace(method=same), table)(images)
    assert not np.array_equal(scores, all_kept)


def test_averages_are_those_of_template_mean():
  prompts = tuple("abcdefg")
  embeddings = embed(prompts)
  opposite = np.stack([embeddings[0], -embeddings[0]])
  rows = np.concatenate([embeddings, opposite])
  prompts = (*prompts, "+", "-")
  table = embed_vertices(
    ((("a", "b", "c"), ("d",)), (("e", "g"), ("+", "-"), ("f", "f"))),
    prompts,
    rows,
  )
  for label, column, chosen in ((0, 0, [0, 1, 2]), (1, 0, [4, 6])):
    expected = template_mean(jnp.asarray(rows[chosen]))
    np.testing.assert_allclose(
      table.embeddings[label, column], expected, atol=1e-6
    )
  np.testing.assert_array_equal(table.embeddings[0, 1], rows[3])
  np.testing.assert_array_equal(table.embeddings[1, 1], np.zeros(DIM))
  assert table.mask.tolist() == [[True, True, False], [True, True, True]]


def test_nonsense_without_a_file_is_the_same_for_all_classes():
  texts = TEXTS._replace(files={})
  first, again = prepared("waffle", texts), prepared("waffle", texts)
  assert first.vertices == again.vertices
  ends = [
    [prompts[0].split(", which")[1] for prompts in of_class]
    for of_class in first.vertices
  ]
  assert ends[0] == ends[1] == ends[2] and len(ends[0]) == 30
  other = prepared("waffle", texts._replace(seed=4))
  assert other.vertices != first.vertices


def test_a_method_of_ones_own(images):
  def last(embeddings, space):
    return jnp.einsum("...d,cd->...c", embeddings, space.points[:, 0])

  made = prepare_methods({"mine": Method(concepts, last, core=True)}, TEXTS)
  table = embed_vertices(
    made[0].vertices, made[0].prompts, embed(made[0].prompts)
  )
  scores = jax.jit(lambda s, x: s(x))(
    Scorers(OPTIONS).scorer(made[0], table), images
  )
  np.testing.assert_allclose(
    scores, images @ table.embeddings[:, 0].T, atol=2e-6
  )


@pytest.mark.parametrize(
  ("vertices", "rule"),
  [
    (lambda texts: ((("a",),),), "make vertices for 3 classes, got 1"),
    (
      lambda texts: ((("a",),), (), (("b",),)),
      r"got none for class 1 \('tea cup'\)",
    ),
    (
      lambda texts: ((("a",),), ((),), (("b",),)),
      r"got none for class 1 \('tea cup'\)",
    ),
  ],
)
def test_a_method_must_give_every_class_a_text(vertices, rule):
  with pytest.raises(ValueError, match=rule):
    prepare_methods({"mine": Method(vertices)}, TEXTS)


def test_files_are_asked_for_where_they_are_needed():
  for name, method in METHODS.items():
    if name not in NEED_FILES:
      assert method.vertices(TEXTS._replace(files={}))
    else:
      with pytest.raises(KeyError, match=name):
        method.vertices(TEXTS._replace(files={}))
