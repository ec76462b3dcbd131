"""One step of contrastive training: loss, optimiser, compiled update.

The loss is CLIP's symmetric cross-entropy (Radford et al. 2021, figure 3)
between a batch of images and one caption of every class: an image has exactly
one matching caption, and a caption as many matching images as its class has in
the batch. A second, auxiliary classifier of one learned vector a class warms
the image tower up and is faded out, so that the towers alone are trained at
the end and nothing but them is stored.

The batch norms of a ResNet normalise by the moments of the batch, of which the
parameters keep a running mean. Its embeddings start out almost parallel, so
that cosines tell classes apart late: there the auxiliary classifier reads them
through a batch norm of its own.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int, PRNGKeyArray, PyTree

from s3_jax.clip.resnet import BATCH
from s3_jax.clip.towers import (
  embed_texts,
  image_tower,
  init_params,
  normalize_images,
)
from s3_jax.clip.zoo import ModelSpec
from s3_jax.embeddings import l2_normalize, scale_logits

MAX_LOGIT_SCALE = math.log(100.0)  # as CLIP clips it
OPTIMIZERS = ("muon", "adamw")
_MOMENTS_KEPT = 0.99  # of the running moments at each step, at most


class TrainState(NamedTuple):
  """Everything that a killed run needs to go on."""

  params: PyTree  # of both towers
  prototypes: Float[Array, "classes dim"]  # the auxiliary classifier
  optimizer_state: PyTree
  step: Int[Array, ""]


class Metrics(NamedTuple):
  """Losses of one batch, before they are read off the device."""

  loss: Float[Array, ""]
  batch_accuracy: Float[Array, ""]


def contrastive_loss(
  images: Float[Array, "batch dim"],
  texts: Float[Array, "texts dim"],
  labels: Int[Array, " batch"],
  logit_scale: Float[Array, ""],
) -> Float[Array, ""]:
  """Computes CLIP's symmetric loss where text `labels[i]` describes image i.

  The mean of two cross-entropies: image to text over the texts, and text to
  image, whose target spreads evenly over the images of the text. A text
  without an image in the batch counts in the first only.

  References:
    Radford et al. 2021 (arXiv 2103.00020), section 2.3; the many-to-one target
    is ours.
  """
  logits = scale_logits(images @ texts.T, logit_scale)
  matches = jax.nn.one_hot(labels, texts.shape[0])
  image_to_text = -(matches * jax.nn.log_softmax(logits, axis=1)).sum(1).mean()
  per_class = matches.sum(0)
  log_shares = (matches * jax.nn.log_softmax(logits, axis=0)).sum(0)
  present = per_class > 0
  text_to_image = -jnp.where(
    present, log_shares / jnp.maximum(per_class, 1), 0
  ).sum() / jnp.maximum(present.sum(), 1)
  return 0.5 * (image_to_text + text_to_image)


def init_state(
  key: PRNGKeyArray | Array,
  spec: ModelSpec,
  optimizer: optax.GradientTransformation,
  *,
  classes: int,
) -> TrainState:
  """Draws the parameters of a run's start.

  A ViT's positions start as a two-dimensional sinusoid: learned like any
  parameter, but neighbours start out as neighbours.
  """
  tower_key, prototype_key = jax.random.split(key)
  params = init_params(tower_key, spec)
  if spec.image_tower == "vit":
    positions = _sinusoidal_positions(
      spec.image_size // spec.patch_size, spec.image_width
    )
    image = {**params["image"], "position_embedding": positions}
    params = {**params, "image": image}
  prototypes = jax.random.normal(
    prototype_key, (classes, spec.embed_dim), jnp.float32
  )
  return TrainState(
    params=params,
    prototypes=prototypes,
    optimizer_state=optimizer.init((params, prototypes)),
    step=jnp.zeros((), jnp.int32),
  )


def _sinusoidal_positions(side: int, width: int) -> Float[Array, "tokens dim"]:
  """Class token first, then the grid row by row; amplitude 0.1."""
  octaves = width // 4
  rates = 100.0 ** (-np.arange(octaves) / octaves)
  phases = np.arange(side)[:, None] * rates
  axis = np.concatenate([np.sin(phases), np.cos(phases)], 1)
  grid = np.zeros((side, side, width), np.float32)
  grid[:, :, : 2 * octaves] = axis[:, None]
  grid[:, :, 2 * octaves : 4 * octaves] = axis[None]
  table = np.concatenate([np.zeros((1, width)), grid.reshape(-1, width)])
  return jnp.asarray(0.1 * table, jnp.float32)


def make_optimizer(
  name: str,
  *,
  steps: int,
  warmup_steps: int,
  learning_rate: float,
  weight_decay: float,
) -> optax.GradientTransformation:
  """Builds the optimiser: linear warm-up, then a cosine to zero."""
  if name not in OPTIMIZERS:
    raise ValueError(
      f"`optimizer` must be one of {', '.join(OPTIMIZERS)}, got {name!r}."
    )
  schedule = optax.warmup_cosine_decay_schedule(
    0.0, learning_rate, warmup_steps, steps
  )
  if name == "adamw":
    update = optax.adamw(
      schedule, b2=0.98, weight_decay=weight_decay, mask=_is_block_matrix
    )
  else:
    update = optax.contrib.muon(
      schedule,
      weight_decay=weight_decay,
      adam_b2=0.98,
      adam_learning_rate=lambda step: 0.1 * schedule(step),
      muon_weight_dimension_numbers=_muon_dimensions,
    )
  return optax.chain(optax.clip_by_global_norm(1.0), update)


def _is_matrix(path, leaf) -> bool:
  """Says whether a parameter is a matrix or a kernel inside the towers."""
  names = [str(getattr(entry, "key", entry)) for entry in path]
  inside = any(name.startswith(("block_", "stem")) for name in names)
  return inside and leaf.ndim > 1


def _is_block_matrix(params: PyTree) -> PyTree:
  return jax.tree_util.tree_map_with_path(_is_matrix, params)


def _muon_dimensions(params: PyTree) -> PyTree:
  def dimensions(path, leaf):
    if not _is_matrix(path, leaf):
      return None
    # A kernel is a matrix from all inputs of a window to the outputs.
    inputs = tuple(range(leaf.ndim - 1))
    return optax.contrib.MuonDimensionNumbers(inputs, leaf.ndim - 1)

  return jax.tree_util.tree_map_with_path(dimensions, params)


def make_train_step(
  spec: ModelSpec,
  optimizer: optax.GradientTransformation,
  *,
  steps: int,
  auxiliary_share: float = 0.8,
  dtype: str = "bfloat16",
) -> Callable[..., tuple[TrainState, Metrics]]:
  """Compiles one training step.

  Args:
    spec: the towers.
    optimizer: of the parameters and the prototypes.
    steps: of the whole run.
    auxiliary_share: of the steps, over which the auxiliary loss fades out.
    dtype: type in which matrices are multiplied.

  Returns:
    (state, images, labels, token ids, matches) -> (state, metrics): `labels`
    are classes, and text `matches[i]`, by default `labels[i]`, is image i's.
  """

  def loss_fn(trainable, images, labels, token_ids, matches, weight):
    params, prototypes = trainable
    raw, state = image_tower(spec, dtype).apply(
      {"params": params["image"]},
      normalize_images(spec, images),
      mutable=[BATCH],
    )
    image = l2_normalize(raw)
    text = embed_texts(spec, params, token_ids, dtype=dtype)
    logit_scale = params["logit_scale"]
    loss = contrastive_loss(image, text, matches, logit_scale)
    if BATCH in state:
      logits = _standardize(raw) @ prototypes.T * spec.embed_dim**-0.5
    else:
      logits = scale_logits(image @ l2_normalize(prototypes).T, logit_scale)
    auxiliary = optax.softmax_cross_entropy_with_integer_labels(
      logits, labels
    ).mean()
    accuracy = ((image @ text.T).argmax(1) == matches).mean()
    moments = state.get(BATCH, {})
    return loss + weight * auxiliary, (Metrics(loss, accuracy), moments)

  def train_step(state, images, labels, token_ids, matches=None):
    matches = labels if matches is None else matches
    trainable = (state.params, state.prototypes)
    weight = jnp.clip(1 - state.step / (auxiliary_share * steps), 0, 1)
    gradients, (metrics, moments) = jax.grad(loss_fn, has_aux=True)(
      trainable, images, labels, token_ids, matches, weight
    )
    updates, optimizer_state = optimizer.update(
      gradients, state.optimizer_state, trainable
    )
    moved: Any = optax.apply_updates(trainable, updates)
    params, prototypes = moved
    # A mean over all steps at first, since the first moments say little.
    kept = jnp.minimum(_MOMENTS_KEPT, (1 + state.step) / (10 + state.step))
    params = {
      **params,
      "image": _keep_moments(params["image"], moments, kept),
      "logit_scale": jnp.clip(params["logit_scale"], 0, MAX_LOGIT_SCALE),
    }
    return (
      TrainState(params, prototypes, optimizer_state, state.step + 1),
      metrics,
    )

  return jax.jit(train_step, donate_argnums=0)


def _standardize(x: Float[Array, "batch dim"]) -> Float[Array, "batch dim"]:
  variance = x.var(0, keepdims=True)
  return (x - x.mean(0, keepdims=True)) * jax.lax.rsqrt(variance + 1e-5)


def _keep_moments(params: Any, moments: Any, kept: Float[Array, ""]) -> Any:
  """Moves the stored means and variances towards those of a batch."""
  if not isinstance(params, dict):
    return kept * params + (1 - kept) * moments
  return {
    name: _keep_moments(value, moments[name], kept)
    if name in moments
    else value
    for name, value in params.items()
  }
