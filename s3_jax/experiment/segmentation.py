"""The task "segmentation": every method on images with masks."""

import json
import math
import pathlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from s3_jax.data.decoding import MAX_PIXELS
from s3_jax.data.segmentation_sets import (
  SEGMENTATION_SETS,
  OpenedMasks,
  SegmentationSpec,
  check_mask_counts,
  class_entries,
  open_masks,
)
from s3_jax.data.segmentation_stream import masked_images
from s3_jax.evaluation import cache
from s3_jax.evaluation.pixel_shards import (
  CountedImage,
  count_in_shards,
  count_missing_images,
)
from s3_jax.evaluation.schema import SCHEMA
from s3_jax.evaluation.segmentation import (
  SegmentationProtocol,
  confusion_matrix,
  label_windows,
)
from s3_jax.experiment import checkpoint
from s3_jax.experiment.embedding import Embedder
from s3_jax.experiment.environment import CompileClock, describe_environment
from s3_jax.experiment.evaluate import read_space_options
from s3_jax.experiment.methods import SpaceOptions
from s3_jax.experiment.narration import Narrator, timed
from s3_jax.experiment.segmentation_methods import (
  PATCH_METHODS,
  PatchTarget,
  distinct_prompts,
  make_targets,
  method_vertices,
  texts_of,
)
from s3_jax.experiment.segmentation_rows import (
  Segmented,
  dataset_row,
  describe_texts,
  segmentation_rows,
)
from s3_jax.experiment.segmentation_settings import (
  PROTOCOLS,
  protocol_of,
  read_changes,
  read_embeddings,
  read_templates,
  read_thresholds,
  too_small,
)
from s3_jax.experiment.segmentation_showcase import draw_examples
from s3_jax.experiment.settings import Settings, read_cache_dir
from s3_jax.experiment.text_embedding import embed_prompts
from s3_jax.experiment.window_embedding import EMBEDDINGS, check_embeddings


class Segmentation(NamedTuple):
  """The settings of a segmentation run, read and checked."""

  model: checkpoint.CheckpointSource
  datasets: tuple[str, ...]
  skip_absent: bool  # of a suite
  data_dir: pathlib.Path | None
  protocols: dict[str, SegmentationProtocol]  # by data set
  protocol: str
  embeddings: str  # a key of EMBEDDINGS
  changed: bool  # whether a protocol is not as published
  partial: bool
  strict: bool
  methods: tuple[str, ...]
  thresholds: dict[str, float]  # of methods whose threshold is their own
  baseline: str
  templates: tuple[str, ...]
  options: SpaceOptions
  pictures: int
  dtype: str
  max_pixels: int
  cache_dir: pathlib.Path
  seed: int
  config: dict[str, Any]  # as given, for the results


class FoundSet(NamedTuple):
  """A data set that can be run."""

  spec: SegmentationSpec
  found: OpenedMasks
  complete: bool


def read_settings(settings: Settings) -> Callable[[pathlib.Path], Any]:
  """Reads the settings of a segmentation run.

  Args:
    settings: of a config whose task is "segmentation".

  Returns:
    The run, as a function of the workdir; it returns the results.
  """
  known = tuple(SEGMENTATION_SETS)
  suite = "datasets" in settings.everything
  if suite:
    datasets = settings.words("datasets", known)
  else:
    datasets = (settings.take("dataset", str, choices=known),)
  data_dir = settings.take("data_dir", str, default="")
  protocol = settings.take("protocol", str, choices=PROTOCOLS)
  changes = read_changes(settings)
  methods = settings.words("methods", tuple(PATCH_METHODS))
  thresholds = read_thresholds(settings, methods)
  run = Segmentation(
    config=settings.everything,
    model=checkpoint.read_checkpoint(settings, "model"),
    datasets=datasets,
    skip_absent=suite,
    data_dir=pathlib.Path(data_dir).expanduser() if data_dir else None,
    protocols={n: protocol_of(protocol, n, changes) for n in datasets},
    protocol=protocol,
    embeddings=read_embeddings(settings),
    changed=bool(changes or thresholds),
    partial=settings.take("partial", bool, default=False),
    strict=settings.take("strict", bool, default=False),
    methods=methods,
    thresholds=thresholds,
    baseline=settings.take("baseline", str, default="names_max"),
    templates=read_templates(settings),
    options=read_space_options(settings),
    pictures=settings.take("pictures", int, default=3, minimum=0),
    dtype=settings.take("dtype", str, choices=("float32", "bfloat16")),
    max_pixels=settings.take("max_pixels", int, default=MAX_PIXELS, minimum=1),
    cache_dir=read_cache_dir(settings),
    seed=settings.take("seed", int, minimum=0),
  )
  if run.baseline not in run.methods:
    raise ValueError(
      f"`config.methods` must hold the baseline {run.baseline!r}, got"
      f" {', '.join(run.methods)}."
    )
  return lambda folder: run_segmentation(run, folder)


def run_segmentation(run: Segmentation, folder: pathlib.Path) -> dict[str, Any]:
  """Runs every method on every data set and writes the result files.

  Args:
    run: the settings.
    folder: an existing folder.

  Returns:
    The results, as in results.json (schema 1).

  Raises:
    ValueError: for a data set that is absent or broken, and under `strict` for
      bad examples, after everything is written.
  """
  clock, timings = CompileClock(), {}
  say = Narrator(folder / "log.txt")
  with timed(timings, "load"):
    clip = checkpoint.load_checkpoint(run.model)
    # One batch of texts is what the towers take at once; devices play no part.
    embedder = Embedder(clip, run.dtype, 64, 1, run.cache_dir, run.max_pixels)
    for protocol in run.protocols.values():
      check_embeddings(clip, protocol, run.embeddings)
    sets, skipped = _find(run)
  for name, reason in skipped:
    say(f"Skipped {name}: {reason}")
  # All windows of an image are one batch here, however the tower takes them.
  counters = {
    "images_decoded": 0,
    "tower_batches": 0,
    "windows": 0,
    "text_tower_batches": 0,
  }
  outcomes = [
    _measure(run, embedder, each, timings, counters, say) for each in sets
  ]
  if counters["images_decoded"]:
    timings["images_per_second"] = (
      counters["images_decoded"] / timings["segment"]
    )
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
    "texts": describe_texts(outcomes, clip),
    "datasets": [dataset_row(each, run.protocol) for each in outcomes],
    "skipped": [{"dataset": name, "reason": why} for name, why in skipped],
    "counters": {
      **counters,
      "cache": "cold" if any(counters.values()) else "warm",
    },
    "timings": {name: round(value, 3) for name, value in timings.items()},
  }
  results = segmentation_rows(
    results,
    outcomes,
    folder,
    baseline=run.baseline,
    protocol=(
      "" if run.changed or run.embeddings != "patches" else run.protocol
    ),
    templates=run.templates,
    pictures=pictures,
    say=say,
  )
  bad = sum(len(outcome.reasons) for outcome in outcomes)
  if bad and run.strict:
    raise ValueError(
      f"`config.strict` allows no bad example, got {bad}:"
      f" {folder / 'results.json'} lists them."
    )
  return results


def _find(run: Segmentation) -> tuple[list[FoundSet], list[tuple[str, str]]]:
  found, skipped = [], []
  for name in run.datasets:
    try:
      found.append(_find_one(run, SEGMENTATION_SETS[name]))
    except ValueError as error:
      if not run.skip_absent:
        raise
      skipped.append((name, str(error)))
  if not found:
    raise ValueError(
      "`config.datasets` must name a data set that is there, got none of"
      f" {len(run.datasets)}: {skipped[0][1]}"
    )
  return found, skipped


def _find_one(run: Segmentation, spec: SegmentationSpec) -> FoundSet:
  if spec.family == "embedded":
    found = open_masks(spec, run.cache_dir / "tfds")
  elif run.data_dir is None:
    raise ValueError(
      f"`config.data_dir` must be the folder that holds {spec.title}, and is"
      " not set."
    )
  else:
    found = open_masks(spec, run.data_dir)
  try:
    check_mask_counts(spec, found)
  except ValueError as error:
    if not run.partial:
      raise ValueError(
        f"{error} `config.partial=True` runs on what is there."
      ) from error
    return FoundSet(spec, found, False)
  return FoundSet(spec, found, True)


def _measure(
  run: Segmentation,
  embedder: Embedder,
  each: FoundSet,
  timings: dict[str, float],
  counters: dict[str, int],
  say: Narrator,
) -> Segmented:
  """Runs every method on one data set."""
  spec, found = each.spec, each.found
  total = len(found.opened.records)
  methods = {name: PATCH_METHODS[name] for name in run.methods}
  vertices = method_vertices(methods, texts_of(spec, run.templates))
  prompts = distinct_prompts(vertices)
  say(
    f"{spec.title}: {total:,} images, {spec.classes} classes, {len(methods)}"
    f" methods, {len(prompts):,} texts; {found.opened.found}."
    f" {_in_words(run, spec.name)}"
  )
  with timed(timings, "embed_text"):
    embedded = embed_prompts(embedder, prompts, progress=spec.title)
  counters["text_tower_batches"] += embedded.tower_batches
  with timed(timings, "build_space"):
    targets = make_targets(
      methods, vertices, prompts, embedded.embeddings, run.options
    )
  protocols = {name: _of_method(run, spec.name, name) for name in run.methods}
  keys = {
    name: _key(run, embedder, each, protocols[name], target)
    for name, target in targets.items()
  }
  store = run.cache_dir / "segmentation"
  left = count_missing_images(store, keys, total=total)
  say(
    f"To segment: {left:,} images. A run that is stopped goes on from there."
    if left
    else "The cache has every count."
  )
  with (
    timed(timings, "segment"),
    tqdm(
      total=total,
      initial=total - left,
      desc=f"segment {spec.name}",
      unit="image",
      leave=False,
      disable=None,
    ) as bar,
  ):

    def count(places: list[int], lacking: tuple[str, ...]):
      for image in _count(
        run, embedder, each, {name: targets[name] for name in lacking}, places
      ):
        counters["tower_batches"] += bool(image.windows)
        counters["windows"] += image.windows
        bar.update()
        yield image.counted

    sets, counted = count_in_shards(
      store, keys, count, name=spec.name, total=total, classes=spec.classes
    )
  counters["images_decoded"] += counted
  outcome = Segmented(
    spec=spec,
    found=found,
    complete=each.complete,
    classes=class_entries(spec),
    protocols=protocols,
    vertices=vertices,
    targets=targets,
    sets=sets,
    reasons=next(iter(sets.values())).reasons,
  )
  _check_good(outcome, say)
  return outcome


def _in_words(run: Segmentation, dataset: str) -> str:
  protocol = run.protocols[dataset]
  changed = ", changed" if run.changed else ""
  window = protocol.window or "the whole image"
  return (
    f"Protocol {run.protocol}{changed}, {run.embeddings}: short side"
    f" {protocol.short_side}, window {window}, stride {protocol.stride}, factor"
    f" {protocol.logit_factor:g}, threshold {protocol.prob_threshold:g}."
  )


def _of_method(
  run: Segmentation, dataset: str, method: str
) -> SegmentationProtocol:
  """Returns a data set's protocol with the method's own threshold."""
  protocol = run.protocols[dataset]
  own = run.thresholds.get(method, protocol.prob_threshold)
  return protocol._replace(prob_threshold=own)


class _Counted(NamedTuple):
  counted: CountedImage
  windows: int  # through the tower


def _count(
  run: Segmentation,
  embedder: Embedder,
  each: FoundSet,
  targets: dict[str, PatchTarget],
  places: list[int],
) -> Iterator[_Counted]:
  """Labels images with every target, one pass of the tower each."""
  clip, protocol = embedder.clip, run.protocols[each.spec.name]
  for image in masked_images(each.found, places, max_pixels=run.max_pixels):
    if image.pixels is None or image.labels is None:
      yield _Counted(CountedImage(image.place, {}, image.reason), 0)
      continue
    size = image.pixels.shape[:2]
    reason = too_small(size, clip.spec, protocol, run.embeddings)
    if reason:
      yield _Counted(CountedImage(image.place, {}, reason), 0)
      continue
    patches = EMBEDDINGS[run.embeddings](
      clip.spec, clip.params, image.pixels, protocol=protocol, dtype=run.dtype
    )
    pairs = {}
    for name, made in targets.items():
      labels = label_windows(
        patches,
        made.target,
        protocol=_of_method(run, each.spec.name, name),
      )
      pairs[name] = confusion_matrix(
        image.labels, labels, classes=each.spec.classes
      )
    yield _Counted(
      CountedImage(
        image.place,
        {name: np.asarray(cells, np.int64) for name, cells in pairs.items()},
        "",
      ),
      math.prod(patches.embeddings.shape[:2]),
    )


def _key(
  run: Segmentation,
  embedder: Embedder,
  each: FoundSet,
  protocol: SegmentationProtocol,
  target: PatchTarget,
) -> str:
  """Names counts by everything that they depend on."""
  clip = embedder.clip
  return cache.content_key(
    {
      "kind": "pixels",
      "weights": clip.sha256,
      "spec": json.loads(json.dumps(clip.spec._asdict())),
      "dtype": run.dtype,
      "protocol": json.loads(json.dumps(protocol._asdict())),
      "embeddings": run.embeddings,
      "target": target.key,
      "dataset": each.spec.name,
      "content": each.found.opened.fingerprint,
      "labels": list(each.found.labels),
      "max_pixels": run.max_pixels,
    }
  )


def _check_good(outcome: Segmented, say: Narrator) -> None:
  """Says which examples are bad; refuses a data set without a good one."""
  bad = sorted(outcome.reasons.items())
  if not bad:
    return
  title, files = outcome.spec.title, outcome.found.opened.files
  first = f"the first is {files[bad[0][0]]}: {bad[0][1]}"
  total = len(outcome.found.opened.records)
  if len(bad) == total:
    raise ValueError(
      f"{title} must hold an image with a mask that can be used, got {total}"
      f" bad ones; {first}."
    )
  say(
    f"{title}: {len(bad)} of {total} images are bad and not counted; {first}."
  )
