"""The task "segmentation": every method on images with masks."""

import itertools
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

from s3_jax import hosts
from s3_jax.clip import Clip
from s3_jax.data.readers.masks import OpenedMasks
from s3_jax.data.records import timeless_part
from s3_jax.experiment import checkpoint
from s3_jax.experiment.contents import know_images
from s3_jax.experiment.costs import announce_texts
from s3_jax.experiment.embedder import Embedder
from s3_jax.experiment.session import Session
from s3_jax.experiment.settings import Settings
from s3_jax.experiment.tasks.segmentation.counting import (
  prompts_of,
  segment_set,
)
from s3_jax.experiment.tasks.segmentation.plan import (
  FoundSet,
  Segmentation,
  find_sets,
)
from s3_jax.experiment.tasks.segmentation.rows import (
  SegmentedSet,
  dataset_row,
  describe_texts,
  segmentation_rows,
)
from s3_jax.experiment.tasks.segmentation.showcase import draw_examples
from s3_jax.segmentation import check_embeddings


def read_settings(settings: Settings) -> Callable[[pathlib.Path], Any]:
  """Reads the settings of a segmentation run."""
  run = settings.read(Segmentation)
  return lambda folder: run_segmentation(run, folder)


def run_segmentation(run: Segmentation, folder: pathlib.Path) -> dict[str, Any]:
  """Runs every method on every data set and writes the result files."""
  session = Session(
    folder, config=run.config, seed=run.seed, dtype=run.dtype, mesh=run.mesh
  )
  with session.timed("load"):
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
  session.skip(skipped)
  # All windows of an image are one batch here, however the tower takes them.
  session.count(
    images_decoded=0, tower_batches=0, windows=0, text_tower_batches=0
  )
  prompts = (prompts_of(run, each.spec) for each in sets)
  announce_texts(
    session, embedder, list(itertools.chain.from_iterable(prompts))
  )
  outcomes = [segment_set(run, session, embedder, each) for each in sets]
  session.rate(
    "images_per_second", session.counters["images_decoded"], "segment"
  )
  return session.close(
    lambda: _write(run, session, embedder.clip, outcomes),
    bad=sum(len(outcome.reasons) for outcome in outcomes),
    strict=run.strict,
    what="bad example",
  )


def _know_masks(
  embedder: Embedder, found: OpenedMasks, title: str
) -> OpenedMasks:
  opened = know_images(embedder.cache_dir, found.opened, name=title)
  return found._replace(opened=opened)


def _prepare(
  run: Segmentation,
) -> tuple[Embedder, Sequence[FoundSet], Sequence[tuple[str, str]]]:
  """Finds the data sets and loads the checkpoint."""
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
  session: Session,
  clip: Clip,
  outcomes: Sequence[SegmentedSet],
) -> dict[str, Any]:
  """Draws pictures, puts the results together and writes all files."""
  with session.timed("pictures"):
    pictures = [
      picture
      for outcome in outcomes
      for picture in draw_examples(
        outcome,
        clip,
        session.folder / "figures",
        baseline=run.baseline,
        embeddings=run.embeddings,
        most=run.pictures,
        dtype=run.dtype,
        max_pixels=run.max_pixels,
      )
    ]
  results = session.document(
    model=checkpoint.describe_model(clip),
    texts=describe_texts(outcomes),
    datasets=[dataset_row(each, run.protocol) for each in outcomes],
  )
  return segmentation_rows(
    results,
    outcomes,
    session.folder,
    baseline=run.baseline,
    protocol=(
      "" if run.changed or run.embeddings != "patches" else run.protocol
    ),
    templates=run.templates,
    pictures=pictures,
    log=session.log,
  )
