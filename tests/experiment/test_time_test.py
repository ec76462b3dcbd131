"""Runs of the methods that look at many views of an image."""

import csv
import io
import json
from dataclasses import replace

import numpy as np
import PIL.Image
import pytest

from s3_jax import experiment
from s3_jax.clip import embed_images, load_clip
from s3_jax.data.datasets import DATASETS
from s3_jax.data.views import make_views
from s3_jax.experiment.embedder import Embedder, ViewOptions
from s3_jax.experiment.tasks.benchmark.sets import find_test_set

VIEWS = 5


@pytest.fixture(scope="module")
def clip(checkpoint):
  return load_clip(checkpoint)


@pytest.fixture
def small(monkeypatch, make_small):
  return make_small(monkeypatch)


def count():
  return {"images_decoded": 0, "tower_batches": 0}


def test_views_are_those_of_each_image(clip, small, records, tmp_path):
  spec = DATASETS["outline"]
  embedder = Embedder(clip, "float32", 16, 0, tmp_path)
  opened = find_test_set(embedder.cache_dir, spec)
  options = ViewOptions(VIEWS, False, 3)
  counters = count()
  shards = list(embedder.views(spec, opened, options, counters))
  assert [shard.indices.size for shard in shards] == [64, 64, 52]
  assert counters["images_decoded"] == 180
  for index in (0, 70, 179):
    record = records(spec)[index]
    with PIL.Image.open(io.BytesIO(record["image"])) as image:
      views = make_views(
        image, clip.preprocess, count=VIEWS, seed=3, index=index
      )
    expected = embed_images(clip.spec, clip.params, views)
    shard = shards[index // 64]
    np.testing.assert_allclose(
      shard.embeddings[index % 64], expected, atol=1e-5
    )
    assert shard.labels[index % 64] == record["label"]


@pytest.mark.parametrize(("mesh", "batch_size"), [(1, 1), (3, 64), (8, 17)])
def test_devices_and_batches_change_no_view(
  clip, small, tmp_path, mesh, batch_size
):
  spec = DATASETS["plain"]._replace(examples=9)
  options = ViewOptions(VIEWS, True, 0)

  def read(mesh, batch_size, name):
    embedder = Embedder(clip, "float32", batch_size, mesh, tmp_path / name)
    opened = find_test_set(embedder.cache_dir, spec)
    (shard,) = embedder.views(spec, opened, options, count())
    return shard

  one = read(0, 40, "one")
  other = read(mesh, batch_size, "other")
  np.testing.assert_allclose(one.embeddings, other.embeddings, atol=1e-5)


def test_what_changes_a_view_changes_its_key(clip, small, tmp_path):
  embedder = Embedder(clip, "float32", 16, 0, tmp_path)
  spec = DATASETS["plain"]
  opened = find_test_set(embedder.cache_dir, spec)
  options = ViewOptions(VIEWS, False, 0)
  keys = [
    embedder.layout(spec, opened, changed).key
    for changed in (
      options,
      options._replace(seed=1),
      options._replace(augmix=True),
      options._replace(views=VIEWS + 1),
    )
  ]
  keys.append(
    replace(embedder, dtype="bfloat16").layout(spec, opened, options).key
  )
  assert len(set(keys)) == len(keys)


@pytest.fixture(scope="module")
def run(checkpoint, read_config, make_small, tmp_path_factory):
  cache = tmp_path_factory.mktemp("cache")

  def run(**changes):
    folder = tmp_path_factory.mktemp("run")
    config = read_config(
      "pictographs_test_time",
      **{
        "model": str(checkpoint),
        "datasets": ("plain",),
        "views": VIEWS,
        "dtype": "float32",
        "batch_size": 40,
        "cache_dir": str(cache),
        **changes,
      },
    )
    with pytest.MonkeyPatch.context() as patch:
      make_small(patch)
      results = experiment.run(config, str(folder))
    with open(folder / "predictions.csv", newline="") as file:
      return results, list(csv.DictReader(file))

  return run


@pytest.fixture(scope="module")
def first(run):
  return run(view_seeds=(0, 4))


def test_every_method_and_seed_has_a_row(first):
  results, _ = first
  names = [row["name"] for row in results["methods"]]
  views = [
    "view_average",
    "mta",
    "zero",
    "zero_30",
    "sts",
    "tps",
    "tps_synonyms",
    "s3_view_average",
    "ts3",
    "zero_s3",
    "sts_s3",
    "s3_anchored",
  ]
  assert names == [
    "class_name",
    "templates_descriptors",
    "s3",
    *views,
    *(f"{name}, seed 4" for name in views),
  ]
  assert all(row["n"] == 180 for row in results["methods"])
  pairs = {(row["a"], row["b"]) for row in results["comparisons"]}
  assert {("ts3", "s3"), ("ts3", "tps"), ("ts3", "mta")} <= pairs
  assert {("ts3", "zero_s3"), ("sts_s3", "sts"), ("zero_s3", "zero")} <= pairs
  ece = {row["name"]: row["ece"] for row in results["methods"]}
  for name in views:
    assert ece[name] != ece[f"{name}, seed 4"], "other views, other scores"


def test_a_second_run_draws_no_view(first, run, monkeypatch):
  def refused(*_, **__):
    raise AssertionError("views were made")

  monkeypatch.setattr("s3_jax.experiment.image_embedding.view_batches", refused)
  results, predictions = run(view_seeds=(0, 4))
  assert results["counters"]["cache"] == "warm"
  assert predictions == first[1]
  texts = json.dumps(results["texts"])
  assert "embedded_now" not in texts


def test_learning_rate_0_is_s3(run):
  _, predictions = run(learning_rate=0.0)
  assert [row["ts3"] for row in predictions] == [
    row["s3"] for row in predictions
  ]


@pytest.mark.parametrize(
  ("changes", "rule"),
  [
    ({"views": 0}, "`config.views` must be >= 1"),
    ({"augmix": "maybe"}, "`config.augmix` must be one of auto"),
    ({"view_seeds": ()}, "`config.view_seeds` must hold"),
    ({"view_seeds": (1, 1)}, "`config.view_seeds` must hold"),
    ({"confident_fraction": 0.0}, "`config.confident_fraction` must be in"),
    ({"learning_rate": -1.0}, "`config.learning_rate` must be >= 0"),
    ({"shift": "none"}, "`config.shift` must be one of per_class"),
  ],
)
def test_wrong_settings_are_named(run, changes, rule):
  with pytest.raises(ValueError, match=rule):
    run(**changes)


def test_a_sweep_over_ways_to_adapt(
  checkpoint, read_config, make_small, tmp_path
):
  config = read_config(
    "view_sweep",
    model=str(checkpoint),
    families=("ts3", "s3_anchored"),
    metrics=("local_center", "center"),
    learning_rates=(0.0, 0.01),
    confident_fractions=(0.4,),
    shifts=("per_class",),
    anchored_fractions=(0.5,),
    anchors=(1.0, 1000.0),
    views=VIEWS,
    dtype="float32",
    cache_dir=str(tmp_path / "cache"),
  )
  with pytest.MonkeyPatch.context() as patch:
    assert make_small(patch) == []
    rows = experiment.run(config, str(tmp_path))
  found = {
    (row.method, row.metric, row.learning_rate, row.anchor): row.top1
    for row in rows
  }
  assert set(found) == {
    ("ts3", "local_center", 0.0, None),
    ("ts3", "local_center", 0.01, None),
    ("ts3", "center", 0.0, None),
    ("ts3", "center", 0.01, None),
    ("s3_anchored", "local_center", None, 1.0),
    ("s3_anchored", "local_center", None, 1000.0),
  }
  # Both leave the image where it is.
  still = found["ts3", "local_center", 0.0, None]
  assert found["s3_anchored", "local_center", None, 1000.0] == still
  assert [row.top1 for row in rows] == sorted(found.values(), reverse=True)
  written = (tmp_path / "view_sweep.csv").read_text().splitlines()
  assert len(written) == 7
  assert float(written[1].split(",")[-1]) == rows[0].top1
  config.update(families=("sts", "zero"), ranks=(0, 3))
  config.predictions = ("original", "all")
  with pytest.MonkeyPatch.context() as patch:
    assert make_small(patch) == []
    rows = experiment.run(config, str(tmp_path))
  steered = {
    (row.method, row.learning_rate, row.rank, row.predict): row.top1
    for row in rows
    if row.method.startswith("sts")
  }
  assert len(steered) == 2 * 2 * 2 * 2
  # Without a step it is the original view.
  assert steered["sts_s3", 0.0, 3, "original"] == still
  voted = [row for row in rows if row.method.startswith("zero")]
  assert {(row.method, row.confident_fraction) for row in voted} == {
    ("zero", 0.4),
    ("zero_s3", 0.4),
  }
  config.learning_rates = (-0.1,)
  with pytest.raises(ValueError, match=r"`config.learning_rates` must hold"):
    experiment.run(config, str(tmp_path))
