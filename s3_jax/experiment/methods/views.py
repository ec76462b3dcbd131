"""The methods that look at many views of an image, by name."""

import functools
from collections.abc import Callable
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial

from s3_jax.adaptation import (
  adapt_in_chunks,
  anchored_average,
  average_views,
  center_space,
  majority_vote,
  robust_mean_shift,
  spectral_directions,
  template_descriptor_classifier,
)
from s3_jax.embeddings import scale_logits
from s3_jax.experiment.methods.prompts import (
  MethodTexts,
  concepts,
  official_name,
)
from s3_jax.experiment.methods.spaces import SpaceOptions, build_core
from s3_jax.fields import Count, NonNegative, Rule, Share
from s3_jax.lexicon.templates import IMAGENET_80
from s3_jax.lexicon.vertices import Vertices, descriptor_prompts
from s3_jax.point_to_space import POINT_TO_SPACE
from s3_jax.space import SynonymousSpace, build_space
from s3_jax.storage.text_tables import TextTable
from s3_jax.zero_shot import name_classifier, zero_shot_scores

CHUNK = 8
"""Images that are adapted at once: 16 · 8 · classes · (dim + views) bytes."""


SHIFTS = ("per_class", "shared")
"""Each class's space has a shift of its own, or all have one."""


class Adaptation(NamedTuple):
  """How spaces are shifted; the fields of `adapt_space`."""

  learning_rate: NonNegative = 5e-3  # of AdamW, for the shift
  weight_decay: NonNegative = 0.01  # of AdamW
  steps: Count = 1  # of gradient descent for each image
  confident_fraction: Share = 0.1  # of the views, those of lowest entropy
  # What moves: each class by itself, or all alike.
  shift: Annotated[str, Rule(choices=SHIFTS)] = "per_class"


class ViewMethod(NamedTuple):
  """One row of a results table that looks at all views of an image.

  Attributes:
    vertices: from the texts of a data set to the prompts of its vertices.
    scorer: from the embedded vertices to the function f32[batch, views, dim]
      -> f32[batch, classes].
  """

  vertices: Callable[[MethodTexts], Vertices]
  scorer: Callable[[TextTable, SpaceOptions, Adaptation, float], Partial]


def ts3_scorer(
  table: TextTable,
  options: SpaceOptions,
  adaptation: Adaptation,
  logit_scale: float,
) -> Partial:
  """Adapts the core of each class to each image by itself."""
  space = build_core(table, options)
  function = _adapted("ts3", options.metric, _neighbors(options), adaptation)
  return Partial(function, space, np.float32(logit_scale))


def _neighbors(options: SpaceOptions) -> int | None:
  return options.neighbors if options.metric == "local_center" else None


def ts3_with(metric: str, adaptation: Adaptation) -> Callable[..., Partial]:
  """Makes the scorer of TS3 with settings of its own."""

  def scorer(table, options, adaptation_of_config, logit_scale) -> Partial:
    del adaptation_of_config
    options = options._replace(metric=metric)
    return ts3_scorer(table, options, adaptation, logit_scale)

  return scorer


def tps_scorer(
  table: TextTable,
  options: SpaceOptions,
  adaptation: Adaptation,
  logit_scale: float,
) -> Partial:
  """Adapts TPS's prototype of each class to each image by itself."""
  del options
  count = len(IMAGENET_80)
  prototypes = template_descriptor_classifier(
    table.embeddings[:, :count],
    table.embeddings[:, count:],
    table.mask[:, count:],
  )
  function = _adapted("tps", "nearest_point", None, adaptation)
  space = _one_vertex_space(prototypes)
  return Partial(function, space, np.float32(logit_scale))


def _one_vertex_space(classifier) -> SynonymousSpace:
  points = np.asarray(classifier)[:, None]
  mask = np.ones(points.shape[:2], bool)
  return build_space(points, mask, scale=None, keep="all")


def _tps_synonyms_scorer(table, options, adaptation, logit_scale) -> Partial:
  function = _adapted("tps", "nearest_point", None, adaptation)
  return Partial(function, build_core(table, options), np.float32(logit_scale))


@functools.cache
def _adapted(
  method: str,
  metric: str,
  neighbors: int | None,
  adaptation: Adaptation,
  predict: str = "original",
) -> Callable[..., Any]:
  """One function object for one way to adapt, so that it compiles once."""
  metric_options = {} if neighbors is None else {"neighbors": neighbors}

  def score(space, logit_scale, views, *, directions=None):
    return adapt_in_chunks(
      views,
      space,
      logit_scale,
      chunk=CHUNK,
      method=method,
      metric=metric,
      metric_options=metric_options,
      directions=directions,
      predict=predict,
      **adaptation._asdict(),
    )

  return score


def _mta_scorer(table, options, adaptation, logit_scale) -> Partial:
  del options, adaptation
  classifier = name_classifier(table.embeddings[:, 0])
  return Partial(_score_modes, classifier, np.float32(logit_scale))


def _score_modes(classifier, logit_scale, views):
  modes = jax.vmap(
    lambda image: robust_mean_shift(image, classifier, logit_scale)
  )(views)
  return zero_shot_scores(modes, classifier)


def _average_scorer(table, options, adaptation, logit_scale) -> Partial:
  del options, adaptation, logit_scale
  return Partial(_score_averages, name_classifier(table.embeddings[:, 0]))


def _score_averages(classifier, views):
  return zero_shot_scores(jax.vmap(average_views)(views), classifier)


def _space_average_scorer(table, options, adaptation, logit_scale) -> Partial:
  del adaptation, logit_scale
  space = build_core(table, options)
  return Partial(_averaged(options.metric, _neighbors(options)), space)


@functools.cache
def _averaged(metric: str, neighbors: int | None) -> Callable[..., Any]:
  options = {} if neighbors is None else {"neighbors": neighbors}

  def score(space, views):
    averages = jax.vmap(average_views)(views)
    return POINT_TO_SPACE[metric](jnp.asarray(averages), space, **options)

  return score


def anchored(
  confident_fraction: float = 0.5, anchor: float = 1.0
) -> Callable[..., Partial]:
  """Makes the scorer of the anchored average of an image's views."""

  def scorer(table, options, adaptation, logit_scale) -> Partial:
    del adaptation
    function = _anchored(
      options.metric, _neighbors(options), confident_fraction, anchor
    )
    space = build_core(table, options)
    return Partial(function, space, np.float32(logit_scale))

  return scorer


@functools.cache
def _anchored(
  metric: str, neighbors: int | None, confident_fraction: float, anchor: float
) -> Callable[..., Any]:
  options = {} if neighbors is None else {"neighbors": neighbors}
  average = functools.partial(
    anchored_average, confident_fraction=confident_fraction, anchor=anchor
  )

  def score(space, logit_scale, views):
    scores = POINT_TO_SPACE[metric](views, space, **options)
    averages = jax.vmap(average)(views, scale_logits(scores, logit_scale))
    return POINT_TO_SPACE[metric](averages, space, **options)

  return score


def of_names(
  table: TextTable, options: SpaceOptions
) -> tuple[SynonymousSpace, SpaceOptions]:
  """Spaces of one vertex, the first text of a class, on which metrics agree."""
  classifier = name_classifier(table.embeddings[:, 0])
  return _one_vertex_space(classifier), options._replace(metric="nearest_point")


def of_cores(
  table: TextTable, options: SpaceOptions
) -> tuple[SynonymousSpace, SpaceOptions]:
  """Spaces of all texts of a class, and the config's metric."""
  return build_core(table, options), options


def voting(
  spaces: Callable[..., Any], confident_fraction: float
) -> Callable[..., Partial]:
  """Makes the scorer of ZERO on `of_names` or `of_cores`."""

  def scorer(table, options, adaptation, logit_scale) -> Partial:
    del adaptation
    space, options = spaces(table, options)
    function = _voting(options.metric, _neighbors(options), confident_fraction)
    return Partial(function, space, np.float32(logit_scale))

  return scorer


@functools.cache
def _voting(
  metric: str, neighbors: int | None, confident_fraction: float
) -> Callable[..., Any]:
  options = {} if neighbors is None else {"neighbors": neighbors}
  vote = functools.partial(majority_vote, confident_fraction=confident_fraction)

  def score(space, logit_scale, views):
    scores = POINT_TO_SPACE[metric](views, space, **options)
    votes = jax.vmap(vote)(scale_logits(scores, logit_scale))
    return scale_logits(votes, -logit_scale)

  return score


def steered(
  spaces: Callable[..., Any],
  *,
  rank: int | None = None,
  predict: str = "original",
  adaptation: Adaptation | None = None,
) -> Callable[..., Partial]:
  """Makes the scorer of STS on `of_names` or `of_cores`.

  The shift is one of all classes, whatever the config's `shift`.
  """
  own = adaptation

  def scorer(table, options, adaptation, logit_scale) -> Partial:
    space, options = spaces(table, options)
    centers = center_space(space).points[:, 0]
    function = _adapted(
      "ts3",
      options.metric,
      _neighbors(options),
      (own or adaptation)._replace(shift="shared"),
      predict,
    )
    directions = spectral_directions(centers, rank=rank)
    return Partial(
      function, space, np.float32(logit_scale), directions=directions
    )

  return scorer


def _tps_texts(texts: MethodTexts) -> Vertices:
  """Makes each prompt a vertex of its own: templates, then descriptors."""
  described = descriptor_prompts(
    texts.names, [entry.descriptors for entry in texts.classes]
  )
  return tuple(
    (
      *((template.replace("{}", name),) for template in IMAGENET_80),
      *(prompts if entry.descriptors else ()),
    )
    for name, entry, prompts in zip(
      texts.names, texts.classes, described, strict=True
    )
  )


# Keys of the results and of `config.methods`, beside those of METHODS.
VIEW_METHODS: dict[str, ViewMethod] = {
  "view_average": ViewMethod(official_name, _average_scorer),
  "mta": ViewMethod(official_name, _mta_scorer),
  # The shares of ZERO's paper and, the second, of its later code.
  "zero": ViewMethod(official_name, voting(of_names, 0.1)),
  "zero_30": ViewMethod(official_name, voting(of_names, 0.3)),
  "sts": ViewMethod(official_name, steered(of_names)),
  "tps": ViewMethod(_tps_texts, tps_scorer),
  # The mean of the names in the place of TPS's own prototypes: what is left of
  # the difference to `ts3` is one vertex against a space.
  "tps_synonyms": ViewMethod(concepts, _tps_synonyms_scorer),
  "s3_view_average": ViewMethod(concepts, _space_average_scorer),
  "ts3": ViewMethod(concepts, ts3_scorer),
  "zero_s3": ViewMethod(concepts, voting(of_cores, 0.1)),
  "sts_s3": ViewMethod(concepts, steered(of_cores)),
  "s3_anchored": ViewMethod(concepts, anchored()),
}
