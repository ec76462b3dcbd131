"""The evaluator on eight devices, against counts of plain numpy."""

import functools
from typing import Any

import flax
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from s3_jax import (
  POINT_TO_SPACE,
  attach_complex,
  build_space,
  embed_images,
  l2_normalize,
  zero_shot_scores,
)
from s3_jax.integrations import scenic

DEVICES = 8
CLASSES = 7
replicate = flax.jax_utils.replicate


class ListWriter:
  """Keeps what a writer of clu would write."""

  def __init__(self):
    self.written: list[tuple[int, dict[str, Any]]] = []
    self.flushed = 0

  def write_scalars(self, step, scalars):
    self.written.append((step, dict(scalars)))

  def flush(self):
    self.flushed += 1


def in_batches(rows: int, **arrays: np.ndarray) -> list[dict[str, np.ndarray]]:
  """Pads arrays with zeros, as Scenic does, and deals them to the devices."""
  n = len(next(iter(arrays.values())))
  steps = -(-n // rows)
  arrays["batch_mask"] = np.ones(n, np.float32)

  def dealt(value):
    padded = np.zeros((steps * rows, *value.shape[1:]), value.dtype)
    padded[:n] = value
    return padded.reshape(steps, DEVICES, -1, *value.shape[1:])

  dealt_out = {name: dealt(value) for name, value in arrays.items()}
  return [
    {name: value[step] for name, value in dealt_out.items()}
    for step in range(steps)
  ]


def ranks(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
  """Place of each label, by a sort that keeps equal scores in class order."""
  order = np.argsort(-np.asarray(scores, np.float64), axis=1, kind="stable")
  return np.argmax(order == labels[:, None], axis=1)


class Setting:
  """One tiny checkpoint, its classes and 45 images."""

  def __init__(self, spec, params):
    rng = np.random.default_rng(3)
    self.spec, self.params = spec, params
    self.pixels = rng.integers(0, 256, (45, 16, 16, 3), dtype=np.uint8)
    self.images = embed_images(spec, params, self.pixels)
    self.labels = rng.integers(0, CLASSES, 45).astype(np.int32)
    # Texts about the images of their class, so that some answers are right.
    noise = rng.normal(size=(CLASSES, 4, spec.embed_dim)).astype(np.float32)
    means = np.stack(
      [
        np.asarray(self.images)[self.labels == label].mean(0)
        for label in range(CLASSES)
      ]
    )
    texts = l2_normalize(means[:, None] + 0.02 * noise)
    mask = np.arange(4) < np.array([4, 3, 4, 2, 4, 4, 1])[:, None]
    self.space = attach_complex(
      build_space(texts, mask, keep="all", scale="gap")
    )
    self.classifier = texts[:, 0]

  def step(self, **options):
    bound = functools.partial(scenic.eval_step, spec=self.spec, **options)
    return jax.pmap(bound, axis_name="batch")

  def expected(self, scores) -> dict[str, float | int]:
    indices = ranks(scores, self.labels)
    return {
      "valid_accuracy": int(np.sum(indices < 1)) / 45,
      "valid_top5_accuracy": int(np.sum(indices < 5)) / 45,
      "valid_n": 45,
    }


@pytest.fixture(scope="module")
def setting(vit, draw):
  return Setting(vit, draw(vit))


@pytest.fixture(scope="module")
def step(setting):
  return setting.step()


@pytest.fixture(scope="module")
def params(setting):
  return replicate(setting.params)


@pytest.fixture(scope="module")
def space(setting):
  return replicate(setting.space)


def test_counts_are_those_of_numpy(setting, step, params, space):
  """45 images in batches of 16: the last has 13, on seven of the devices."""
  writer = ListWriter()
  batches = in_batches(16, inputs=setting.pixels, label=setting.labels)
  assert len(batches) == 3
  summary = scenic.evaluate(
    step,
    params,
    space,
    iter(batches),
    steps=3,
    global_step=120,
    writer=writer,
  )
  scores = POINT_TO_SPACE["local_center"](setting.images, setting.space)
  assert summary == setting.expected(scores)
  assert 0 < summary["valid_accuracy"] < summary["valid_top5_accuracy"] < 1
  assert writer.written == [(120, summary)] and writer.flushed == 1


@pytest.mark.parametrize("metric", ["complex", "nearest_point"])
def test_metrics_by_name(setting, params, space, metric):
  batches = in_batches(48, inputs=setting.pixels, label=setting.labels)
  step = setting.step(metric=metric)
  summary = scenic.evaluate(step, params, space, iter(batches), steps=1)
  scores = POINT_TO_SPACE[metric](setting.images, setting.space)
  assert summary == setting.expected(scores)


def test_a_metric_of_your_own_with_options(setting, params, space):
  def farthest(embeddings, space, *, sign):
    return sign * POINT_TO_SPACE["center"](embeddings, space)

  batches = in_batches(48, inputs=setting.pixels, label=setting.labels)
  step = setting.step(metric=farthest, metric_options={"sign": -1.0})
  summary = scenic.evaluate(step, params, space, iter(batches), steps=1)
  scores = -POINT_TO_SPACE["center"](setting.images, setting.space)
  assert summary == setting.expected(scores)


def test_a_classifier_and_labels_in_rows(setting, params):
  rows = np.eye(CLASSES, dtype=np.float32)[setting.labels]
  batches = in_batches(16, inputs=setting.pixels, label=0.9 * rows + 0.01)
  step = setting.step(target_is_onehot=True)
  classifier = replicate(setting.classifier)
  summary = scenic.evaluate(
    step, params, classifier, iter(batches), steps=3, prefix="test"
  )
  scores = zero_shot_scores(setting.images, setting.classifier)
  expected = setting.expected(scores)
  assert summary == {
    name.replace("valid", "test"): value for name, value in expected.items()
  }


def test_pairs_add_up_as_scenic_adds_them(setting, step, params, space):
  """Stacked over steps, summed, divided: what `log_eval_summary` does."""
  batches = in_batches(16, inputs=setting.pixels, label=setting.labels)
  pairs = []
  for batch in batches:
    pairs.append(
      jax.device_get(flax.jax_utils.unreplicate(step(params, space, batch)))
    )
  assert {value.dtype for value in jax.tree.leaves(pairs)} == {np.dtype("i4")}
  assert [int(pair["accuracy"][1]) for pair in pairs] == [16, 16, 13]
  stacked = jax.tree.map(lambda *values: np.stack(values), *pairs)
  sums = {name: (a.sum(), b.sum()) for name, (a, b) in stacked.items()}
  scores = POINT_TO_SPACE["local_center"](setting.images, setting.space)
  expected = setting.expected(scores)
  for name in ("accuracy", "top5_accuracy"):
    assert sums[name][0] / sums[name][1] == expected[f"valid_{name}"]
  assert sums["not_finite"] == sums["out_of_range"] == (0, 45)


def test_every_device_has_the_whole_count(setting, step, params, space):
  (batch,) = in_batches(48, inputs=setting.pixels, label=setting.labels)
  pairs = step(params, space, batch)
  for value in jax.tree.leaves(pairs):
    assert value.shape == (DEVICES,)
    assert len(set(np.asarray(value).tolist())) == 1


def test_masks_anywhere_and_none_at_all(setting, step, params, space):
  (batch,) = in_batches(
    40, inputs=setting.pixels[:40], label=setting.labels[:40]
  )
  indices = ranks(
    POINT_TO_SPACE["local_center"](setting.images, setting.space),
    setting.labels,
  )[:40]
  keep = np.arange(40) % 3 != 1
  masked = {**batch, "batch_mask": keep.reshape(DEVICES, 5).astype(np.float32)}
  # What is masked out may hold anything.
  masked["label"] = np.where(masked["batch_mask"] > 0, batch["label"], -9)
  summary = scenic.evaluate(step, params, space, iter([masked]), steps=1)
  assert summary["valid_n"] == keep.sum()
  assert summary["valid_accuracy"] == np.sum(indices[keep] < 1) / keep.sum()
  del batch["batch_mask"]
  summary = scenic.evaluate(step, params, space, iter([batch]), steps=1)
  assert summary["valid_n"] == 40
  assert summary["valid_accuracy"] == np.sum(indices < 1) / 40


@pytest.mark.parametrize(
  ("scaling", "scale"),
  [
    (None, lambda x, spec: (x / 255 - spec.image_mean) / spec.image_std),
    (scenic.UNIT, lambda x, spec: x / 255),
    (scenic.BYTES, lambda x, spec: x),
    (
      scenic.IMAGENET,
      lambda x, spec: (
        (x / 255 - np.array([0.485, 0.456, 0.406]))
        / np.array([0.229, 0.224, 0.225])
      ),
    ),
  ],
)
def test_inputs_in_every_scale_give_the_same(
  setting, params, space, scaling, scale
):
  pixels = setting.pixels.astype(np.float64)
  inputs = scale(pixels, setting.spec).astype(np.float32)
  step = setting.step(scaling=scaling)
  batches = in_batches(48, inputs=inputs, label=setting.labels)
  summary = scenic.evaluate(step, params, space, iter(batches), steps=1)
  scores = POINT_TO_SPACE["local_center"](setting.images, setting.space)
  assert summary == setting.expected(scores)


def test_pixels_not_divided_by_255_are_noticed(setting, step, params, space):
  """Scenic's normalize_image on 0..255, a mistake that nothing else shows."""
  spec = setting.spec
  inputs = (setting.pixels - np.array(spec.image_mean)) / spec.image_std
  batches = in_batches(
    48, inputs=inputs.astype(np.float32), label=setting.labels
  )
  with pytest.raises(ValueError, match="and 45 of 45 have values far outside"):
    scenic.evaluate(step, params, space, iter(batches), steps=1)


def test_uint8_has_no_scaling(setting, params, space):
  step = setting.step(scaling=scenic.UNIT)
  batches = in_batches(48, inputs=setting.pixels, label=setting.labels)
  with pytest.raises(ValueError, match="`scaling` must be None for uint8"):
    scenic.evaluate(step, params, space, iter(batches), steps=1)


def test_class_data_are_arguments_of_one_program(setting, params, space):
  """Two spaces of a shape share a compilation: neither is a constant in it."""
  traced = []

  def metric(embeddings, space):
    traced.append(embeddings.shape)
    return POINT_TO_SPACE["local_center"](embeddings, space)

  step = setting.step(metric=metric)
  other = jax.tree.map(lambda leaf: leaf[:, ::-1], space)
  summaries = []
  for data in (space, other):
    batches = in_batches(16, inputs=setting.pixels, label=setting.labels)
    summaries.append(
      scenic.evaluate(step, params, data, iter(batches), steps=3)
    )
  assert traced == [(2, setting.spec.embed_dim)]
  assert summaries[0] != summaries[1]
  jaxpr = jax.make_jaxpr(step)(params, space, batch := batches[0])
  texts = setting.space.points.size
  assert batch and all(np.size(value) < texts for value in jaxpr.consts)


def test_ties_and_fewer_than_five_classes():
  """By hand: equal scores go to the lowest index; all are within five."""
  scores = jnp.asarray([[[0.5, 0.5, 0.1]], [[0.2, 0.5, 0.5]]] * 4)
  labels = np.array([[0], [2]] * 4)

  def step(state, class_data, batch):
    return scenic.metric_pairs(state, batch)

  pairs = jax.pmap(step, axis_name="batch")(scores, scores, {"label": labels})
  accuracy, top5 = pairs["accuracy"], pairs["top5_accuracy"]
  assert [int(value[0]) for value in (*accuracy, *top5)] == [4, 8, 8, 8]


def test_scores_that_are_not_finite_end_the_evaluation(setting, step, space):
  broken = jax.tree.map(jnp.array, setting.params)
  broken["image"]["projection"]["kernel"] *= jnp.nan
  batches = in_batches(48, inputs=setting.pixels, label=setting.labels)
  with pytest.raises(ValueError, match="finite scores, and 45 of 45 have not"):
    scenic.evaluate(step, replicate(broken), space, iter(batches), steps=1)


def test_a_step_of_your_own(setting):
  """Embeddings by anything; only `metric_pairs` is ours."""

  def step(state, classifier, batch):
    scores = jnp.einsum("bd,cd->bc", batch["inputs"] * state, classifier)
    return {**scenic.metric_pairs(scores, batch), "twice": (2, 1)}

  embeddings = np.asarray(setting.images)
  batches = in_batches(16, inputs=embeddings, label=setting.labels)
  summary = scenic.evaluate(
    jax.pmap(step, axis_name="batch"),
    replicate(np.float32(1)),
    replicate(setting.classifier),
    iter(batches),
    steps=3,
  )
  scores = zero_shot_scores(setting.images, setting.classifier)
  assert summary == {**setting.expected(scores), "valid_twice": 2.0}


def test_what_cannot_be_evaluated_is_said(setting, step, params, space):
  batches = in_batches(48, inputs=setting.pixels, label=setting.labels)

  def run(*, state=params, data=space, given=batches, steps=1):
    scenic.evaluate(step, state, data, iter(given), steps=steps)

  with pytest.raises(ValueError, match="`steps` must be.*got 0"):
    run(steps=0)
  with pytest.raises(ValueError, match="give 2 batches.*got 1"):
    run(steps=2)
  with pytest.raises(ValueError, match="`state` must be replicated.*replicate"):
    run(state=setting.params)
  with pytest.raises(ValueError, match="`class_data` must be replicated"):
    run(data=setting.space)
  empty = {**batches[0], "batch_mask": np.zeros((8, 6), np.float32)}
  with pytest.raises(ValueError, match="at least one real image"):
    run(given=[empty])
  wrong = {**batches[0], "label": np.full((8, 6), CLASSES)}
  with pytest.raises(ValueError, match=r"`label` must be in 0\.\.6.*got 7"):
    run(given=[wrong])
  rows = {**batches[0], "label": np.zeros((8, 6, CLASSES), np.float32)}
  with pytest.raises(ValueError, match=r"shape \[6\].*False, got \[6, 7\]"):
    run(given=[rows])
  with pytest.raises(
    ValueError, match="`metric` must be.*local_center.*'mean'"
  ):
    scenic.evaluate(
      setting.step(metric="mean"), params, space, iter(batches), steps=1
    )


def test_scenics_own_summary(setting, step, params, space):
  """`log_eval_summary` of the real package, where it is installed."""
  train_utils = pytest.importorskip("scenic.train_lib.train_utils")
  writer = ListWriter()
  batches = in_batches(16, inputs=setting.pixels, label=setting.labels)
  pairs = [
    train_utils.unreplicate_and_get(step(params, space, batch))
    for batch in batches
  ]
  train_utils.log_eval_summary(
    9, writer=writer, eval_metrics=pairs, prefix="valid"
  )
  scores = POINT_TO_SPACE["local_center"](setting.images, setting.space)
  expected = setting.expected(scores)
  ((at, written),) = writer.written
  assert at == 9
  for name in ("valid_accuracy", "valid_top5_accuracy"):
    # Scenic adds 1e-9 to what it divides by.
    assert written[name] == pytest.approx(expected[name], rel=1e-9)
