"""One step of contrastive training: loss, optimiser, compiled update.

The loss is CLIP's symmetric cross-entropy (Radford et al. 2021, figure 3)
between a batch of images and one caption of every class: an image has exactly
one matching caption, and a caption as many matching images as its class has in
the batch. A second, auxiliary classifier of one learned vector a class warms
the image tower up and is faded out, so that the towers alone are trained at
the end and nothing but them is stored.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int, PRNGKeyArray, PyTree

from s3_jax.clip.towers import embed_images, embed_texts, init_params
from s3_jax.clip.zoo import ModelSpec
from s3_jax.embeddings import l2_normalize, scale_logits

MAX_LOGIT_SCALE = math.log(100.0)  # as CLIP clips it
OPTIMIZERS = ("muon", "adamw")


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
  texts: Float[Array, "classes dim"],
  labels: Int[Array, " batch"],
  logit_scale: Float[Array, ""],
) -> Float[Array, ""]:
  """Computes CLIP's symmetric loss where text c describes class c.

  The mean of two cross-entropies: image to text over the classes, and text to
  image, whose target spreads evenly over the images of the class. A text
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

  The image tower's positions start as a two-dimensional sinusoid: learned like
  any parameter, but neighbours start out as neighbours.
  """
  tower_key, prototype_key = jax.random.split(key)
  params = init_params(tower_key, spec)
  image = dict(params["image"])
  image["position_embedding"] = _sinusoidal_positions(
    spec.image_size // spec.patch_size, spec.image_width
  )
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


def _in_block(path, leaf) -> bool:
  names = [str(getattr(entry, "key", entry)) for entry in path]
  return leaf.ndim == 2 and any(name.startswith("block_") for name in names)


def _is_block_matrix(params: PyTree) -> PyTree:
  return jax.tree_util.tree_map_with_path(_in_block, params)


def _muon_dimensions(params: PyTree) -> PyTree:
  return jax.tree_util.tree_map_with_path(
    lambda path, leaf: (
      optax.contrib.MuonDimensionNumbers() if _in_block(path, leaf) else None
    ),
    params,
  )


def make_train_step(
  spec: ModelSpec,
  optimizer: optax.GradientTransformation,
  *,
  steps: int,
  auxiliary_share: float = 0.8,
  dtype: str = "bfloat16",
) -> Callable[..., tuple[TrainState, Metrics]]:
  """Compiles one training step."""

  def loss_fn(trainable, images, labels, token_ids, weight):
    params, prototypes = trainable
    image = embed_images(spec, params, images, dtype=dtype)
    text = embed_texts(spec, params, token_ids, dtype=dtype)
    logit_scale = params["logit_scale"]
    loss = contrastive_loss(image, text, labels, logit_scale)
    auxiliary = optax.softmax_cross_entropy_with_integer_labels(
      scale_logits(image @ l2_normalize(prototypes).T, logit_scale), labels
    ).mean()
    accuracy = ((image @ text.T).argmax(1) == labels).mean()
    return loss + weight * auxiliary, Metrics(loss, accuracy)

  def train_step(state, images, labels, token_ids):
    trainable = (state.params, state.prototypes)
    weight = jnp.clip(1 - state.step / (auxiliary_share * steps), 0, 1)
    gradients, metrics = jax.grad(loss_fn, has_aux=True)(
      trainable, images, labels, token_ids, weight
    )
    updates, optimizer_state = optimizer.update(
      gradients, state.optimizer_state, trainable
    )
    moved: Any = optax.apply_updates(trainable, updates)
    params, prototypes = moved
    params = {
      **params,
      "logit_scale": jnp.clip(params["logit_scale"], 0, MAX_LOGIT_SCALE),
    }
    return (
      TrainState(params, prototypes, optimizer_state, state.step + 1),
      metrics,
    )

  return jax.jit(train_step, donate_argnums=0)
