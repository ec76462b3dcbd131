"""Label maps of one's own photographs."""

import json
import re

import numpy as np
import pytest
from PIL import Image

from s3_jax.experiment import Common
from s3_jax.experiment.settings import Settings
from s3_jax.experiment.tasks import segment
from tests.segmentation_replicas import picture

SMALL = {"short_side": 32, "window": 16, "stride": 8, "prob_threshold": 0.0}


@pytest.fixture
def run(read_config, checkpoint, tmp_path):
  """Runs configs/segment.py with the tiny checkpoint into `tmp_path/out`."""

  def run(**changes):
    fields = read_config("segment").to_dict() | {
      "images": str(tmp_path / "photos"),
      "classes": "sun,cloud,cat",
      "model": str(checkpoint),
      "templates": ("a {}.",),
      "cache_dir": str(tmp_path / "cache"),
      "protocol_changes": SMALL,
      **changes,
    }
    settings = Settings(fields)
    settings.read(Common)
    task = segment.read_settings(settings)
    settings.finish()
    (tmp_path / "out").mkdir(exist_ok=True)
    return json.loads(task(tmp_path / "out").read_text("utf-8"))

  return run


@pytest.fixture
def photos(tmp_path):
  folder = tmp_path / "photos"
  folder.mkdir()
  (folder / "a.jpg").write_bytes(picture(0, (24, 40), ".jpg"))
  palette = Image.fromarray(np.zeros((33, 20), np.uint8)).convert("P")
  palette.save(folder / "b.png")
  (folder / "c.jpg").write_bytes(b"")
  return folder


def test_overlays_labels_and_shares(run, photos, tmp_path):
  document = run()
  assert [row["file"] for row in document["files"]] == [
    str(photos / "a.jpg"),
    str(photos / "b.png"),
  ]
  assert [(row["rows"], row["cols"]) for row in document["files"]] == [
    (24, 40),
    (33, 20),
  ]
  for row in document["files"]:
    with Image.open(tmp_path / "out" / row["labels"]) as image:
      labels = np.asarray(image)
    assert labels.shape == (row["rows"], row["cols"]) and labels.max() < 3
    shares = {each["label"]: each["share"] for each in row["shares"]}
    assert sum(shares.values()) == pytest.approx(1)
    for label, share in shares.items():
      assert np.mean(labels == label) == pytest.approx(share)
    with Image.open(tmp_path / "out" / row["overlay"]) as image:
      assert image.width > 300
  assert document["bad_files"] == [
    {"file": str(photos / "c.jpg"), "reason": "empty file"}
  ]
  assert [row["name"] for row in document["classes"]] == ["sun", "cloud", "cat"]
  page = (tmp_path / "out" / "segments.html").read_text("utf-8")
  assert page.count('src="data:image/jpeg;base64,') == 2 * 2
  assert re.findall(r"<bdi>(.*)</bdi></h2>", page) == [
    *("a.jpg", "b.png", "c.jpg")
  ]
  assert str(photos) in re.findall('title="(.*)/a.jpg"', page)
  shares = [s["share"] for row in document["files"] for s in row["shares"]]
  said = re.findall(r"<span>([\d.]+) %</span>", page)
  assert said == [f"{100 * share:.1f}" for share in shares]
  assert "could not be used" in page and "empty file" in page


def test_classes_with_synonyms_are_spaces(run, photos):
  document = run(classes="pictographs")
  texts = [row["texts"] + row["left_out"] for row in document["classes"]]
  assert len(texts) == 90 and max(map(len, texts)) > 1
  one = run(method="synonyms_max")
  assert not any(row["left_out"] for row in one["classes"])


def test_a_threshold_needs_a_background(run, photos):
  changes = {"protocol_changes": {**SMALL, "prob_threshold": 1.0}}
  with pytest.raises(ValueError, match="must be 0 unless `config.background"):
    run(**changes)
  document = run(background=True, **changes)
  for row in document["files"]:
    assert [each["name"] for each in row["shares"]] == ["sun"]
  assert document["classes"][0]["colour"] == "#333333"


def test_bad_files(run, photos):
  with pytest.raises(ValueError, match="got 1 bad of 3, the first is"):
    run(strict=True)
  for name in ("a.jpg", "b.png"):
    (photos / name).write_bytes(picture(0, (2, 64), ".png"))
  changes = {"protocol_changes": {**SMALL, "long_side": 64}}
  with pytest.raises(ValueError, match="2 x 64 pixels, too narrow"):
    run(**changes)
  for path in photos.iterdir():
    path.unlink()
  with pytest.raises(ValueError, match="must hold an image"):
    run()


def test_too_many_classes(run, photos):
  with pytest.raises(ValueError, match="at most 255 classes"):
    run(classes="imagenet")
