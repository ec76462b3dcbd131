"""Rows of a results file from counted pixels, and the files themselves."""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int64

from s3_jax.data.segmentation_sets import OpenedMasks, SegmentationSpec
from s3_jax.evaluation.diagnosis import Confusion, confusion_rows
from s3_jax.experiment.methods.patches import PatchTarget
from s3_jax.experiment.run_log import RunLog
from s3_jax.experiment.text_embedding import EmbeddedTexts
from s3_jax.files import texts_sha256
from s3_jax.lexicon.synonyms import ClassEntry
from s3_jax.lexicon.templates import IMAGENET_80
from s3_jax.lexicon.vertices import Vertices, distinct_prompts
from s3_jax.results.escaping import valid_unicode
from s3_jax.results.published import check_expectations, published_rows
from s3_jax.results.report import (
  ClassRow,
  Picture,
  format_table,
  write_report,
)
from s3_jax.results.results_index import looked_into
from s3_jax.segmentation import (
  PixelCounts,
  SegmentationProtocol,
  compare_segmentations,
  summarise_segmentation,
)
from s3_jax.storage.shards import Shard

# Compared with each other, beside every method with the baseline.
_PAIRS = (("s3", "synonyms_max"), ("s3", "class_name"))
_INTERVALS = {
  "ci95": (
    "of the mean IoU: 95 % percentile interval, bootstrap over images, 2,000"
    " draws"
  ),
  "pixel_accuracy_ci95": "the same, of the pixel accuracy",
  "comparisons": (
    "95 % percentile interval of a paired bootstrap over images; p-value of"
    " swapping the two methods' counts image by image"
  ),
}


class SegmentedSet(NamedTuple):
  """What one data set gave.

  Attributes:
    spec: of the data set.
    found: its images and masks.
    complete: whether it has the published number of images.
    classes: of the lexicon, in label order.
    protocols: how its images were labelled under each method; they differ in
      the threshold alone.
    vertices: prompts of each method.
    texts: all of these.
    targets: of each method.
    sets: counted pixels under each method.
    reasons: index -> why it is a bad example.
  """

  spec: SegmentationSpec
  found: OpenedMasks
  complete: bool
  classes: tuple[ClassEntry, ...]
  protocols: Mapping[str, SegmentationProtocol]
  vertices: Mapping[str, Vertices]
  texts: EmbeddedTexts
  targets: Mapping[str, PatchTarget]
  sets: Mapping[str, Shard]
  reasons: Mapping[int, str]

  @property
  def names(self) -> tuple[str, ...]:
    """What the classes are called, in label order."""
    return tuple(entry.names[0] for entry in self.classes)

  def counts(self, method: str) -> PixelCounts:
    """Returns the counts of all images; zeros for bad examples."""
    arrays = self.sets[method].arrays
    return PixelCounts(*(arrays[part] for part in PixelCounts._fields))

  def good_counts(self, method: str) -> PixelCounts:
    """Returns the counts of the images that are no bad examples."""
    good = self.sets[method].good
    return PixelCounts(*(part[good] for part in self.counts(method)))


def dataset_row(outcome: SegmentedSet, protocol: str) -> dict[str, Any]:
  """Says what results say of a data set."""
  spec, opened = outcome.spec, outcome.found.opened
  settings = next(iter(outcome.protocols.values()))._asdict()
  thresholds = {
    name: each.prob_threshold for name, each in outcome.protocols.items()
  }
  return {
    "name": spec.name,
    "title": spec.title,
    "split": spec.split,
    "family": spec.family,
    "classes": spec.classes,
    "examples": len(opened.records),
    # Sources differ on the number of some.
    "published_examples": (
      spec.also if len(opened.records) == spec.also else spec.examples
    ),
    "layout": opened.layout,
    "found": opened.found,
    "protocol": {"name": protocol, **settings, "prob_threshold": thresholds},
    "bad_examples": [
      {
        "file": valid_unicode(opened.files[index]),
        "reason": valid_unicode(reason),
      }
      for index, reason in sorted(outcome.reasons.items())
    ],
  }


def describe_texts(outcomes: Sequence[SegmentedSet]) -> dict[str, Any]:
  """Says which texts gave the results."""
  by_set: dict[str, Any] = {}
  hashes = []
  for outcome in outcomes:
    methods = {}
    facts: dict[str, Any] = {"methods": methods}
    for name, vertices in outcome.vertices.items():
      prompts = distinct_prompts([vertices])
      hashes.append(texts_sha256(prompts))
      methods[name] = {
        "sha256": hashes[-1],
        "distinct": len(prompts),
        **outcome.texts.describe(prompts),
      }
      space = outcome.targets[name].space
      if space is not None:
        facts["per_class"] = [len(of_class) for of_class in vertices]
        facts["core_per_class"] = np.asarray(space.mask).sum(1).tolist()
    by_set[outcome.spec.name] = facts
  return {"sha256": texts_sha256(hashes), "datasets": by_set}


def segmentation_rows(
  results: Mapping[str, Any],
  outcomes: Sequence[SegmentedSet],
  folder: pathlib.Path,
  *,
  baseline: str,
  protocol: str,
  templates: Sequence[str],
  pictures: Sequence[Picture],
  log: RunLog,
) -> dict[str, Any]:
  """Completes the results, writes all files of a run and says its table."""
  seed = results["seed"]
  methods, comparisons, per_class, confusions = [], [], [], []
  for outcome in outcomes:
    rows, of_classes = _method_rows(outcome, seed)
    methods += rows
    per_class += of_classes
    comparisons += _comparison_rows(outcome, baseline, seed)
    confusions += [
      Confusion(
        outcome.spec.name,
        name,
        outcome.names,
        outcome.sets[name].arrays["pairs"],
      )
      for name in looked_into(outcome.sets, baseline)
    ]
  results = {**results, "methods": methods, "comparisons": comparisons}
  results["confusions"] = confusion_rows(confusions)
  results["intervals"] = _INTERVALS
  names = [outcome.spec.name for outcome in outcomes]
  results["published"] = published_rows(
    results["model"]["name"], names, measure="miou"
  )
  results["expectations"] = check_expectations(
    results,
    measure="miou",
    protocol=protocol,
    notes={each.spec.name: _objection(each, templates) for each in outcomes},
  )
  write_report(
    results,
    folder,
    baseline=baseline,
    per_class=per_class,
    confusion=confusions if pictures else None,
    pictures=pictures,
  )
  log(format_table(results, baseline=baseline))
  log(f"Results, report.html and figures: {folder}")
  return results


def _objection(outcome: SegmentedSet, templates: Sequence[str]) -> str:
  """Says what keeps a figure from being compared with the published one."""
  if not outcome.complete or outcome.reasons:
    return "not over all published images"
  if tuple(templates) != IMAGENET_80:
    return "other templates than ImageNet's 80"
  return ""


def _method_rows(
  outcome: SegmentedSet, seed: int
) -> tuple[list[dict[str, Any]], list[ClassRow]]:
  rows, per_class = [], []
  for name in outcome.sets:
    counts = outcome.good_counts(name)
    found = summarise_segmentation(counts, seed=seed)
    iou = [
      None if np.isnan(value) else float(value) for value in found.per_class_iou
    ]
    rows.append(
      {
        "dataset": outcome.spec.name,
        "name": name,
        "n": found.images,
        "miou": found.miou,
        "ci95": list(found.miou_ci95),
        "pixel_accuracy": found.pixel_accuracy,
        "pixel_accuracy_ci95": list(found.pixel_accuracy_ci95),
        "per_class_iou": iou,
        "classes_counted": found.classes_counted,
        "pixels": found.pixels,
      }
    )
    images_with: Int64[np.ndarray, " classes"] = (counts.labelled > 0).sum(0)
    per_class += [
      ClassRow(
        outcome.spec.name,
        name,
        label,
        class_name,
        int(images_with[label]),
        float(found.per_class_iou[label]),
      )
      for label, class_name in enumerate(outcome.names)
    ]
  return rows, per_class


def _comparison_rows(
  outcome: SegmentedSet, baseline: str, seed: int
) -> list[dict[str, Any]]:
  wanted = [(name, baseline) for name in outcome.sets if name != baseline]
  wanted += [
    pair for pair in _PAIRS if pair not in wanted and {*pair} <= {*outcome.sets}
  ]
  return [
    {
      "dataset": outcome.spec.name,
      "a": a,
      "b": b,
      **compare_segmentations(
        outcome.good_counts(a), outcome.good_counts(b), seed=seed
      )._asdict(),
    }
    for a, b in wanted
  ]
