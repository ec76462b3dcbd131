"""Benchmark methods that look at the views of an image: settings, scores."""

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, NamedTuple

import numpy as np

from s3_jax import hosts
from s3_jax.data.datasets import DatasetSpec
from s3_jax.evaluation.classification import (
  ClassificationResult,
  Scoring,
  summarise,
)
from s3_jax.experiment.embedder import (
  VIEW_SHARD,
  EmbeddedImages,
  Embedder,
  ViewOptions,
)
from s3_jax.experiment.methods.images import MethodPlan
from s3_jax.experiment.methods.spaces import SpaceOptions
from s3_jax.experiment.methods.views import Adaptation
from s3_jax.experiment.scoring import gather_counted
from s3_jax.experiment.session import Session
from s3_jax.experiment.settings import Seeds
from s3_jax.experiment.tasks.benchmark.sets import BenchmarkSet
from s3_jax.fields import Count, Inline, Rule
from s3_jax.storage.text_tables import TextTable


class ViewSettings(NamedTuple):
  """How views are made and spaces adapted, as a config says."""

  adaptation: Inline[Adaptation]
  views: Count = 64  # of an image, itself included
  # "auto": on the ten fine-grained data sets alone.
  augmix: Annotated[str, Rule(choices=("auto", "always", "never"))] = "auto"
  view_seeds: Seeds = (0,)  # each further seed gives further rows


def view_options(
  settings: ViewSettings, spec: DatasetSpec
) -> tuple[ViewOptions, ...]:
  """Says how the views of a data set are made, once for each seed.

  References:
    TPS (arXiv 2403.12952): AugMix on the ten fine-grained sets only.
  """
  by_family = spec.family == "fine_grained"
  augmix = {"auto": by_family, "always": True, "never": False}[settings.augmix]
  return tuple(
    ViewOptions(settings.views, augmix, seed) for seed in settings.view_seeds
  )


def row_name(name: str, settings: ViewSettings, seed: int) -> str:
  """Names the row of a method and a seed; the first seed has the bare name."""
  return name if seed == settings.view_seeds[0] else f"{name}, seed {seed}"


def score_views(
  session: Session,
  plan: Sequence[MethodPlan],
  tables: Mapping[Callable[..., Any], TextTable],
  embedder: Embedder,
  data: BenchmarkSet,
  test_set: EmbeddedImages,
  settings: ViewSettings,
  options: SpaceOptions,
) -> dict[str, ClassificationResult]:
  """Scores every image by the methods that look at its views.

  The views of one shard are in memory at a time. Several processes share out
  the shards, and put together what they have counted.
  """
  logit_scale = embedder.logit_scale
  results = {}
  done = dict.fromkeys(session.counters, 0)
  for view in view_options(settings, data.spec):
    scorings = {
      each.name: Scoring(
        each.method.scorer(
          tables[each.method.vertices],
          options,
          settings.adaptation,
          logit_scale,
        ),
        classes=len(data.classes),
        batch_size=min(VIEW_SHARD, len(data.opened.records)),
        logit_scale=logit_scale,
        mesh=embedder.devices,
      )
      for each in plan
    }
    shards = hosts.with_barriers(
      embedder.views(data.spec, data.opened, view, done)
    )

    def add_shards(shards=shards, scorings=scorings) -> list[np.ndarray]:
      indices = [np.arange(0)]
      while True:
        with session.timed("embed_views"):
          shard = next(shards, None)
        if shard is None:
          return indices
        indices.append(shard.indices[shard.good])
        with session.timed("adapt"):
          for scoring in scorings.values():
            scoring.add(shard.embeddings[shard.good], shard.labels[shard.good])

    indices = np.concatenate(hosts.raise_on_all(add_shards))
    for name, scoring in scorings.items():
      counted = gather_counted(scoring.counted(), indices)
      if not np.array_equal(counted.labels, test_set.labels):
        raise ValueError(
          f"the views of {data.spec.title} must be of the images that have an"
          f" embedding, got {len(counted.labels)} of {len(test_set.labels)}:"
          " some view of an image gave none."
        )
      results[row_name(name, settings, view.seed)] = summarise(counted)
  session.count(**hosts.add_up(done))
  return results
