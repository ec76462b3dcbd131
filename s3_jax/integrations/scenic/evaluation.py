"""S3 as an evaluation inside a Scenic run.

`eval_step` goes under `jax.pmap` with the axis "batch", as the steps of
Scenic's own trainers do, and returns what `log_eval_summary` adds up. The class
data, made once on the host, is an argument of the compiled program: replicated
like the state, never a constant in it.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int32

from s3_jax.clip import ModelSpec, embed_images
from s3_jax.evaluation import accumulators
from s3_jax.integrations.scenic.inputs import (
  PixelScaling,
  outside_range,
  tower_inputs,
)
from s3_jax.messages import nearest
from s3_jax.point_to_space import POINT_TO_SPACE
from s3_jax.space import SynonymousSpace
from s3_jax.zero_shot import zero_shot_scores

_Pair = tuple[Int32[Array, ""], Int32[Array, ""]]

# Counts that must be 0, and what it means when they are not.
_FAULTS = {
  "not_finite": "must have finite scores, and {count} of {n} have not: look at"
  " the parameters and the inputs",
  "out_of_range": "must have inputs normalised as `scaling` says, and {count}"
  " of {n} have values far outside: Scenic's normalize_image takes pixels in"
  " 0..1, so divide by 255 first",
}


@runtime_checkable  # for the shape checks of the tests
class Writer(Protocol):
  """What is used of a metric writer of clu."""

  def write_scalars(self, step: int, scalars: Mapping[str, Any]) -> None:
    """Writes numbers under their names."""
    ...

  def flush(self) -> None:
    """Makes what was written visible."""
    ...


def metric_pairs(
  scores: Float[Array, "batch classes"],
  batch: Mapping[str, Any],
  *,
  target_is_onehot: bool = False,
  axis_name: str | tuple[str, ...] = "batch",
) -> dict[str, _Pair]:
  """Counts one device's scores and adds the counts up over all devices.

  For a step of your own, such as one that embeds with Scenic's modules.

  Args:
    scores: of the device's images, larger = closer.
    batch: "label", i32[batch], or [batch, classes] with the label's entry
      largest; and "batch_mask", [batch], above 0 = a real image (all are,
      without it). Other keys are not read.
    target_is_onehot: whether labels are rows.
    axis_name: of the enclosing `jax.pmap` or `jax.shard_map`.

  Returns:
    Name -> (sum, normaliser), whole numbers, the same on all devices: sums of
    "accuracy" (right at the first place), "top5_accuracy" (right within five
    places) and "not_finite" (images with a score that is NaN or infinite), each
    with the number of real images. Equal scores go to the lowest class index.

  Raises:
    ValueError: the labels have another shape.

  References:
    The pairs are Scenic's, that they are integers is ours.
  """
  labels = batch["label"]
  shape = scores.shape if target_is_onehot else scores.shape[:1]
  if labels.shape != shape:
    raise ValueError(
      f"`label` must have the shape {list(shape)} on each device, as"
      f" target_is_onehot is {target_is_onehot}, got {list(labels.shape)}."
    )
  if target_is_onehot:
    labels = jnp.argmax(labels, axis=-1)
  real = jnp.ones(scores.shape[:1], bool)
  if "batch_mask" in batch:
    real = batch["batch_mask"] > 0
  finite = jnp.all(jnp.isfinite(scores), axis=-1)
  counts = accumulators.update(
    accumulators.init_counts(scores.shape[1]),
    scores.astype(jnp.float32),
    labels.astype(jnp.int32),
    real,
  )
  sums = {
    "accuracy": counts.top1,
    "top5_accuracy": counts.top5,
    "not_finite": _count(real & ~finite),
  }
  return _paired(sums, counts.n, axis_name)


def eval_step(
  params: Mapping[str, Any],
  class_data: SynonymousSpace | Float[Array, "classes dim"],
  batch: Mapping[str, Any],
  *,
  spec: ModelSpec,
  metric: str | Callable[..., Float[Array, "..."]] = "local_center",
  metric_options: Mapping[str, Any] | None = None,
  scaling: PixelScaling | None = None,
  target_is_onehot: bool = False,
  dtype: str = "float32",
  axis_name: str | tuple[str, ...] = "batch",
) -> dict[str, _Pair]:
  """Embeds one device's images, scores them and counts what is right.

  Bind the options with `functools.partial` and put the rest under
  `jax.pmap(..., axis_name="batch")`.

  Args:
    params: the checkpoint's parameters, ours (`from_variables`).
    class_data: a space, scored by `metric`; or a zero-shot classifier, one unit
      row a class, scored by the cosine, whereupon `metric` is not read.
    batch: "inputs" [batch, height, width, 3] of the checkpoint's image size,
      uint8 pixels or numbers scaled as `scaling` says; "label" and
      "batch_mask" as in `metric_pairs`.
    spec: the checkpoint's settings.
    metric: a name of `POINT_TO_SPACE`, or a function of that signature.
    metric_options: keyword arguments of the metric.
    scaling: how floating-point inputs were scaled; None where they are
      normalised by the checkpoint's own statistics, `(pixel / 255 - mean) /
      std`.
    target_is_onehot: whether labels are rows.
    dtype: type in which matrices are multiplied, "float32" or "bfloat16".
    axis_name: of the enclosing `jax.pmap` or `jax.shard_map`.

  Returns:
    What `metric_pairs` returns, and "out_of_range": images with inputs that
    cannot have been scaled so.

  Raises:
    ValueError: an option is unknown, the images have another size, or the
      labels another shape.
  """
  images = tower_inputs(spec, jnp.asarray(batch["inputs"]), scaling)
  embeddings = embed_images(spec, params, images, dtype=dtype)
  if isinstance(class_data, SynonymousSpace):
    function = _metric(metric)
    scores = function(embeddings, class_data, **(metric_options or {}))
  else:
    scores = zero_shot_scores(embeddings, class_data)
  pairs = metric_pairs(
    scores, batch, target_is_onehot=target_is_onehot, axis_name=axis_name
  )
  outside = outside_range(spec, images)
  if "batch_mask" in batch:
    outside &= batch["batch_mask"] > 0
  count = jax.lax.psum(_count(outside), axis_name)
  return {**pairs, "out_of_range": (count, pairs["accuracy"][1])}


def evaluate(
  step: Callable[..., Mapping[str, tuple[Array, Array]]],
  state: Any,
  class_data: Any,
  batches: Iterator[Mapping[str, Any]],
  *,
  steps: int,
  global_step: int = 0,
  prefix: str = "valid",
  writer: Writer | None = None,
) -> dict[str, float | int]:
  """Runs a step over batches and reports the measures, as Scenic does.

  All processes of a run call this together, each with its own batches.

  Args:
    step: `(state, class_data, batch) -> pairs` under `jax.pmap`: `eval_step`
      with its options bound, or a step of your own that ends in
      `metric_pairs`.
    state: its first argument, replicated (`flax.jax_utils.replicate`).
    class_data: a space or a zero-shot classifier, replicated.
    batches: such as a data set's `valid_iter`, which begins again after its
      last batch; axes [local devices, images, ...].
    steps: batches to take, at least 1: the number of images, divided by that
      of a batch of all processes, rounded up.
    global_step: the training step to write with the numbers.
    prefix: how their names begin.
    writer: of clu, or anything with its two methods.

  Returns:
    "valid_accuracy" and "valid_top5_accuracy", fractions in [0, 1], whatever
    other names the step's pairs have, and "valid_n", the images that count; the
    same that was written.

  Raises:
    ValueError: an option breaks its rule, something is not replicated, there
      are too few batches, a label is out of range, no image counts, or images
      have scores that are not finite or inputs far out of range.
  """
  if steps < 1:
    raise ValueError(f"`steps` must be a whole number >= 1, got {steps}.")
  _require_replicated("state", state)
  _require_replicated("class_data", class_data)
  classes = jax.tree.leaves(class_data)[0].shape[1]
  sums: dict[str, int] = {}
  counts: dict[str, int] = {}

  def add(pairs: Mapping[str, tuple[Array, Array]]) -> None:
    for name, (value, count) in pairs.items():
      sums[name] = sums.get(name, 0) + _whole(value)
      counts[name] = counts.get(name, 0) + _whole(count)

  # Counts are fetched one step late, so that the devices have work while the
  # host reads the next batch, and no more than two batches are in flight.
  late = None
  for done in range(steps):
    batch = next(batches, None)
    if batch is None:
      raise ValueError(
        f"`batches` must give {steps} batches, as `steps` says, got {done}."
      )
    _check_labels(batch, classes)
    pairs = step(state, class_data, batch)
    if late is not None:
      add(late)
    late = pairs
  assert late is not None
  add(late)
  summary = _summary(sums, counts, prefix)
  if writer is not None:
    writer.write_scalars(global_step, summary)
    writer.flush()
  return summary


def _summary(
  sums: dict[str, int], counts: dict[str, int], prefix: str
) -> dict[str, float | int]:
  n = counts["accuracy"]
  if n == 0:
    raise ValueError(
      "`batches` must hold at least one real image, and every `batch_mask` is"
      " 0."
    )
  for name, rule in _FAULTS.items():
    if count := sums.pop(name, 0):
      raise ValueError(f"images {rule.format(count=count, n=n)}.")
  summary: dict[str, float | int] = {
    f"{prefix}_{name}": value / counts[name] for name, value in sums.items()
  }
  return {**summary, f"{prefix}_n": n}


def _metric(
  metric: str | Callable[..., Float[Array, "..."]],
) -> Callable[..., Float[Array, "..."]]:
  if not isinstance(metric, str):
    return metric
  if metric not in POINT_TO_SPACE:
    raise ValueError(
      "`metric` must be a function or one of"
      f" {nearest(POINT_TO_SPACE, metric)}, got {metric!r:.80}."
    )
  return POINT_TO_SPACE[metric]


def _count(mask: Array) -> Int32[Array, ""]:
  return jnp.sum(mask, dtype=jnp.int32)


def _paired(
  sums: Mapping[str, Array], n: Array, axis_name: str | tuple[str, ...]
) -> dict[str, _Pair]:
  sums, n = jax.lax.psum((sums, n), axis_name)
  return {name: (value, n) for name, value in sums.items()}


def _whole(value: Array) -> int:
  """Reads a count that every local device holds; others are never asked."""
  return int(np.asarray(value.addressable_data(0)).reshape(-1)[0])


def _require_replicated(name: str, tree: Any) -> None:
  devices = jax.local_device_count()
  for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
    if np.shape(leaf)[:1] != (devices,):
      raise ValueError(
        f"`{name}` must be replicated, its leaves of shape [{devices} local"
        f" devices, ...], got {list(np.shape(leaf))} at"
        f" {jax.tree_util.keystr(path) or 'its only leaf'}: call"
        " flax.jax_utils.replicate."
      )


def _check_labels(batch: Mapping[str, Any], classes: int) -> None:
  """Refuses labels that no class has; rows have no wrong label."""
  labels = np.asarray(batch["label"])
  if labels.ndim != 2:
    return
  real = np.ones(labels.shape, bool)
  if "batch_mask" in batch:
    real = np.asarray(batch["batch_mask"]) > 0
  wrong = labels[real & ((labels < 0) | (labels >= classes))]
  if wrong.size:
    raise ValueError(
      f"`label` must be in 0..{classes - 1}, the classes of `class_data`, got"
      f" {wrong[0]}: check the class list of the data set."
    )
