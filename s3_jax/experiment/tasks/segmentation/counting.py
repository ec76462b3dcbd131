"""Every method on the images of one data set, counted pixel by pixel."""

import itertools
import json
import math
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import numpy as np
from jaxtyping import Bool

from s3_jax import hosts
from s3_jax.data.segmentation_sets import SegmentationSpec, class_entries
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
from s3_jax.experiment.run_log import RunLog
from s3_jax.experiment.session import Session
from s3_jax.experiment.shared_shards import gather_shards
from s3_jax.experiment.tasks.segmentation.plan import FoundSet, Segmentation
from s3_jax.experiment.tasks.segmentation.rows import SegmentedSet
from s3_jax.experiment.tasks.segmentation.settings import too_small
from s3_jax.lexicon.vertices import distinct_prompts
from s3_jax.segmentation import (
  EMBEDDINGS,
  SegmentationProtocol,
  confusion_matrix,
  label_windows,
  sum_pairs,
)
from s3_jax.segmentation.windows import resize_image
from s3_jax.sharding import replicated
from s3_jax.storage import cache
from s3_jax.storage.pixel_shards import (
  CountedImage,
  count_in_shards,
  pixel_layout,
)
from s3_jax.storage.shards import Layout, Shard, join_shards, stored_shards


def prompts_of(run: Segmentation, spec: SegmentationSpec) -> tuple[str, ...]:
  """Lists the texts of all methods on one data set."""
  methods = {name: PATCH_METHODS[name] for name in run.methods}
  vertices = method_vertices(
    methods, texts_of(spec, run.templates, run.lexicon)
  )
  return distinct_prompts(vertices.values())


def segment_set(
  run: Segmentation,
  session: Session,
  embedder: Embedder,
  each: FoundSet,
) -> SegmentedSet:
  """Runs every method on one data set."""
  spec, found = each.spec, each.found
  total = len(found.opened.records)
  methods = {name: PATCH_METHODS[name] for name in run.methods}
  texts = texts_of(spec, run.templates, run.lexicon)
  vertices = method_vertices(methods, texts)
  prompts = distinct_prompts(vertices.values())
  session.log(
    f"{spec.title}: {total:,} images, {spec.classes} classes, {len(methods)}"
    f" methods, {len(prompts):,} texts; {found.opened.found}."
    f" {_in_words(run, spec.name)}"
  )
  with session.timed("embed_text"):
    embedded = embedder.texts(prompts)
  session.count(text_tower_batches=embedded.tower_batches)
  with session.timed("build_space"):
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
  # Made of arrays, whose last bits may differ between kinds of processors.
  keys = hosts.gather_json(keys)[0]
  contents = known_contents(found.opened)
  layouts = {
    name: pixel_layout(
      key, spec.name, contents.ids, contents.reasons, classes=spec.classes
    )
    for name, key in keys.items()
  }
  verified = Verified(found.opened.records, contents)
  checked = each._replace(
    found=found._replace(opened=found.opened._replace(records=verified))
  )
  with session.timed("segment"):
    sets, done = _count_set(
      run, embedder, checked, targets, layouts, session.log
    )
  session.count(**hosts.add_up(done))
  outcome = SegmentedSet(
    spec=spec,
    found=found,
    complete=each.complete,
    classes=class_entries(spec, run.lexicon),
    protocols=protocols,
    vertices=vertices,
    texts=embedded,
    targets=targets,
    sets=sets,
    reasons=next(iter(sets.values())).reasons,
  )
  _check_good(outcome, session.log)
  return outcome


def _count_set(
  run: Segmentation,
  embedder: Embedder,
  each: FoundSet,
  targets: dict[str, PatchTarget],
  layouts: dict[str, Layout],
  log: RunLog,
) -> tuple[dict[str, Shard], dict[str, int]]:
  """Counts the pixels of a data set, and what the tower did for them.

  Processes share out the shards that some method lacks.
  """
  folder, spec = run.cache_dir / "segmentation", each.spec
  any_layout = next(iter(layouts.values()))
  stored = hosts.gather_flags(
    np.all([stored_shards(folder, of) for of in layouts.values()], axis=0)
  )
  absent, is_own = np.all(~stored, axis=0), hosts.own_items(stored)

  def count_images(shards: Bool[np.ndarray, " shards"]) -> int:
    return any_layout.spans(np.flatnonzero(shards).tolist()).size

  left, mine = count_images(absent), count_images(is_own)
  log(
    f"To segment: {left:,} images. A run that is stopped goes on from there."
    if left
    else "The cache has every count."
  )
  done = {"tower_batches": 0, "windows": 0, "images_decoded": 0}
  params = jax.device_put(embedder.clip.params, replicated(embedder.devices))
  with hosts.progress_bar(
    total=mine,
    initial=mine - count_images(is_own & absent),
    desc=f"segment {spec.name}",
  ) as bar:

    def count(indices: list[int], lacking: tuple[str, ...]):
      wanted = {name: targets[name] for name in lacking}
      stream = masked_images(each.found, indices, max_pixels=run.max_pixels)
      try:
        # By place and not by turn: a run that goes on makes the same batches.
        for _, group in itertools.groupby(
          stream, lambda image: image.position // _GROUP
        ):
          for image in _count(
            run, embedder, spec, wanted, list(group), params, done
          ):
            bar.update()
            yield image
      except ValueError as error:  # of a mask, whose file several sets may have
        raise ValueError(f"{spec.title}: {error}") from error

    own = hosts.raise_on_all(
      lambda: count_in_shards(
        folder,
        layouts,
        count,
        numbers=np.flatnonzero(is_own).tolist(),
        pace=hosts.with_barriers,
      )
    )
  return {
    name: join_shards(layouts[name], gather_shards(part))
    for name, part in own.items()
  }, done


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


_GROUP = 8
"""Images whose windows go through the tower together, by their places."""


def _count(
  run: Segmentation,
  embedder: Embedder,
  spec: SegmentationSpec,
  targets: dict[str, PatchTarget],
  images: Sequence[MaskedImage],
  params: Any,
  done: dict[str, int],
) -> Iterator[CountedImage]:
  """Labels images with every target, one pass of the tower each."""
  clip, protocol = embedder.clip, run.protocols[spec.name]
  reasons = [
    image.reason
    or too_small(image.pixels.shape[:2], clip.spec, protocol, run.embeddings)
    for image in images
  ]
  embedded = iter(
    EMBEDDINGS[run.embeddings](
      clip.spec,
      params,
      [
        image.pixels
        for image, reason in zip(images, reasons, strict=True)
        if not reason
      ],
      protocol=protocol,
      dtype=run.dtype,
      mesh=embedder.devices,
    )
  )
  for image, reason in zip(images, reasons, strict=True):
    done["images_decoded"] += 1
    if reason:
      yield CountedImage(image.position, {}, reason, image.passing)
      continue
    patches = next(embedded)
    done["tower_batches"] += 1
    done["windows"] += math.prod(patches.embeddings.shape[:2])
    counts = {}
    for name, made in targets.items():
      pairs = confusion_matrix(
        image.labels,
        label_windows(
          patches, made.target, protocol=run.protocol_of(spec.name, name)
        ),
        classes=spec.classes,
      )
      counts[name] = {**sum_pairs(pairs)._asdict(), "pairs": pairs}
    yield CountedImage(image.position, counts, "")


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
