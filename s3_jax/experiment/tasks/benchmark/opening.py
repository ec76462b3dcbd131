"""What a run over data sets has before it scores an image.

Benchmarks and sweeps begin alike: data sets, checkpoint and prompts, on which
all processes agree, and then the embeddings.
"""

import pathlib
from collections.abc import Sequence
from typing import Any, NamedTuple

from s3_jax import hosts
from s3_jax.data.records import timeless_part
from s3_jax.experiment import checkpoint
from s3_jax.experiment.contents import know_images
from s3_jax.experiment.embedder import EmbeddedImages, Embedder
from s3_jax.experiment.methods.images import MethodPlan
from s3_jax.experiment.run_log import RunLog, log_bad
from s3_jax.experiment.session import Session
from s3_jax.experiment.settings import require_writable
from s3_jax.experiment.tasks.benchmark.plan import (
  announce,
  embed_plans,
  plan_methods,
)
from s3_jax.experiment.tasks.benchmark.sets import BenchmarkSet, find_sets
from s3_jax.experiment.tasks.benchmark.settings import Benchmark
from s3_jax.experiment.text_embedding import EmbeddedTexts
from s3_jax.extras import require
from s3_jax.files import texts_sha256


class OpenRun(NamedTuple):
  """A run whose texts are embedded.

  Attributes:
    session: of the run.
    embedder: of its checkpoint.
    found: the data sets that are there.
    plans: of each of them.
    texts: of all plans.
  """

  session: Session
  embedder: Embedder
  found: tuple[BenchmarkSet, ...]
  plans: list[tuple[MethodPlan, ...]]
  texts: EmbeddedTexts


def open_run(benchmark: Benchmark, folder: pathlib.Path) -> OpenRun:
  """Finds the data sets, loads the checkpoint and embeds all texts."""
  session = Session(
    folder,
    config=benchmark.config,
    seed=benchmark.seed,
    dtype=benchmark.dtype,
    mesh=benchmark.mesh,
    model_axis=benchmark.model_axis,
  )
  with session.timed("load"):
    embedder, found, skipped, plans = hosts.raise_on_all(
      lambda: _prepare(benchmark, session.log)
    )
    _agree(embedder, found, plans)
    # By their bytes, which every process must see alike.
    found = tuple(
      data._replace(
        opened=know_images(
          embedder.cache_dir, data.opened, name=data.spec.title, labelled=True
        )
      )
      for data in found
    )
  session.skip(skipped)
  announce(benchmark, session, embedder, found, plans)
  with session.timed("embed_text"):
    texts = embed_plans(embedder, plans)
  session.count(
    images_decoded=0,
    tower_batches=0,
    text_tower_batches=texts.tower_batches,
  )
  return OpenRun(session, embedder, found, plans, texts)


def embed_images(run: OpenRun, data: BenchmarkSet) -> EmbeddedImages:
  """Embeds the images of a data set, counts them and says which are bad."""
  with run.session.timed("embed_images"):
    test_set = run.embedder.images(data.spec, data.opened)
  run.session.count(
    images_decoded=test_set.images_decoded,
    tower_batches=test_set.tower_batches,
  )
  total = len(data.opened.records)
  log_bad(run.session.log, data.spec.title, test_set.bad, total)
  return test_set


def _prepare(
  benchmark: Benchmark, log: RunLog
) -> tuple[
  Embedder,
  tuple[BenchmarkSet, ...],
  tuple[tuple[str, str], ...],
  list[tuple[MethodPlan, ...]],
]:
  """Finds the data sets, loads the checkpoint and makes all prompts."""
  require_writable(benchmark.cache_dir, "config.cache_dir")
  if benchmark.decoding == "fast":
    require("fast", "simplejpeg", by="`config.decoding` = 'fast'")
  # Before a checkpoint is fetched for data that are not there.
  found, skipped = find_sets(
    benchmark.cache_dir,
    benchmark.names,
    data_dir=benchmark.data_dir,
    layout=benchmark.layout,
    lexicon=benchmark.lexicon,
    partial=benchmark.partial,
    skip_absent=benchmark.skip_absent,
  )
  embedder = Embedder(
    checkpoint.load_checkpoint(benchmark.model),
    benchmark.dtype,
    benchmark.batch_size,
    benchmark.mesh,
    benchmark.cache_dir,
    benchmark.max_pixels,
    benchmark.model_axis,
    decoding=benchmark.decoding,
  )
  plans = [plan_methods(benchmark, data, log) for data in found]
  return embedder, found, skipped, plans


def _agree(
  embedder: Embedder,
  found: Sequence[BenchmarkSet],
  plans: Sequence[tuple[MethodPlan, ...]],
) -> None:
  """Refuses processes that read different files."""
  facts: dict[str, Any] = {**checkpoint.checkpoint_facts(embedder.clip)}
  facts["the data sets found"] = [data.spec.name for data in found]
  for data, plan in zip(found, plans, strict=True):
    title = data.spec.title
    facts[f"the images of {title} (names, labels, sizes)"] = timeless_part(
      data.opened.fingerprint
    )
    texts = tuple(prompt for prepared in plan for prompt in prepared.prompts)
    facts[f"the texts of {title}"] = texts_sha256(texts)
  hosts.agree(facts)
