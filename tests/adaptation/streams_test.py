"""TDA and DMN against their papers' loops in float64, written with lists."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from s3_jax.adaptation import DmnOptions, TdaOptions, dmn_scores, tda_scores

SCALE = np.log(20.0)


def world(images=60, classes=5, dim=12, seed=0):
  rng = np.random.default_rng(seed)
  texts = rng.normal(size=(classes, dim))
  labels = rng.integers(classes, size=images)
  embeddings = texts[labels] + 1.1 * rng.normal(size=(images, dim))
  embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
  texts /= np.linalg.norm(texts, axis=1, keepdims=True)
  return embeddings, embeddings @ texts.T, texts


def softmax(logits):
  shifted = np.exp(logits - logits.max())
  return shifted / shifted.sum()


def entropy_of(likely):
  return -(likely * np.log(likely)).sum()


def keep(cache, label, item, places):
  """Puts (entropy, ...) into the sorted list of a class, equals behind."""
  held = cache.setdefault(label, [])
  if len(held) < places:
    held.append(item)
  elif item[0] < held[-1][0]:
    held[-1] = item
  held.sort(key=lambda each: each[0])


def tda_oracle(embeddings, scores, options):
  positive, negative, results = {}, {}, []
  classes = scores.shape[1]
  for x, own in zip(embeddings, scores, strict=True):
    logits = np.exp(SCALE) * own
    likely = softmax(logits)
    entropy, label = entropy_of(likely), int(logits.argmax())
    keep(positive, label, (entropy, x), options.positive_places)
    low, high = options.entropy_range
    if low < entropy / np.log2(classes) < high:
      at_least, below = options.probability_range
      against = (at_least < likely) & (likely < below)
      keep(negative, label, (entropy, x, against), options.negative_places)
    logits = logits.copy()
    for name, held in positive.items():
      for _, key in held:
        vote = np.exp(-options.positive_sharpness * (1 - key @ x))
        logits[name] += options.positive_weight * vote
    for held in negative.values():
      for _, key, against in held:
        vote = np.exp(-options.negative_sharpness * (1 - key @ x))
        logits -= options.negative_weight * vote * against
    results.append(logits / np.exp(SCALE))
  return np.array(results)


def dmn_oracle(embeddings, scores, texts, options):
  memory, results = {}, []
  for x, own in zip(embeddings, scores, strict=True):
    likely = softmax(np.exp(SCALE) * own)
    keep(memory, int(own.argmax()), (entropy_of(likely), x), options.places)
    logits = []
    for label, text in enumerate(texts):
      keys = [text, *(key for _, key in memory.get(label, []))]
      mean = sum(np.exp(-options.sharpness * (1 - k @ x)) * k for k in keys)
      logits.append(np.exp(SCALE) * mean @ x / np.linalg.norm(mean))
    mixed = likely + options.memory_weight * softmax(np.array(logits))
    results.append(mixed / (1 + options.memory_weight))
  return np.array(results)


TDA = [
  TdaOptions(),
  TdaOptions(positive_places=1, negative_places=1),
  TdaOptions(entropy_range=(0.0, 5.0), probability_range=(0.1, 0.9)),
  TdaOptions(negative_weight=3.0, negative_sharpness=4.0, positive_weight=0.5),
]


@pytest.mark.parametrize("options", TDA)
@pytest.mark.parametrize("classes", [2, 5])
def test_tda_is_the_papers_loop(options, classes):
  embeddings, scores, _ = world(classes=classes)
  found, _ = tda_scores(embeddings, scores, SCALE, options=options)
  expected = tda_oracle(embeddings, scores, options)
  np.testing.assert_allclose(found, expected, atol=3e-6)
  assert np.abs(np.asarray(found) - scores).max() > 1e-3


@pytest.mark.parametrize(
  "options",
  [DmnOptions(), DmnOptions(places=2), DmnOptions(2, 9.0, 0.3)],
)
def test_dmn_is_the_papers_loop(options):
  embeddings, scores, texts = world()
  found, _ = dmn_scores(embeddings, scores, texts, SCALE, options=options)
  likely = jax.nn.softmax(np.exp(SCALE) * found, axis=1)
  expected = dmn_oracle(embeddings, scores, texts, options)
  np.testing.assert_allclose(likely, expected, atol=5e-6)
  np.testing.assert_allclose(
    np.exp(np.exp(SCALE) * np.asarray(found)), expected, atol=5e-6
  )


def run(method, embeddings, scores, texts, **rest):
  if method == "tda":
    return tda_scores(embeddings, scores, SCALE, **rest)
  return dmn_scores(embeddings, scores, texts, SCALE, **rest)


methods = pytest.mark.parametrize("method", ["tda", "dmn"])


@methods
def test_pieces_of_a_stream_are_the_whole(method):
  embeddings, scores, texts = world()
  whole, end = run(method, embeddings, scores, texts)
  state, parts = None, []
  for first, last in ((0, 1), (1, 20), (20, 60)):
    part, state = run(
      method, embeddings[first:last], scores[first:last], texts, state=state
    )
    parts.append(part)
  np.testing.assert_array_equal(np.concatenate(parts), whole)
  for one, other in zip(
    jax.tree.leaves(state), jax.tree.leaves(end), strict=True
  ):
    np.testing.assert_array_equal(one, other)


@methods
def test_an_image_sees_no_later_one_and_the_order_counts(method):
  embeddings, scores, texts = world()
  whole, _ = run(method, embeddings, scores, texts)
  start, _ = run(method, embeddings[:25], scores[:25], texts)
  np.testing.assert_array_equal(whole[:25], start)
  order = np.random.default_rng(1).permutation(60)
  other, _ = run(method, embeddings[order], scores[order], texts)
  assert np.abs(np.asarray(other)[np.argsort(order)] - whole).max() > 1e-3


@methods
def test_equal_entropies_keep_who_came_first(method):
  embeddings, _, texts = world(images=4)
  scores = np.tile(texts[:1] @ texts.T, (4, 1))  # all alike, all of class 0
  rest = {
    "tda": {"options": TdaOptions(positive_places=2, negative_places=2)},
    "dmn": {"options": DmnOptions(places=2)},
  }[method]
  _, state = run(method, embeddings, scores, texts, **rest)
  cache = state.positive if method == "tda" else state
  np.testing.assert_allclose(cache.keys[0], embeddings[:2], atol=1e-6)
  assert np.isinf(cache.entropies[1:]).all()
  assert np.isfinite(cache.entropies[0]).all()


@methods
def test_only_directions_of_embeddings_count(method):
  embeddings, scores, texts = world()
  found, _ = run(method, embeddings, scores, texts)
  lengths = np.random.default_rng(2).uniform(0.1, 9, (60, 1))
  scaled, _ = run(method, lengths * embeddings, scores, 3 * texts)
  np.testing.assert_allclose(scaled, found, atol=2e-6)


@methods
def test_a_rotation_of_everything_changes_nothing(method):
  embeddings, scores, texts = world()
  turn, _ = np.linalg.qr(np.random.default_rng(3).normal(size=(12, 12)))
  found, _ = run(method, embeddings, scores, texts)
  turned, _ = run(method, embeddings @ turn, scores, texts @ turn)
  np.testing.assert_allclose(turned, found, atol=3e-6)


@methods
def test_one_class_and_half_precision(method):
  embeddings, scores, texts = world(classes=1)
  found, _ = run(method, embeddings, scores, texts)
  assert np.isfinite(found).all() and found.shape == (60, 1)
  embeddings, scores, texts = world()
  low, _ = run(method, jnp.asarray(embeddings, jnp.bfloat16), scores, texts)
  assert low.dtype == jnp.float32 and np.isfinite(low).all()


@methods
def test_under_jit_and_vmap(method):
  streams = [world(images=12, seed=seed) for seed in (0, 1)]
  arrays = [np.stack(each) for each in zip(*streams, strict=True)]
  both = jax.jit(jax.vmap(lambda *each: run(method, *each)[0]))(*arrays)
  for index, each in enumerate(streams):
    np.testing.assert_allclose(both[index], run(method, *each)[0], atol=2e-6)


def test_nothing_remembered_is_no_change():
  """The first image speaks for its own class alone."""
  embeddings, scores, texts = world(images=1)
  found, _ = tda_scores(
    embeddings, scores, SCALE, options=TdaOptions(entropy_range=(8, 9))
  )
  gain = np.exp(SCALE) * (np.asarray(found) - scores)[0]
  label = scores[0].argmax()
  np.testing.assert_allclose(gain[label], 2.0, atol=1e-5)
  np.testing.assert_allclose(np.delete(gain, label), 0, atol=1e-5)
  options = DmnOptions(memory_weight=1e-9)
  found, _ = dmn_scores(embeddings, scores, texts, SCALE, options=options)
  likely = jax.nn.softmax(np.exp(SCALE) * found)
  np.testing.assert_allclose(
    likely[0], softmax(np.exp(SCALE) * scores[0]), atol=1e-6
  )


@pytest.mark.parametrize(
  ("change", "rule"),
  [
    ({"embeddings": np.zeros((60, 12))}, "embeddings"),
    ({"scores": np.ones((3, 5))}, r"agree on \[images\]"),
    ({"texts": np.ones((4, 12))}, r"must be \[classes, dim\]"),
    ({"options": DmnOptions(places=0)}, "places"),
    ({"options": DmnOptions(memory_weight=0.0)}, "memory_weight"),
    ({"options": TdaOptions(entropy_range=(0.5, 0.2))}, "ascending pair"),
    ({"options": TdaOptions(negative_places=0)}, "negative_places"),
  ],
)
def test_what_is_refused(change, rule):
  embeddings, scores, texts = world()
  given = {"embeddings": embeddings, "scores": scores, "texts": texts, **change}
  method = "tda" if isinstance(change.get("options"), TdaOptions) else "dmn"
  with pytest.raises(ValueError, match=rule):
    run(method, given.pop("embeddings"), given.pop("scores"), **given)
