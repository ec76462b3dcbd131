"""Every method on the images of one data set, counted pixel by pixel."""

import itertools
import json
import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import numpy as np
from tqdm import tqdm

from s3_jax import hosts
from s3_jax.data.segmentation_sets import class_entries
from s3_jax.data.segmentation_stream import (
  MaskedImage,
  masked_images,
  rgb_pixels,
)
from s3_jax.experiment.canary import pixels_canary
from s3_jax.experiment.contents import Verified, known_contents
from s3_jax.experiment.embedder import Embedder
from s3_jax.experiment.methods.patches import (
  PATCH_METHODS,
  PatchTarget,
  make_targets,
  method_vertices,
  official_names,
  texts_of,
)
from s3_jax.experiment.run_log import RunLog, timed
from s3_jax.experiment.tasks.segmentation.plan import FoundSet, Segmentation
from s3_jax.experiment.tasks.segmentation.rows import SegmentedSet
from s3_jax.experiment.tasks.segmentation.settings import too_small
from s3_jax.experiment.tasks.segmentation.window_embedding import EMBEDDINGS
from s3_jax.lexicon.vertices import distinct_prompts
from s3_jax.segmentation import (
  SegmentationProtocol,
  confusion_matrix,
  label_windows,
)
from s3_jax.segmentation.windows import resize_image
from s3_jax.sharding import replicated
from s3_jax.storage import cache
from s3_jax.storage.pixel_shards import (
  CountedImage,
  CountedImages,
  CountedSet,
  count_images,
  count_in_shards,
  merge_sets,
  own_rows,
  stored_shards,
)


def segment_set(
  run: Segmentation,
  embedder: Embedder,
  each: FoundSet,
  timings: dict[str, float],
  counters: dict[str, int],
  log: RunLog,
) -> SegmentedSet:
  """Runs every method on one data set."""
  spec, found = each.spec, each.found
  total = len(found.opened.records)
  methods = {name: PATCH_METHODS[name] for name in run.methods}
  texts = texts_of(spec, run.templates)
  vertices = method_vertices(methods, texts)
  prompts = distinct_prompts(vertices.values())
  log(
    f"{spec.title}: {total:,} images, {spec.classes} classes, {len(methods)}"
    f" methods, {len(prompts):,} texts; {found.opened.found}."
    f" {_in_words(run, spec.name)}"
  )
  with timed(timings, "embed_text"):
    embedded = embedder.texts(prompts, progress=spec.title)
  counters["text_tower_batches"] += embedded.tower_batches
  with timed(timings, "build_space"):
    targets = make_targets(
      methods,
      vertices,
      prompts,
      embedded.embeddings,
      run.options,
      official=official_names(texts),
    )
  protocols = {name: run.protocol_of(spec.name, name) for name in run.methods}
  keys = {
    name: _key(run, embedder, each, protocols[name], target)
    for name, target in targets.items()
  }
  store = run.cache_dir / "segmentation"
  # Made of arrays, whose last bits may differ between kinds of processors.
  keys = hosts.gather_json(keys)[0]
  contents = known_contents(found.opened)
  images = CountedImages(contents.ids, contents.reasons)
  verified = Verified(found.opened.records, contents)
  checked = each._replace(
    found=found._replace(opened=found.opened._replace(records=verified))
  )
  stored = hosts.gather_flags(stored_shards(store, keys, images))
  absent = np.all(~stored, axis=0)
  left = count_images(absent, total=total)
  is_own = hosts.own_items(stored)
  own = np.flatnonzero(is_own).tolist()
  mine = count_images(is_own, total=total)
  log(
    f"To segment: {left:,} images. A run that is stopped goes on from there."
    if left
    else "The cache has every count."
  )
  with (
    timed(timings, "segment"),
    tqdm(
      total=mine,
      initial=mine - count_images(is_own & absent, total=total),
      desc=f"segment {spec.name}",
      unit="image",
      leave=False,
      disable=None if hosts.is_first() else True,
    ) as bar,
  ):
    params = jax.device_put(embedder.clip.params, replicated(embedder.devices))
    done = {"tower_batches": 0, "windows": 0, "images_decoded": 0}

    def count(indices: list[int], lacking: tuple[str, ...]):
      wanted = {name: targets[name] for name in lacking}
      try:
        for image in _count(run, embedder, checked, wanted, indices, params):
          done["tower_batches"] += bool(image.windows)
          done["windows"] += image.windows
          done["images_decoded"] += 1
          bar.update()
          yield image.counted
      except ValueError as error:  # of a mask, whose file several sets may have
        raise ValueError(f"{spec.title}: {error}") from error

    sets, _ = hosts.raise_on_all(
      lambda: count_in_shards(
        store,
        keys,
        count,
        name=spec.name,
        images=images,
        classes=spec.classes,
        numbers=own,
        pace=hosts.with_barriers,
      )
    )
    sets = _merge(sets, own, total)
  for name, number in hosts.add_up(done).items():
    counters[name] += number
  outcome = SegmentedSet(
    spec=spec,
    found=found,
    complete=each.complete,
    classes=class_entries(spec),
    protocols=protocols,
    vertices=vertices,
    texts=embedded,
    targets=targets,
    sets=sets,
    reasons=next(iter(sets.values())).reasons,
  )
  _check_good(outcome, log)
  return outcome


def _merge(
  sets: dict[str, CountedSet], own: list[int], total: int
) -> dict[str, CountedSet]:
  """Adds the counts of all processes up."""
  if hosts.count() == 1:
    return sets
  merged = {}
  for name, counted in sets.items():
    parts = hosts.gather_arrays(own_rows(counted, own))
    reasons = hosts.gather_json(sorted(counted.reasons.items()))
    all_reasons = dict(sorted(pair for part in reasons for pair in part))
    merged[name] = merge_sets(parts, all_reasons, total=total)
  return merged


def _in_words(run: Segmentation, dataset: str) -> str:
  protocol = run.protocols[dataset]
  changed = ", changed" if run.changed else ""
  window = protocol.window or "the whole image"
  thresholds = [
    run.protocol_of(dataset, name).prob_threshold for name in run.methods
  ]
  least, most = min(thresholds), max(thresholds)
  span = f"{least:g}" if least == most else f"{least:g} to {most:g}, by method"
  return (
    f"Protocol {run.protocol}{changed}, {run.embeddings}: short side"
    f" {protocol.short_side}, window {window}, stride {protocol.stride}, factor"
    f" {protocol.logit_factor:g}, threshold {span}."
  )


class _CountedImage(NamedTuple):
  counted: CountedImage
  windows: int  # through the tower


_GROUP = 8
"""Images whose windows go through the tower together, by their places."""


def _count(
  run: Segmentation,
  embedder: Embedder,
  each: FoundSet,
  targets: dict[str, PatchTarget],
  indices: list[int],
  params: Any,
) -> Iterator[_CountedImage]:
  """Labels images with every target, one pass of the tower each."""
  stream = masked_images(each.found, indices, max_pixels=run.max_pixels)
  # By place and not by turn: a run that goes on makes the same batches.
  for _, group in itertools.groupby(
    stream, lambda image: image.position // _GROUP
  ):
    yield from _count_group(run, embedder, each, targets, list(group), params)


def _count_group(
  run: Segmentation,
  embedder: Embedder,
  each: FoundSet,
  targets: dict[str, PatchTarget],
  group: list[MaskedImage],
  params: Any,
) -> Iterator[_CountedImage]:
  clip, protocol = embedder.clip, run.protocols[each.spec.name]
  reasons = []
  for image in group:
    reason = image.reason
    if image.pixels is not None and image.labels is not None:
      size = image.pixels.shape[:2]
      reason = too_small(size, clip.spec, protocol, run.embeddings)
    reasons.append(reason)
  embedded = iter(
    EMBEDDINGS[run.embeddings](
      clip.spec,
      params,
      [
        image.pixels
        for image, reason in zip(group, reasons, strict=True)
        if not reason
      ],
      protocol=protocol,
      dtype=run.dtype,
      mesh=embedder.devices,
    )
  )
  for image, reason in zip(group, reasons, strict=True):
    if reason or image.labels is None:
      counted = CountedImage(image.position, {}, reason, not image.passing)
      yield _CountedImage(counted, 0)
      continue
    patches = next(embedded)
    pairs = {}
    for name, made in targets.items():
      labels = label_windows(
        patches,
        made.target,
        protocol=run.protocol_of(each.spec.name, name),
      )
      pairs[name] = confusion_matrix(
        image.labels, labels, classes=each.spec.classes
      )
    yield _CountedImage(
      CountedImage(
        image.position,
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
  return cache.content_key(
    {
      "kind": "pixels",
      **embedder.identity,
      "pixels": pixels_canary(
        lambda image: resize_image(
          rgb_pixels(image),
          short_side=protocol.short_side,
          long_side=protocol.long_side,
        )
      ),
      "protocol": json.loads(json.dumps(protocol._asdict())),
      "embeddings": run.embeddings,
      "target": target.key,
      "classes": each.spec.classes,
      "labels": list(each.found.labels),
      "palette": json.loads(json.dumps(each.found.palette)),
      "max_pixels": run.max_pixels,
    }
  )


def _check_good(outcome: SegmentedSet, log: RunLog) -> None:
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
  log(
    f"{title}: {len(bad)} of {total} images are bad and not counted; {first}."
  )
