"""The table of protocols, and what it refuses."""

import itertools

import pytest

from s3_jax.segmentation import SEGMENTATION_PROTOCOLS
from s3_jax.segmentation.protocols import DATA_SETS, check_protocol

METHODS = ("maskclip", "sclip", "clearclip", "naclip", "resclip_rcs")


def test_every_method_has_every_data_set():
  keys = {*METHODS, *map("/".join, itertools.product(METHODS, DATA_SETS))}
  assert set(SEGMENTATION_PROTOCOLS) == keys
  for protocol in SEGMENTATION_PROTOCOLS.values():
    check_protocol(protocol)


def test_data_sets_are_those_of_the_papers():
  # Names of background classes, and the thresholds that only they have.
  for method in ("sclip", "clearclip", "naclip", "resclip_rcs"):
    with_background = {
      name
      for name in DATA_SETS
      if SEGMENTATION_PROTOCOLS[f"{method}/{name}"].prob_threshold
    }
    assert with_background == {"voc21", "context60", "coco_object"}
  with_area = [
    key for key, row in SEGMENTATION_PROTOCOLS.items() if row.area_threshold
  ]
  assert with_area == ["sclip/voc21"]


@pytest.mark.parametrize(
  ("key", "short", "long", "window", "stride", "factor", "threshold"),
  [
    ("sclip", 336, 2048, 224, 112, 40, 0),
    ("sclip/voc21", 336, 2048, 224, 112, 65, 0.1),
    ("sclip/voc20", 336, 2048, 224, 112, 40, 0),
    ("sclip/context60", 336, 2048, 224, 112, 50, 0.1),
    ("sclip/coco_object", 336, 2048, 224, 112, 50, 0.1),
    ("sclip/coco_stuff", 448, 2048, 224, 112, 40, 0),
    ("sclip/cityscapes", 560, 2048, 224, 112, 40, 0),
    ("clearclip", 448, 2048, 448, 224, 50, 0),
    ("clearclip/voc21", 448, 2048, 448, 224, 50, 0.5),
    ("clearclip/context60", 448, 2048, 448, 224, 50, 0.15),
    ("clearclip/coco_object", 448, 2048, 448, 224, 50, 0.4),
    ("clearclip/cityscapes", 448, 2048, 224, 224, 50, 0),
    ("clearclip/ade20k", 448, 2048, 448, 224, 50, 0),
    ("naclip", 336, 2048, 224, 112, 40, 0),
    ("naclip/voc21", 336, 2048, 0, 112, 40, 0.1),
    ("naclip/voc20", 336, 2048, 0, 112, 40, 0),
    ("naclip/context60", 336, 2048, 224, 112, 40, 0.1),
    ("naclip/coco_object", 336, 2048, 224, 112, 40, 0.1),
    ("naclip/coco_stuff", 336, 2048, 224, 112, 40, 0),
    ("naclip/cityscapes", 560, 2048, 224, 112, 40, 0),
    ("resclip_rcs/voc21", 336, 2048, 0, 112, 40, 0.1),
    ("resclip_rcs/ade20k", 336, 2048, 224, 112, 40, 0),
    ("maskclip", 512, 2048, 0, 1, 100, 0),
    ("maskclip/context59", 520, 520, 0, 1, 100, 0),
    ("maskclip/cityscapes", 512, 1024, 0, 1, 100, 0),
  ],
)
def test_rows(key, short, long, window, stride, factor, threshold):
  row = SEGMENTATION_PROTOCOLS[key]
  assert (row.short_side, row.long_side) == (short, long)
  assert (row.window, row.stride) == (window, stride)
  assert (row.logit_factor, row.prob_threshold) == (factor, threshold)


def test_the_table_cannot_be_changed():
  with pytest.raises(TypeError):
    SEGMENTATION_PROTOCOLS["sclip"] = SEGMENTATION_PROTOCOLS["clearclip"]  # pyright: ignore


@pytest.mark.parametrize(
  ("changes", "message"),
  [
    (
      {"attention": "gem"},
      "`attention` of the protocol must be one of vanilla",
    ),
    ({"padding": "same"}, "`padding` .* floor, center, corner, got 'same'"),
    ({"short_side": 0}, "`short_side` of the protocol must be >= 1, got 0"),
    ({"long_side": 300}, "at least its short_side, 336, got 300"),
    ({"window": -1}, "`window` of the protocol must be >= 0, got -1"),
    ({"stride": 225}, "at most its window, 224, got 225"),
    (
      {"pixel_std": None},
      "`pixel_mean` .* None, which .*, just where pixel_std is",
    ),
    ({"logit_factor": 0.0}, "`logit_factor` of the protocol must be > 0"),
    ({"logit_factor": float("nan")}, "`logit_factor` .* got nan"),
    ({"prob_threshold": 1.5}, r"in \[0, 1\], got 1.5"),
    ({"area_threshold": -0.1}, r"`area_threshold` .* in \[0, 1\], got -0.1"),
  ],
)
def test_wrong_settings_are_named(changes, message):
  with pytest.raises(ValueError, match=message):
    check_protocol(SEGMENTATION_PROTOCOLS["sclip"]._replace(**changes))
