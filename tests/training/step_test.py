"""One training step: the loss, the optimisers, what fades and what is kept."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from s3_jax.clip.resnet import BATCH
from s3_jax.clip.towers import (
  embed_images,
  embed_texts,
  image_tower,
  normalize_images,
)
from s3_jax.training import step as training
from s3_jax.training.step import (
  TrainState,
  contrastive_loss,
  init_state,
  make_optimizer,
  make_train_step,
)

CLASSES = 4


def brute_loss(images, texts, labels, logit_scale):
  """CLIP's symmetric loss, one cross-entropy at a time, in float64."""
  images, texts = np.float64(images), np.float64(texts)
  logits = math.exp(logit_scale) * images @ texts.T
  to_text = [
    -(row[label] - math.log(sum(math.exp(x) for x in row)))
    for row, label in zip(logits, labels, strict=True)
  ]
  to_image = []
  for label, column in enumerate(logits.T):
    total = math.log(sum(math.exp(x) for x in column))
    own = [x - total for x, y in zip(column, labels, strict=True) if y == label]
    if own:
      to_image.append(-sum(own) / len(own))
  return (np.mean(to_text) + np.mean(to_image)) / 2


def unit(rng, *shape):
  points = rng.normal(size=shape).astype(np.float32)
  return points / np.linalg.norm(points, axis=-1, keepdims=True)


@pytest.mark.parametrize(
  ("classes", "labels"),
  [
    (1, [0]),
    (1, [0, 0, 0]),
    (2, [1]),
    (3, [2, 0, 1]),
    (3, [2, 2, 2, 2]),
    (5, [3, 0, 3, 3, 0]),
    (4, [0, 1, 2, 3, 3, 2, 1, 0, 0]),
  ],
)
@pytest.mark.parametrize("logit_scale", [0.0, 2.0, math.log(100)])
def test_loss_is_that_of_a_double_loop(classes, labels, logit_scale):
  rng = np.random.default_rng(len(labels))
  images, texts = unit(rng, len(labels), 6), unit(rng, classes, 6)
  loss = jax.jit(contrastive_loss)(
    jnp.asarray(images),
    jnp.asarray(texts),
    jnp.asarray(labels),
    jnp.asarray(logit_scale, jnp.float32),
  )
  expected = brute_loss(images, texts, labels, logit_scale)
  assert float(loss) == pytest.approx(expected, rel=1e-4, abs=1e-5)


def test_loss_and_gradient_are_finite_without_a_class():
  rng = np.random.default_rng(0)
  images, texts = jnp.asarray(unit(rng, 3, 4)), jnp.asarray(unit(rng, 5, 4))
  loss, gradients = jax.jit(jax.value_and_grad(contrastive_loss, (0, 1, 3)))(
    images, texts, jnp.zeros(3, jnp.int32), jnp.float32(4.6)
  )
  assert all(np.isfinite(g).all() for g in (loss, *gradients))


def test_right_pairs_have_no_loss():
  eye = jnp.eye(3)
  scale = jnp.float32(math.log(100))
  labels = jnp.array([2, 0, 0, 1])
  assert float(contrastive_loss(eye[labels], eye, labels, scale)) == (
    pytest.approx(math.log(2) / 6, rel=1e-5)  # class 0's two images share
  )
  wrong = contrastive_loss(eye[labels], eye, (labels + 1) % 3, scale)
  assert float(wrong) > 50


@pytest.fixture(scope="module")
def batch(spec):
  """Images whose class is their brightness, and a distinct text a class."""
  rng = np.random.default_rng(0)
  labels = np.array([0, 1, 2, 3, 0, 1, 2, 3], np.int32)
  images = (
    rng.integers(0, 40, (8, 16, 16, 3)) + 70 * labels[:, None, None, None]
  )
  token_ids = np.full((CLASSES, 8), spec.end_token_id, np.int32)
  token_ids[:, 0] = spec.start_token_id
  token_ids[:, 1:3] = rng.integers(0, 500, (CLASSES, 2))
  return images.astype(np.uint8), labels, token_ids


@pytest.fixture(scope="module")
def descent():
  """Moves the prototypes by minus their gradient and the towers not at all."""

  def update(gradients, _):
    towers, prototypes = gradients
    return jax.tree.map(jnp.zeros_like, towers), -prototypes

  return optax.stateless(update)


@pytest.fixture(scope="module")
def descend(spec, descent):
  """A step whose auxiliary loss is gone after 10 of 20."""
  return make_train_step(
    spec, descent, steps=20, auxiliary_share=0.5, dtype="float32"
  )


@pytest.fixture
def start(initial):
  """The same start again and again: a step consumes its state."""
  return jax.tree.map(jnp.array, initial)


@pytest.fixture(scope="module")
def initial(spec, descent):
  key = jax.random.key(0)
  state = init_state(key, spec, descent, classes=CLASSES)
  return jax.tree.map(np.asarray, state)


@pytest.mark.parametrize(
  ("name", "rate", "dtype"),
  [("muon", 0.02, "float32"), ("adamw", 0.01, "bfloat16")],
)
def test_both_optimisers_learn(spec, batch, start, name, rate, dtype):
  steps = 25
  optimizer = make_optimizer(
    name, steps=steps, warmup_steps=2, learning_rate=rate, weight_decay=0.01
  )
  trainable = (start.params, start.prototypes)
  state = start._replace(optimizer_state=optimizer.init(trainable))
  train_step = make_train_step(spec, optimizer, steps=steps, dtype=dtype)
  losses = []
  for _ in range(steps):
    state, metrics = train_step(state, *batch)
    losses.append(float(metrics.loss))
  assert int(state.step) == steps
  assert np.mean(losses[-3:]) < 0.6 * np.mean(losses[:3])
  assert float(metrics.batch_accuracy) > 0.4
  for leaf in jax.tree.leaves(state.params):
    assert leaf.dtype == jnp.float32 and np.isfinite(leaf).all()


def test_the_reported_loss_is_the_contrastive_one(spec, batch, start, descend):
  images, labels, token_ids = batch
  embedded = np.asarray(embed_images(spec, start.params, images))
  texts = np.asarray(embed_texts(spec, start.params, token_ids))
  logit_scale = float(start.params["logit_scale"])
  _, metrics = descend(start, *batch)
  expected = brute_loss(embedded, texts, labels, logit_scale)
  assert float(metrics.loss) == pytest.approx(expected, rel=1e-4)
  nearest = np.argmax(np.float64(embedded) @ np.float64(texts).T, axis=1)
  assert float(metrics.batch_accuracy) == np.mean(nearest == labels)


def test_the_auxiliary_loss_fades_to_nothing(batch, initial, descend):
  moved = {}
  for step in (0, 5, 9, 10, 19):
    state = jax.tree.map(jnp.array, initial._replace(step=np.int32(step)))
    after, _ = descend(state, *batch)
    moved[step] = np.asarray(after.prototypes) - initial.prototypes
    assert int(after.step) == step + 1
  # The prototypes move by the weight times a constant.
  assert np.abs(moved[0]).max() > 1e-4
  np.testing.assert_allclose(moved[5], 0.5 * moved[0], rtol=1e-3, atol=1e-6)
  np.testing.assert_allclose(moved[9], 0.1 * moved[0], rtol=1e-3, atol=1e-6)
  assert not moved[10].any() and not moved[19].any()


@pytest.mark.parametrize(
  ("given", "kept"), [(9.0, math.log(100)), (-3.0, 0.0), (1.5, 1.5)]
)
def test_the_logit_scale_is_clipped(batch, start, descend, given, kept):
  params = {**start.params, "logit_scale": jnp.float32(given)}
  after, _ = descend(start._replace(params=params), *batch)
  assert float(after.params["logit_scale"]) == pytest.approx(kept, rel=1e-6)


def test_a_state_has_all_that_a_run_needs(spec, initial, descent):
  again = init_state(jax.random.key(0), spec, descent, classes=CLASSES)
  other = init_state(jax.random.key(1), spec, descent, classes=CLASSES)
  assert isinstance(again, TrainState) and int(again.step) == 0
  assert again.prototypes.shape == (CLASSES, spec.embed_dim)
  for one, two in zip(
    jax.tree.leaves(initial), jax.tree.leaves(again), strict=True
  ):
    np.testing.assert_array_equal(one, two)
  assert not np.array_equal(again.prototypes, other.prototypes)


def test_positions_start_as_neighbours(initial):
  table = np.asarray(initial.params["image"]["position_embedding"], np.float64)
  assert table.shape == (5, 16) and not table[0].any()
  wide = np.asarray(training._sinusoidal_positions(6, 24), np.float64)[1:]
  np.testing.assert_allclose(np.abs(wide).max(), 0.1, rtol=1e-3)
  indices = np.array([(row, col) for row in range(6) for col in range(6)])
  for index, point in zip(indices, wide, strict=True):
    steps = np.abs(indices - index).sum(1)
    distances = np.linalg.norm(wide - point, axis=1)
    assert distances[steps == 1].max() < distances[steps >= 3].min()
    # Rows and columns count alike, and no two places share a vector.
    assert distances[steps > 0].min() > 0.01


@pytest.mark.parametrize("name", ["sgd", "", "Muon"])
def test_an_unknown_optimiser_is_refused(name):
  with pytest.raises(ValueError, match=f"`optimizer` must be .*got '{name}'"):
    make_optimizer(
      name, steps=2, warmup_steps=1, learning_rate=0.1, weight_decay=0.0
    )


def updates_of(name, *, weight_decay, gradient):
  """Every step's largest update of a block's matrix, its bias, the rest."""
  optimizer = make_optimizer(
    name, steps=12, warmup_steps=4, learning_rate=0.1, weight_decay=weight_decay
  )
  block = {"kernel": jnp.ones((4, 3)), "bias": jnp.ones(3)}
  params = {"image": {"block_0": block, "projection": {"kernel": block}}}
  trainable = (params, jnp.ones((2, 3)))
  gradients = jax.tree.map(lambda x: jnp.full_like(x, gradient), trainable)

  @jax.jit
  def update(state):
    updates, state = optimizer.update(gradients, state, trainable)
    tower, prototypes = updates
    sizes = (
      tower["image"]["block_0"]["kernel"],
      tower["image"]["block_0"]["bias"],
      tower["image"]["projection"]["kernel"]["kernel"],
      prototypes,
    )
    return jnp.stack([jnp.abs(size).max() for size in sizes]), state

  state, sizes = optimizer.init(trainable), []
  for _ in range(13):
    size, state = update(state)
    sizes.append(np.asarray(size))
  return np.array(sizes)


@pytest.mark.parametrize("name", ["muon", "adamw"])
def test_the_rate_rises_and_falls(name):
  sizes = updates_of(name, weight_decay=0.0, gradient=1.0)
  for size in sizes.T:
    assert size[0] == 0 and size[12] < 1e-6
    np.testing.assert_allclose(size[:5], size[4] * np.arange(5) / 4, rtol=0.15)
    cosine = (1 + np.cos(np.pi * np.arange(9) / 8)) / 2
    np.testing.assert_allclose(size[4:], size[4] * cosine, rtol=0.05, atol=1e-6)
  # Adam moves every entry by its rate: 0.1, of which Muon's rest has a tenth.
  rate = 0.1 if name == "adamw" else 0.01
  np.testing.assert_allclose(sizes[4, 1:], rate, rtol=0.05)


@pytest.mark.parametrize("name", ["muon", "adamw"])
def test_weight_decay_is_for_the_blocks_matrices(name):
  sizes = updates_of(name, weight_decay=0.5, gradient=0.0)
  assert sizes[4, 0] == pytest.approx(0.1 * 0.5, rel=1e-3)
  assert not sizes[:, 1:].any()


@pytest.fixture(scope="module")
def resnet(spec):
  """The same sizes with a ResNet as the image tower."""
  return spec._replace(
    image_tower="resnet",
    image_size=32,
    patch_size=32,
    image_width=4,
    image_layers=4,
    image_stages=(1, 1, 1, 1),
    image_heads=2,
    image_mlp_dim=0,
    image_pooling="attention",
  )


@pytest.fixture(scope="module")
def bright(batch):
  """The same batch, in the size that the ResNet reads."""
  images, labels, token_ids = batch
  return images.repeat(2, 1).repeat(2, 2), labels, token_ids


def norms(params):
  found = jax.tree_util.tree_leaves_with_path(params["image"])
  kept = [(str(path), leaf) for path, leaf in found]
  return {
    kind: {path: np.asarray(x) for path, x in kept if f"'{kind}'" in path}
    for kind in ("mean", "variance")
  }


@pytest.mark.parametrize(("name", "rate"), [("muon", 0.02), ("adamw", 0.003)])
def test_a_resnet_learns_and_keeps_running_moments(resnet, bright, name, rate):
  optimizer = make_optimizer(
    name, steps=200, warmup_steps=5, learning_rate=rate, weight_decay=0.05
  )
  state = init_state(jax.random.key(0), resnet, optimizer, classes=CLASSES)
  first = norms(state.params)
  step = make_train_step(resnet, optimizer, steps=200, dtype="float32")
  losses = []
  for number in range(200):
    state, metrics = step(state, *bright)
    losses.append(float(metrics.loss))
    if number == 0:
      one = norms(state.params)
  assert np.mean(losses[-5:]) < 0.5 * np.mean(losses[:5])
  # The first step keeps a tenth of the stored moments.
  stem = state.params["image"]["stem"]["norm_1"]
  assert stem["mean"].shape == (2,)
  for kind, kept in first.items():
    assert len(kept) == 3 + 3 * 4 + 4
    for path, value in kept.items():
      assert not np.array_equal(one[kind][path], value)
  # And inference by them knows the classes.
  images, labels, token_ids = bright
  scores = (
    embed_images(resnet, state.params, images)
    @ embed_texts(resnet, state.params, token_ids).T
  )
  assert (np.asarray(scores).argmax(1) == labels).all()


def test_moments_are_a_running_mean_of_those_of_the_batches(resnet, bright):
  """Of unmoved parameters: theirs, at last."""

  def still(gradients, _):
    return jax.tree.map(jnp.zeros_like, gradients)

  optimizer = optax.stateless(still)
  state = init_state(jax.random.key(1), resnet, optimizer, classes=CLASSES)
  # Copies: a step consumes its state.
  params = jax.tree.map(jnp.array, state.params)
  step = make_train_step(resnet, optimizer, steps=9, dtype="float32")
  images, labels, token_ids = bright
  _, moments = image_tower(resnet).apply(
    {"params": params["image"]},
    normalize_images(resnet, images),
    mutable=[BATCH],
  )
  wanted = moments[BATCH]["stem"]["norm_1"]
  kept = 1.0
  for number in range(3):
    state, _ = step(state, images, labels, token_ids)
    kept *= (1 + number) / (10 + number)
    found = state.params["image"]["stem"]["norm_1"]
    for kind, start in (("mean", 0.0), ("variance", 1.0)):
      np.testing.assert_allclose(
        found[kind],
        kept * start + (1 - kept) * np.asarray(wanted[kind]),
        rtol=1e-4,
        atol=1e-5,
      )


def test_captions_of_the_batch_alone_match_by_their_places(
  spec, batch, start, initial
):
  """Images of classes 2 and 0 with two captions, in that order."""
  images, _, token_ids = batch
  still = optax.stateless(
    lambda gradients, _: jax.tree.map(jnp.zeros_like, gradients)
  )
  step = make_train_step(spec, still, steps=2, dtype="float32")
  state = start._replace(optimizer_state=still.init(()))
  chosen = np.array([2, 0], np.int32)
  _, metrics = step(
    state, images[chosen], chosen, token_ids[chosen], np.array([0, 1], np.int32)
  )
  expected = brute_loss(
    embed_images(spec, initial.params, images[chosen]),
    embed_texts(spec, initial.params, token_ids[chosen]),
    [0, 1],
    float(initial.params["logit_scale"]),
  )
  assert float(metrics.loss) == pytest.approx(expected, rel=1e-4)
