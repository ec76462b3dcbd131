"""Segmentation runs, end to end: replicas with masks in, results out."""

import csv
import json
import pathlib

import numpy as np
import pytest
from absl import flags
from ml_collections import config_flags

from s3_jax.data.segmentation_sets import (
  SEGMENTATION_SETS,
  benchmark_names,
  class_entries,
  open_masks,
)
from s3_jax.data.segmentation_stream import masked_images
from s3_jax.experiment import Common
from s3_jax.experiment.methods.patches import PATCH_METHODS
from s3_jax.experiment.settings import Settings
from s3_jax.experiment.tasks import segmentation
from s3_jax.experiment.tasks.segmentation import (
  counting as segmentation_counting,
)
from s3_jax.experiment.tasks.segmentation.config import segmentation_config
from s3_jax.experiment.tasks.segmentation.plan import Segmentation
from s3_jax.fields import read
from s3_jax.segmentation import (
  SEGMENTATION_PROTOCOLS,
  NameClassifier,
  SegmentationProtocol,
  segment_image,
)
from s3_jax.storage import cache as result_cache
from tests.segmentation_replicas import MASKED, make_segmentation, png, write

METHODS = ("class_name", "names_max", "s3")
SMALL = {"short_side": 32, "window": 16, "stride": 8}


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
  return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def run(read_config, checkpoint, cache):
  """Runs a segmentation config with the tiny checkpoint."""

  def run(name, folder, **changes):
    fields = read_config(name).to_dict() | {
      "model": str(checkpoint),
      "methods": METHODS,
      "templates": ("a {}.",),
      "partial": True,
      "pictures": 0,
      "cache_dir": str(cache),
      **changes,
    }
    given = fields["protocol_changes"].items()
    fields["protocol_changes"] = {
      **SMALL,
      **{field: value for field, value in given if value is not None},
    }
    settings = Settings(fields)
    settings.read(Common)
    task = segmentation.read_settings(settings)
    settings.finish()
    folder.mkdir(parents=True, exist_ok=True)
    return task(folder)

  return run


def rows_of(results):
  return {(row["dataset"], row["name"]): row for row in results["methods"]}


@pytest.mark.parametrize("name", MASKED)
def test_every_benchmark_runs(run, tmp_path, name):
  replica = make_segmentation(name, tmp_path / "data")
  results = run(
    name, tmp_path / "out", data_dir=str(tmp_path / "data"), methods=METHODS[:2]
  )
  rows, spec = rows_of(results), SEGMENTATION_SETS[name]
  assert list(rows) == [(name, "class_name"), (name, "names_max")]
  pixels = sum(int((labels != 255).sum()) for labels in replica.labels)
  for row in rows.values():
    assert row["pixels"] == pixels and row["n"] == 3
    assert len(row["per_class_iou"]) == spec.classes
    known = [iou for iou in row["per_class_iou"] if iou is not None]
    assert row["miou"] == pytest.approx(np.mean(known))
    low, high = row["ci95"]
    assert 0 <= low <= high <= 1
  assert results["datasets"][0]["bad_examples"] == []
  saved = json.loads((tmp_path / "out" / "results.json").read_text())
  assert saved["methods"] == results["methods"]


def test_counts_are_those_of_segment_image(run, tmp_path, checkpoint):
  """The whole way once more, by the one function that others call."""
  from PIL import Image

  import s3_jax

  replica = make_segmentation("voc21", tmp_path / "data")
  results = run(
    "voc21", tmp_path / "out", data_dir=str(tmp_path / "data"), methods=METHODS
  )
  clip = s3_jax.load_clip(str(checkpoint))
  names = benchmark_names(SEGMENTATION_SETS["voc21"])
  prompts = [f"a {name}." for of_class in names for name in of_class]
  target = NameClassifier(
    np.asarray(
      s3_jax.embed_texts(clip.spec, clip.params, clip.tokenize(prompts))
    ),
    np.repeat(np.arange(21), [len(of_class) for of_class in names]),
  )
  protocol = SEGMENTATION_PROTOCOLS["sclip/voc21"]._replace(**SMALL)
  right, total = 0, 0
  inter, union = np.zeros(21), np.zeros(21)
  for file, labels in zip(replica.files, replica.labels, strict=True):
    image = np.array(Image.open(replica.root / file).convert("RGB"))
    found = segment_image(
      clip.spec, clip.params, image, target, protocol=protocol
    )
    counted = labels != 255
    right += int((found == labels)[counted].sum())
    total += int(counted.sum())
    for k in range(21):
      mine, theirs = (found == k)[counted], (labels == k)[counted]
      inter[k] += (mine & theirs).sum()
      union[k] += (mine | theirs).sum()
  row = rows_of(results)["voc21", "names_max"]
  assert row["pixel_accuracy"] == pytest.approx(right / total, abs=2e-3)
  iou = inter[union > 0] / union[union > 0]
  assert row["miou"] == pytest.approx(float(np.mean(iou)), abs=2e-3)


def test_all_files_and_pictures(run, tmp_path):
  make_segmentation("voc21", tmp_path / "data")
  results = run(
    "voc21", tmp_path / "out", data_dir=str(tmp_path / "data"), pictures=1
  )
  out = tmp_path / "out"
  page = (out / "report.html").read_text("utf-8")
  assert page.count("data:image/png;base64,") >= 3
  kinds = {path.name.split("-")[1] for path in out.glob("figures/voc21-*.png")}
  assert {"worst", "best"} <= kinds
  markdown = (out / "results.md").read_text("utf-8")
  assert "Mean IoU in %" in markdown and "McNemar" not in markdown
  assert "voc21" in (out / "results.tex").read_text("utf-8")
  with open(out / "per_class.csv", newline="") as file:
    classes = list(csv.DictReader(file))
  assert len(classes) == 21 * len(METHODS)
  with open(out / "results.csv", newline="") as file:
    table = list(csv.DictReader(file))
  assert [row["method"] for row in table] == list(METHODS)
  assert float(table[2]["miou"]) == rows_of(results)["voc21", "s3"]["miou"]
  pairs = {(row["a"], row["b"]) for row in results["comparisons"]}
  assert pairs == {
    ("class_name", "names_max"),
    ("s3", "names_max"),
    ("s3", "class_name"),
  }
  facts = results["texts"]["datasets"]["voc21"]
  background, *_ = class_entries(SEGMENTATION_SETS["voc21"])
  assert facts["per_class"][0] == len(background.concepts) > 20
  assert all(
    1 <= core <= count
    for core, count in zip(
      facts["core_per_class"], facts["per_class"], strict=True
    )
  )
  assert len(results["confusions"]) == 2
  assert (out / "confusion.csv").exists()


def test_nothing_is_counted_twice(run, tmp_path, monkeypatch):
  make_segmentation("cityscapes", tmp_path / "data")
  fields = {
    "data_dir": str(tmp_path / "data"),
    "cache_dir": str(tmp_path / "c"),
  }
  first = run("cityscapes", tmp_path / "a", **fields)
  assert first["counters"]["images_decoded"] == 3
  assert first["counters"]["cache"] == "cold"
  # Another method alone is counted; those that are there are read.
  more = run(
    "cityscapes", tmp_path / "b", methods=(*METHODS, "center"), **fields
  )
  assert more["counters"]["images_decoded"] == 3
  assert more["methods"][:3] == first["methods"]
  asked = []
  make = segmentation_counting.make_targets

  def watched(*args, **options):
    asked.append(args)
    return make(*args, **options)

  monkeypatch.setattr(segmentation_counting, "make_targets", watched)
  again = run("cityscapes", tmp_path / "a", **fields)
  assert asked and again["counters"]["cache"] == "warm"
  assert again["methods"] == first["methods"]
  assert again["comparisons"] == first["comparisons"]
  # A setting of the space, the protocol or a mask changes what is counted.
  for changes, methods in (
    ({"scale": 0.1}, ("s3",)),
    (
      {"protocol_changes": {"logit_factor": 1.0, "prob_threshold": 0.2}},
      METHODS,
    ),
  ):
    other = run(
      "cityscapes",
      tmp_path / "d",
      methods=methods,
      baseline=methods[0],
      **fields,
      **changes,
    )
    assert other["counters"]["images_decoded"] == 3
  replica = make_segmentation("cityscapes", tmp_path / "data")
  write(replica.root / replica.masks[0], png(np.ones((24, 32))))
  assert (
    run("cityscapes", tmp_path / "e", **fields)["counters"]["cache"] == "cold"
  )


def test_a_stopped_run_goes_on(run, tmp_path, monkeypatch):
  from s3_jax.storage import pixel_shards

  monkeypatch.setattr(pixel_shards, "SHARD_IMAGES", 1)
  make_segmentation("context60", tmp_path / "data")
  fields = {
    "data_dir": str(tmp_path / "data"),
    "cache_dir": str(tmp_path / "c"),
  }
  count, calls = segmentation_counting.confusion_matrix, []

  def stopping(*args, **options):
    calls.append(1)
    if len(calls) > len(METHODS):
      raise KeyboardInterrupt
    return count(*args, **options)

  with monkeypatch.context() as patch:
    patch.setattr(segmentation_counting, "confusion_matrix", stopping)
    with pytest.raises(KeyboardInterrupt):
      run("context60", tmp_path / "a", **fields)
  second = run("context60", tmp_path / "a", **fields)
  assert second["counters"]["images_decoded"] == 2
  whole = run(
    "context60", tmp_path / "b", **{**fields, "cache_dir": str(tmp_path / "x")}
  )
  assert second["methods"] == whole["methods"]
  # A shard that is cut off is counted again, and said.
  shard = max(pathlib.Path(tmp_path / "c" / "segmentation").iterdir())
  shard.write_bytes(shard.read_bytes()[:-9])
  with pytest.warns(UserWarning, match="is not used"):
    third = run("context60", tmp_path / "a", **fields)
  assert third["counters"]["images_decoded"] == 1
  assert third["methods"] == whole["methods"]
  assert result_cache.is_stored(tmp_path / "c" / "segmentation", shard.stem)


def test_bad_examples_are_listed(run, tmp_path):
  replica = make_segmentation("coco_stuff", tmp_path / "data")
  (replica.root / replica.masks[0]).unlink()
  (replica.root / replica.files[1]).write_bytes(b"no picture")
  fields = {"data_dir": str(tmp_path / "data")}
  results = run("coco_stuff", tmp_path / "a", **fields)
  bad = {
    row["file"]: row["reason"] for row in results["datasets"][0]["bad_examples"]
  }
  assert bad == {
    replica.files[0]: f"it has no mask {replica.masks[0]}",
    replica.files[1]: "not an image of a known format",
  }
  assert all(row["n"] == 1 for row in results["methods"])
  assert results["datasets"][0]["examples"] == 3
  table = (tmp_path / "a" / "results.md").read_text("utf-8")
  assert "2 unreadable images left out, 1 counted" in table
  with pytest.raises(ValueError, match="allows no bad example, got 2: "):
    run("coco_stuff", tmp_path / "b", strict=True, **fields)
  assert (tmp_path / "b" / "results.json").exists()
  write(replica.root / replica.files[2], b"")
  with pytest.raises(ValueError, match="got 3 bad ones; the first is images/"):
    run("coco_stuff", tmp_path / "c", **fields)


@pytest.mark.parametrize(
  ("mask", "rule"),
  [
    (png(np.full((24, 32), 77)), "must hold 0..18, 255 alone, got 77"),
    (png(np.zeros((32, 24))), "must have its image's size, 24 x 32"),
  ],
)
def test_wrong_masks_end_the_run(run, tmp_path, mask, rule):
  replica = make_segmentation("cityscapes", tmp_path / "data")
  write(replica.root / replica.masks[1], mask)
  with pytest.raises(ValueError, match=rule) as caught:
    run("cityscapes", tmp_path / "out", data_dir=str(tmp_path / "data"))
  assert str(caught.value).startswith(f"Cityscapes: {replica.masks[1]}: ")
  assert "\n" not in str(caught.value)


def test_images_narrower_than_a_patch_are_bad(run, tmp_path):
  replica = make_segmentation("voc20", tmp_path / "data")
  from tests.segmentation_replicas import picture

  write(replica.root / replica.files[0], picture(0, (4, 400), ".jpg"))
  write(replica.root / replica.masks[0], png(np.ones((4, 400))))
  results = run(
    "voc20",
    tmp_path / "out",
    data_dir=str(tmp_path / "data"),
    protocol_changes={"long_side": 64},
  )
  (bad,) = results["datasets"][0]["bad_examples"]
  assert bad["reason"] == "4 x 400 pixels, too narrow for a patch"


def test_the_suite_leaves_out_what_is_absent(run, tmp_path):
  for name in ("voc21", "voc20", "ade20k"):
    make_segmentation(name, tmp_path / "data")
  results = run(
    "segmentation_suite", tmp_path / "out", data_dir=str(tmp_path / "data")
  )
  names = [row["name"] for row in results["datasets"]]
  assert names == ["voc21", "voc20", "ade20k"]
  assert len(results["skipped"]) == 5
  markdown = (tmp_path / "out" / "results.md").read_text("utf-8")
  assert "## Segmentation" in markdown and "VOC21" in markdown
  with pytest.raises(ValueError, match="got none of 8: data set 'voc21'"):
    (tmp_path / "empty").mkdir()
    run("segmentation_suite", tmp_path / "x", data_dir=str(tmp_path / "empty"))


def test_the_embedded_world_needs_no_data(run, tmp_path, monkeypatch):
  from s3_jax.data import pictograph_builder

  spec = SEGMENTATION_SETS["pictographs_segmentation"]
  monkeypatch.setitem(pictograph_builder.SCENES, "validation", 1)
  monkeypatch.setitem(pictograph_builder.SCENES, "test", 2)
  monkeypatch.setitem(SEGMENTATION_SETS, spec.name, spec._replace(examples=2))
  results = run(
    spec.name,
    tmp_path / "out",
    cache_dir=str(tmp_path / "c"),
    data_dir="",
    baseline="names_max",
    thresholds={"s3": 0.5},
    protocol_changes={},
  )
  assert results["datasets"][0]["family"] == "embedded"
  assert all(row["n"] == 2 for row in results["methods"])


@pytest.mark.parametrize(
  ("changes", "rule"),
  [
    ({"protocol": "vanilla"}, "must be one of sclip, clearclip, maskclip"),
    ({"protocol_changes": {"colour": 1}}, "colour`: unknown field"),
    ({"protocol_changes": {"window": 1.5}}, "must be of type int, got 1.5"),
    ({"protocol_changes": {"window": True}}, "must be of type int, got True"),
    ({"protocol_changes": {"stride": 0}}, "must be >= 1, got 0"),
    ({"protocol_changes": {"pixel_mean": (1, 2)}}, 'numbers or "checkpoint"'),
    (
      {"thresholds": {"center": 0.1}},
      "must be of one of the methods class_name,",
    ),
    ({"thresholds": {"s3": 1.5}}, r"thresholds.s3` must be in \[0, 1\], got"),
    ({"methods": ("s3",)}, "must hold the baseline 'names_max'"),
    ({"methods": ("names",)}, "must hold one of names_max, class_name"),
    ({"templates": ("a",)}, "must hold exactly one"),
    ({"data_dir": ""}, "must be the folder that holds VOC21, and is not set"),
    ({"partial": False}, "must hold 1449 images, got 3 .*config.partial=True"),
  ],
)
def test_settings_that_are_refused(run, tmp_path, changes, rule):
  make_segmentation("voc21", tmp_path / "data")
  fields = {"data_dir": str(tmp_path / "data"), **changes}
  with pytest.raises(ValueError, match=rule):
    run("voc21", tmp_path / "out", **fields)


def test_whole_windows(run, tmp_path, checkpoint):
  """A window that is the whole image scores as the image does."""
  import s3_jax

  make_segmentation("cityscapes", tmp_path / "data", size=(16, 16))
  fields = {
    "data_dir": str(tmp_path / "data"),
    "embeddings": "windows",
    "protocol_changes": {
      "short_side": 16,
      "pixel_mean": "checkpoint",
      "pixel_std": "checkpoint",
    },
    "methods": ("names_max",),
  }
  results = run("cityscapes", tmp_path / "out", **fields)
  clip = s3_jax.load_clip(str(checkpoint))
  spec = SEGMENTATION_SETS["cityscapes"]
  found = open_masks(spec, tmp_path / "data")
  right = total = 0
  texts = [f"a {of_class[0]}." for of_class in benchmark_names(spec)]
  vectors = s3_jax.embed_texts(clip.spec, clip.params, clip.tokenize(texts))
  for image in masked_images(found, range(3)):
    assert not image.reason
    vector = s3_jax.embed_images(clip.spec, clip.params, image.pixels[None])
    predicted = int(np.argmax(np.asarray(vector @ vectors.T)))
    counted = image.labels != 255
    right += int((image.labels[counted] == predicted).sum())
    total += int(counted.sum())
  assert rows_of(results)["cityscapes", "names_max"]["pixel_accuracy"] == (
    pytest.approx(right / total)
  )
  with pytest.raises(ValueError, match="must be 16, the size of tiny's images"):
    run(
      "cityscapes",
      tmp_path / "x",
      **{**fields, "protocol_changes": {"window": 8}},
    )


def test_windows_need_an_image_as_large(run, tmp_path):
  make_segmentation("cityscapes", tmp_path / "data", size=(8, 40))
  fields = {
    "data_dir": str(tmp_path / "data"),
    "embeddings": "windows",
    "protocol_changes": {"short_side": 16, "long_side": 32},
  }
  with pytest.raises(
    ValueError, match="8 x 40 pixels, too narrow for a window"
  ):
    run("cityscapes", tmp_path / "out", **fields)


def test_a_method_may_have_its_own_threshold(run, tmp_path):
  make_segmentation("voc21", tmp_path / "data")
  fields = {"data_dir": str(tmp_path / "data"), "methods": METHODS[:2]}
  results = run(
    "voc21", tmp_path / "out", thresholds={"class_name": 1.0}, **fields
  )
  rows = rows_of(results)
  seen = rows["voc21", "class_name"]["per_class_iou"]
  assert seen[0] > 0 and not any(seen[1:])  # all is background
  plain = rows_of(run("voc21", tmp_path / "b", **fields))
  assert rows["voc21", "names_max"] == plain["voc21", "names_max"]
  assert rows["voc21", "class_name"] != plain["voc21", "class_name"]
  thresholds = results["datasets"][0]["protocol"]["prob_threshold"]
  assert thresholds == {"class_name": 1.0, "names_max": 0.1}
  said = (tmp_path / "out" / "log.txt").read_text("utf-8")
  assert "changed, patches: " in said and "0.1 to 1, by method." in said
  assert "threshold 0.1." in (tmp_path / "b" / "log.txt").read_text("utf-8")


def from_command_line(config, *changes):
  """Reads a config with fields that flags set, as main.py does."""
  values = flags.FlagValues()
  arguments = ["main.py", *(f"--config.{change}" for change in changes)]
  config = config_flags.DEFINE_config_dict(
    "config", config, flag_values=values, sys_argv=arguments
  )
  values(arguments)
  fields = config.value.to_dict()
  del fields["task"], fields["compilation_cache_dir"]
  return read(Segmentation, fields)


@pytest.mark.parametrize("name", ["voc21", "segmentation_suite"])
def test_a_command_line_sets_every_field(read_config, name):
  run = from_command_line(
    read_config(name),
    "protocol_changes.attention=vanilla",
    "protocol_changes.position_offset=0",
    "protocol_changes.short_side=100",
    "protocol_changes.long_side=1000",
    "protocol_changes.window=64",
    "protocol_changes.stride=32",
    "protocol_changes.padding=center",
    "protocol_changes.pixel_mean=(1, 2, 3)",
    "protocol_changes.pixel_std=(4, 5, 6)",
    "protocol_changes.logit_factor=7",
    "protocol_changes.prob_threshold=0.2",
    "protocol_changes.area_threshold=0.3",
    "thresholds.s3=0.4",
  )
  changed = SegmentationProtocol(
    attention="vanilla",
    position_offset=0.0,
    short_side=100,
    long_side=1000,
    window=64,
    stride=32,
    padding="center",
    pixel_mean=(1.0, 2.0, 3.0),
    pixel_std=(4.0, 5.0, 6.0),
    logit_factor=7.0,
    prob_threshold=0.2,
    area_threshold=0.3,
  )
  assert set(run.protocols.values()) == {changed}
  assert run.protocol_of("voc21", "s3") == changed._replace(prob_threshold=0.4)
  assert run.protocol_of("voc21", "names_max") == changed
  assert run.changed


def test_fields_that_are_not_set_change_nothing(read_config):
  run = from_command_line(read_config("voc21"))
  assert run.protocols == {"voc21": SEGMENTATION_PROTOCOLS["sclip/voc21"]}
  assert run.thresholds == {} and not run.changed
  # "checkpoint" is a change: the statistics are the checkpoint's own.
  run = from_command_line(
    read_config("voc21"),
    "protocol_changes.pixel_mean=checkpoint",
    "protocol_changes.pixel_std=checkpoint",
  )
  own = run.protocols["voc21"]
  assert own.pixel_mean is None and own.pixel_std is None and run.changed


def test_every_field_and_method_can_be_set():
  fields = segmentation_config("voc21").to_dict()
  assert set(fields["protocol_changes"]) == set(SegmentationProtocol._fields)
  assert set(fields["thresholds"]) == set(PATCH_METHODS)
