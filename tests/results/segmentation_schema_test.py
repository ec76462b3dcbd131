"""Results of labelled pixels under schema 2."""

import pytest

from s3_jax.results.schema import validate_results


def results(**changes):
  entry = {
    "dataset": "voc21",
    "name": "s3",
    "n": 4,
    "miou": 0.5,
    "ci95": [0.4, 0.6],
    "pixel_accuracy": 0.8,
    "pixel_accuracy_ci95": [0.7, 0.9],
    "per_class_iou": [0.25, 0.75, None],
  } | changes
  return {
    "schema": 2,
    "seed": 0,
    "config": {},
    "environment": {},
    "model": {"name": "tiny", "spec": {}, "sha256": "ab"},
    "texts": {},
    "timings": {},
    "counters": {"images_decoded": 4, "tower_batches": 1, "cache": "cold"},
    "datasets": [
      {
        "name": "voc21",
        "split": "val",
        "classes": 3,
        "examples": 4,
        "bad_examples": [],
      }
    ],
    "methods": [{k: v for k, v in entry.items() if v is not ...}],
    "comparisons": [],
    "published": [
      {
        "dataset": "voc21",
        "method": "SCLIP",
        "model": "OpenAI ViT-B/16",
        "miou": 0.5963,
        "source": "its README",
        "kind": "published",
      }
    ],
  }


def test_pixel_measures_stand_in_the_place_of_image_measures():
  validate_results(results())


@pytest.mark.parametrize(
  ("changes", "rule"),
  [
    ({"miou": 54.0}, r"methods\[0\].miou` must be in \[0, 1\], got 54.0"),
    ({"pixel_accuracy": ...}, "must have the key 'pixel_accuracy'"),
    ({"per_class_iou": ...}, "must have the key 'per_class_iou'"),
    ({"per_class_iou": [2]}, r"per_class_iou\[0\]` must be in \[0, 1\]"),
    ({"per_class_iou": 2}, "per_class_iou` must be a list"),
    ({"pixel_accuracy_ci95": [1, 0]}, "must have low <= high"),
    ({"miou": ...}, "must have the key 'top1'"),
  ],
)
def test_rules(changes, rule):
  with pytest.raises(ValueError, match=rule):
    validate_results(results(**changes))


def test_published_rows_have_a_miou():
  tree = results()
  tree["published"][0]["miou"] = 59.6
  with pytest.raises(ValueError, match=r"published\[0\].miou` must be in"):
    validate_results(tree)
