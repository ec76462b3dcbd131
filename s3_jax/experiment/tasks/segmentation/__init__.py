"""The task "segmentation": every method on images with masks."""

import json
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

from s3_jax import hosts
from s3_jax.clip import Clip
from s3_jax.data.readers.masks import OpenedMasks
from s3_jax.data.records import timeless_part
from s3_jax.experiment import checkpoint
from s3_jax.experiment.contents import know_images
from s3_jax.experiment.embedding import Embedder
from s3_jax.experiment.machine.environment import (
  CompileClock,
  describe_environment,
)
from s3_jax.experiment.run_log import RunLog, timed
from s3_jax.experiment.settings import Settings
from s3_jax.experiment.tasks.segmentation.counting import segment_set
from s3_jax.experiment.tasks.segmentation.plan import (
  FoundSet,
  Segmentation,
  find_sets,
  read_plan,
)
from s3_jax.experiment.tasks.segmentation.rows import (
  SegmentedSet,
  dataset_row,
  describe_texts,
  segmentation_rows,
)
from s3_jax.experiment.tasks.segmentation.showcase import draw_examples
from s3_jax.experiment.tasks.segmentation.window_embedding import (
  check_embeddings,
)
from s3_jax.results.schema import SCHEMA
from s3_jax.sharding import local_mesh


def read_settings(settings: Settings) -> Callable[[pathlib.Path], Any]:
  """Reads the settings of a segmentation run."""
  run = read_plan(settings)
  return lambda folder: run_segmentation(run, folder)


def run_segmentation(run: Segmentation, folder: pathlib.Path) -> dict[str, Any]:
  """Runs every method on every data set and writes the result files."""
  clock, timings = CompileClock(), {}
  log = RunLog(folder / "log.txt")
  with timed(timings, "load"):
    embedder, sets, skipped = hosts.raise_on_all(lambda: _prepare(run))
    facts: dict[str, Any] = {**checkpoint.checkpoint_facts(embedder.clip)}
    facts["the data sets found"] = [each.spec.name for each in sets]
    for each in sets:
      digest = timeless_part(each.found.opened.fingerprint)
      facts[f"the images of {each.spec.title} (names, sizes)"] = digest
    hosts.agree(facts)
    # By their bytes, which every process must see alike.
    sets = [
      each._replace(found=_know_masks(embedder, each.found, each.spec.title))
      for each in sets
    ]
  for name, reason in skipped:
    log(f"Skipped {name}: {reason}")
  # All windows of an image are one batch here, however the tower takes them.
  counters = {
    "images_decoded": 0,
    "tower_batches": 0,
    "windows": 0,
    "text_tower_batches": 0,
  }
  outcomes = [
    segment_set(run, embedder, each, timings, counters, log) for each in sets
  ]
  if counters["images_decoded"]:
    timings["images_per_second"] = (
      counters["images_decoded"] / timings["segment"]
    )
  results = hosts.first_only(
    lambda: _write(
      run,
      embedder.clip,
      outcomes,
      skipped,
      counters,
      timings,
      clock,
      folder,
      log,
    )
  )
  bad = sum(len(outcome.reasons) for outcome in outcomes)
  if bad and run.strict:
    raise ValueError(
      f"`config.strict` allows no bad example, got {bad}:"
      f" {folder / 'results.json'} lists them."
    )
  return results


def _know_masks(
  embedder: Embedder, found: OpenedMasks, title: str
) -> OpenedMasks:
  opened = know_images(embedder.cache_dir, found.opened, name=title)
  return found._replace(opened=opened)


def _prepare(
  run: Segmentation,
) -> tuple[Embedder, Sequence[FoundSet], Sequence[tuple[str, str]]]:
  """Finds the data sets and loads the checkpoint."""
  local_mesh(run.mesh)  # refuses too many devices before any work
  # Before a checkpoint is fetched for data that are not there.
  sets, skipped = find_sets(run)
  clip = checkpoint.load_checkpoint(run.model)
  embedder = Embedder(
    clip, run.dtype, 64, run.mesh, run.cache_dir, run.max_pixels
  )
  for protocol in run.protocols.values():
    check_embeddings(clip, protocol, run.embeddings)
  return embedder, sets, skipped


def _write(
  run: Segmentation,
  clip: Clip,
  outcomes: Sequence[SegmentedSet],
  skipped: Sequence[tuple[str, str]],
  counters: dict[str, int],
  timings: dict[str, float],
  clock: CompileClock,
  folder: pathlib.Path,
  log: RunLog,
) -> dict[str, Any]:
  """Draws pictures, puts the results together and writes all files."""
  with timed(timings, "pictures"):
    pictures = [
      picture
      for outcome in outcomes
      for picture in draw_examples(
        outcome,
        clip,
        folder / "figures",
        baseline=run.baseline,
        embeddings=run.embeddings,
        most=run.pictures,
        dtype=run.dtype,
        max_pixels=run.max_pixels,
      )
    ]
  timings["compile"] = clock.seconds()
  results = {
    "schema": SCHEMA,
    "seed": run.seed,
    "config": json.loads(json.dumps(run.config)),
    "environment": describe_environment(run.dtype),
    "model": checkpoint.describe_model(clip),
    "texts": describe_texts(outcomes),
    "datasets": [dataset_row(each, run.protocol) for each in outcomes],
    "skipped": [{"dataset": name, "reason": why} for name, why in skipped],
    "counters": {
      **counters,
      "cache": "cold" if any(counters.values()) else "warm",
    },
    "timings": {name: round(value, 3) for name, value in timings.items()},
  }
  return segmentation_rows(
    results,
    outcomes,
    folder,
    baseline=run.baseline,
    protocol=(
      "" if run.changed or run.embeddings != "patches" else run.protocol
    ),
    templates=run.templates,
    pictures=pictures,
    log=log,
  )
