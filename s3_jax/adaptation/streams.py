"""Methods that learn from the test images that came before, in their order.

| name | what is kept of a class | what it changes |
|---|---|---|
| `tda_scores` | its 3 surest images, 2 that are half sure | the logits |
| `dmn_scores` | its 50 surest images, its text | adds a classifier |

Any scores can be adapted, those of a classifier or of point-to-space metrics.
An image's prediction depends on those before it, so the order belongs to the
result. What a function returns beside the scores goes on where it stopped:
pieces of a stream give what the whole gives.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from s3_jax.adaptation.confidence import entropies
from s3_jax.embeddings import has_direction, scale_logits, unit_or_nan
from s3_jax.point_to_space.streaming import whole_number


class ClassCache(NamedTuple):
  """Images of every class, those of lowest entropy, sorted by it.

  Attributes:
    keys: unit embeddings; zero where a place is empty.
    entropies: in nats; infinite where a place is empty.
  """

  keys: Float[Array, "classes places dim"]
  entropies: Float[Array, "classes places"]


class TdaState(NamedTuple):
  """What TDA remembers.

  Attributes:
    positive: images that speak for their class.
    negative: images that speak against classes.
    against: the classes that each of these speaks against.
  """

  positive: ClassCache
  negative: ClassCache
  against: Bool[Array, "classes places classes"]


class TdaOptions(NamedTuple):
  """TDA's numbers; the defaults are those of its code for ImageNet.

  Attributes:
    positive_places: images kept of a class.
    positive_weight: of their votes, in logits.
    positive_sharpness: how fast a vote fades with `1 - cosine`.
    negative_places: images kept of a class that speak against others.
    negative_weight: as of the positive ones.
    negative_sharpness: as of the positive ones.
    entropy_range: of images that speak against classes: between these shares of
      `log2(classes)`, entropies being in nats.
    probability_range: they speak against classes whose probability lies there.
  """

  positive_places: int = 3
  positive_weight: float = 2.0
  positive_sharpness: float = 5.0
  negative_places: int = 2
  negative_weight: float = 0.117
  negative_sharpness: float = 1.0
  entropy_range: tuple[float, float] = (0.2, 0.5)
  probability_range: tuple[float, float] = (0.03, 1.0)


class DmnOptions(NamedTuple):
  """DMN's numbers; the defaults are those of its code.

  Attributes:
    places: images kept of a class, beside its text.
    sharpness: how fast an image's weight fades with `1 - cosine`.
    memory_weight: of the memory's probabilities; the text's have 1.
  """

  places: int = 50
  sharpness: float = 5.5
  memory_weight: float = 1.0


_TDA, _DMN = TdaOptions(), DmnOptions()


def tda_scores(
  embeddings: Float[Array | np.ndarray, "images dim"],
  scores: Float[Array | np.ndarray, "_ classes"],
  logit_scale: Float[Array, ""] | np.ndarray | float,
  *,
  options: TdaOptions = _TDA,
  state: TdaState | None = None,
) -> tuple[Float[Array, "images classes"], TdaState]:
  """Adapts scores by two caches of the images that came before.

  Each image goes into the positive cache of the class that scores highest, if
  its entropy is among the lowest there, and into the negative one if its
  entropy is neither low nor high. Then its logits gain, for every image in the
  positive caches, `weight * exp(-sharpness * (1 - cosine))` for the class of
  the cache, and lose as much for every image in the negative ones, for the
  classes that image holds to be possible. Equal entropies keep who came first.

  Args:
    embeddings: one an image, in the order of arrival; normalised here.
    scores: of the images, larger = closer, cosines or alike.
    logit_scale: natural logarithm of the factor that makes scores logits.
    options: TDA's numbers.
    state: after the images before these; None at the beginning.

  Returns:
    Scores that with `logit_scale` give the adapted logits, and what is
    remembered. Caches hold `classes * places * dim` numbers, the negative ones
    `classes**2 * places` more bits of a byte each.

  Raises:
    ValueError: shapes that do not agree, a vector without direction, a number
      out of range.

  References:
    TDA (arXiv 2403.18293), equations 3 to 6, on one view an image, as its code
    treats ImageNet.
  """
  embeddings, scores = _checked(embeddings, scores)
  for name in ("positive_places", "negative_places"):
    whole_number(f"options.{name}", getattr(options, name))
  for name in ("entropy_range", "probability_range"):
    low, high = getattr(options, name)
    if not low < high:
      raise ValueError(
        f"`options.{name}` must be an ascending pair, got {(low, high)}."
      )
  classes, dim = scores.shape[1], embeddings.shape[1]
  if state is None:
    places = options.negative_places
    state = TdaState(
      _empty(classes, options.positive_places, dim, embeddings.dtype),
      _empty(classes, places, dim, embeddings.dtype),
      jnp.zeros((classes, places, classes), bool),
    )
  return _run_tda(
    embeddings, scores, jnp.asarray(logit_scale, scores.dtype), state, options
  )


def dmn_scores(
  embeddings: Float[Array | np.ndarray, "images dim"],
  scores: Float[Array | np.ndarray, "_ classes"],
  texts: Float[Array | np.ndarray, "_ _"],
  logit_scale: Float[Array, ""] | np.ndarray | float,
  *,
  options: DmnOptions = _DMN,
  state: ClassCache | None = None,
) -> tuple[Float[Array, "images classes"], ClassCache]:
  """Adds a classifier that is read from the images that came before.

  Each image goes into the memory of the class that scores highest, in the place
  of the least sure one where there is no more room. A class is then the mean of
  its text and its remembered images, each weighted by
  `exp(-sharpness * (1 - cosine))` to the image, and renormalised. The result is
  the mean of the probabilities of the scores and of this classifier.

  Args:
    embeddings: one an image, in the order of arrival; normalised here.
    scores: of the images, larger = closer, cosines or alike.
    texts: what stands for each class beside its images; normalised here.
    logit_scale: natural logarithm of the factor that makes scores logits.
    options: DMN's numbers.
    state: after the images before these; None at the beginning.

  Returns:
    Scores whose softmax with `logit_scale` is the mixture of probabilities, and
    what is remembered, `classes * places * dim` numbers.

  Raises:
    ValueError: as `tda_scores`.

  References:
    DMN-ZS (arXiv 2403.17589), its dynamic memory with fixed projections, on one
    view an image. Its authors chose the memory's weight on test labels; 1 is
    ours.
  """
  embeddings, scores = _checked(embeddings, scores)
  whole_number("options.places", options.places)
  if not 0 < options.memory_weight < np.inf:
    raise ValueError(
      f"`options.memory_weight` must be > 0, got {options.memory_weight}."
    )
  texts = jnp.asarray(texts, embeddings.dtype)
  if texts.shape != (scores.shape[1], embeddings.shape[1]):
    raise ValueError(
      "`texts` must be [classes, dim] of the scores and embeddings,"
      f" {(scores.shape[1], embeddings.shape[1])}, got {texts.shape}."
    )
  has_direction(texts, name="texts")
  if state is None:
    classes, dim = texts.shape
    state = _empty(classes, options.places, dim, texts.dtype)
  return _run_dmn(
    embeddings,
    scores,
    unit_or_nan(texts),
    jnp.asarray(logit_scale, scores.dtype),
    state,
    options,
  )


def _checked(embeddings, scores):
  """Brings both to float32 or more, and embeddings to unit length."""
  embeddings, scores = jnp.asarray(embeddings), jnp.asarray(scores)
  if embeddings.shape[0] != scores.shape[0]:
    raise ValueError(
      "`embeddings` and `scores` must agree on [images], got"
      f" {embeddings.shape[0]} and {scores.shape[0]}."
    )
  dtype = jnp.promote_types(
    jnp.promote_types(embeddings.dtype, scores.dtype), jnp.float32
  )
  has_direction(embeddings)
  return unit_or_nan(embeddings.astype(dtype)), scores.astype(dtype)


def _empty(classes: int, places: int, dim: int, dtype) -> ClassCache:
  return ClassCache(
    jnp.zeros((classes, places, dim), dtype),
    jnp.full((classes, places), jnp.inf, dtype),
  )


class _Place(NamedTuple):
  """Where an image goes among those of its class.

  Attributes:
    fits: whether it has a place, so that the last of its class falls out.
    is_new: the image's place.
    source: where each place has its image from otherwise.
  """

  fits: Bool[Array, ""]
  is_new: Bool[Array, " places"]
  source: Int[Array, " places"]


def _find_place(
  cache: ClassCache, label: Int[Array, ""], entropy: Float[Array, ""]
) -> _Place:
  """Finds an image's place, behind its equals; an infinite entropy has none."""
  held = cache.entropies[label]
  place = jnp.sum(held <= entropy)
  places = jnp.arange(held.shape[0])
  return _Place(
    place < held.shape[0], places == place, places - (places > place)
  )


def _insert(cache, label, place, image, entropy) -> ClassCache:
  """Puts an image in its place."""
  row = jax.lax.dynamic_index_in_dim(cache.keys, label, keepdims=False)
  row = jnp.where(place.is_new[:, None], image, row[place.source])
  held = cache.entropies[label][place.source]
  return ClassCache(
    jax.lax.dynamic_update_index_in_dim(cache.keys, row, label, 0),
    cache.entropies.at[label].set(jnp.where(place.is_new, entropy, held)),
  )


def _affinity(cache, label, place, image, sharpness):
  """Weights of the images that stay, by their nearness; 0 where there is none.

  That of the image itself is 1 in its place. It is left to the caller: reading
  a cache after it has changed would copy the whole of it in each step.
  """
  cosines = jnp.einsum("cpd,d->cp", cache.keys, image, precision="highest")
  weights = jnp.exp(-sharpness * (1.0 - cosines))
  weights = jnp.where(jnp.isfinite(cache.entropies), weights, 0.0)
  return weights.at[label, -1].multiply(1.0 - place.fits)


@functools.partial(jax.jit, static_argnames="options")
def _run_tda(embeddings, scores, logit_scale, state, options):
  classes = scores.shape[1]
  # As its code has it: nats over the entropy of a uniform guess in bits.
  most = np.log2(classes) if classes > 1 else 1.0
  low, high = (share * most for share in options.entropy_range)

  def step(state, image):
    embedding, own = image
    logits = scale_logits(own, logit_scale)
    label = jnp.argmax(logits)
    entropy = entropies(logits[None])[0]
    likely = jax.nn.softmax(logits)
    is_unsure = (low < entropy) & (entropy < high)
    doubt = jnp.where(is_unsure, entropy, jnp.inf)
    possible = (options.probability_range[0] < likely) & (
      likely < options.probability_range[1]
    )
    place = _find_place(state.positive, label, entropy)
    gain = jnp.sum(
      _affinity(
        state.positive, label, place, embedding, options.positive_sharpness
      ),
      axis=1,
    )
    gain = gain.at[label].add(place.fits)
    positive = _insert(state.positive, label, place, embedding, entropy)
    place = _find_place(state.negative, label, doubt)
    loss = jnp.einsum(
      "cp,cpk->k",
      _affinity(
        state.negative, label, place, embedding, options.negative_sharpness
      ),
      state.against.astype(own.dtype),
      precision="highest",
    )
    loss += place.fits * possible
    rows = state.against[label][place.source]
    rows = jnp.where(place.is_new[:, None], possible, rows)
    negative = _insert(state.negative, label, place, embedding, doubt)
    against = state.against.at[label].set(rows)
    logits += options.positive_weight * gain - options.negative_weight * loss
    return TdaState(positive, negative, against), logits

  state, logits = jax.lax.scan(step, state, (embeddings, scores))
  return logits * jnp.exp(-logit_scale), state


@functools.partial(jax.jit, static_argnames="options")
def _run_dmn(embeddings, scores, texts, logit_scale, state, options):
  weight = options.memory_weight

  def step(state, image):
    embedding, own = image
    logits = scale_logits(own, logit_scale)
    label, entropy = jnp.argmax(logits), entropies(logits[None])[0]
    place = _find_place(state, label, entropy)
    of_text = jnp.einsum("cd,d->c", texts, embedding, precision="highest")
    total = jnp.exp(-options.sharpness * (1.0 - of_text))[:, None] * texts
    total += jnp.einsum(
      "cp,cpd->cd",
      _affinity(state, label, place, embedding, options.sharpness),
      state.keys,
      precision="highest",
    )
    total = total.at[label].add(place.fits * embedding)
    state = _insert(state, label, place, embedding, entropy)
    cosines = jnp.einsum(
      "cd,d->c", unit_or_nan(total), embedding, precision="highest"
    )
    mixed = jnp.logaddexp(
      jax.nn.log_softmax(logits),
      np.log(weight) + jax.nn.log_softmax(scale_logits(cosines, logit_scale)),
    )
    return state, mixed - np.log1p(weight)

  state, logits = jax.lax.scan(step, state, (embeddings, scores))
  return logits * jnp.exp(-logit_scale), state
