"""The whole demo, on a tiny checkpoint and two images a class."""

import csv
import functools
import io
import json
import pathlib
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from s3_jax import experiment
from s3_jax.clip import embed_texts, load_clip
from s3_jax.data import drawn_sets
from s3_jax.data.datasets import DATASETS
from s3_jax.experiment.methods.images import METHODS as METHODS_OF_BENCHMARKS
from s3_jax.experiment.methods.images import Method
from s3_jax.experiment.methods.prompts import concepts
from s3_jax.lexicon.synonyms import load_lexicon
from s3_jax.results.schema import validate_results

SETS = ("plain", "outline")
METHODS = (
  "class_name",
  "best_name",
  "templates",
  "random_synonym",
  "synonyms_mean",
  "synonyms_nearest",
  "local_center",
  "polluted_all",
  "polluted_core",
)
IMAGES = 180


class Run(NamedTuple):
  """One run of the demo's config."""

  folder: pathlib.Path
  results: dict[str, Any]  # as returned
  opened: list[str]  # the data sets that were opened

  def read(self, name):
    return (self.folder / name).read_text(encoding="utf-8")

  @property
  def json(self):
    return json.loads(self.read("results.json"))


@pytest.fixture(scope="module")
def run_demo(checkpoint, read_config, make_small):
  def run(folder, cache, **changes):
    given = {
      "model": str(checkpoint),
      "test_sets": SETS,
      "batch_size": 64,
      "cache_dir": str(cache),
      "figure_classes": (),
      "diagnosis": True,
    }
    config = read_config("pictographs", **{**given, **changes})
    with pytest.MonkeyPatch.context() as patch:
      opened = make_small(patch)
      results = experiment.run(config, str(folder))
    return Run(folder, results, opened)

  return run


@pytest.fixture(scope="module")
def new_folder(tmp_path_factory):
  return lambda: tmp_path_factory.mktemp("run") / "results"


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
  return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def cold(run_demo, new_folder, cache):
  return run_demo(new_folder(), cache, mesh=8, figure_classes=(17, 3))


@pytest.fixture(scope="module")
def warm(cold, run_demo, new_folder, cache):
  """The same again, with no tower and no data set to be had."""

  def refused(*_, **__):
    raise AssertionError("a tower ran or an image was decoded")

  with pytest.MonkeyPatch.context() as patch:
    for module, name in (
      ("tower_batches", "embed_images"),
      ("image_embedding", "padded_batches"),
      ("embedder", "embed_texts"),
    ):
      patch.setattr(f"s3_jax.experiment.{module}.{name}", refused)
    return run_demo(new_folder(), cache, mesh=8, figure_classes=(17, 3))


@pytest.fixture(scope="module")
def one_device(run_demo, new_folder, tmp_path_factory):
  return run_demo(new_folder(), tmp_path_factory.mktemp("other"), mesh=1)


def test_results_are_complete_and_sound(cold):
  results = cold.json
  validate_results(results)
  assert [entry["name"] for entry in results["datasets"]] == list(SETS)
  rows = [(row["dataset"], row["name"]) for row in results["methods"]]
  assert rows == [(name, method) for name in SETS for method in METHODS]
  for row in results["methods"]:
    assert row["n"] == IMAGES
    assert (row["top1"] * IMAGES) % 1 == pytest.approx(0, abs=1e-6)
    # Every class has two images, so both means are one.
    assert row["top1"] == pytest.approx(row["mean_per_class"])
    assert row["top1"] <= row["top5"]
    assert row["ci95"][0] <= row["top1"] <= row["ci95"][1]
  assert json.dumps(cold.results, sort_keys=True) == json.dumps(
    results, sort_keys=True
  )


def test_every_method_is_compared_with_the_baseline(cold):
  pairs = [
    (row["dataset"], row["a"], row["b"]) for row in cold.json["comparisons"]
  ]
  expected = [(method, "class_name") for method in METHODS][1:]
  expected.append(("local_center", "synonyms_mean"))
  expected.append(("polluted_core", "polluted_all"))
  assert pairs == [(name, a, b) for name in SETS for a, b in expected]
  top1 = {
    (row["dataset"], row["name"]): row["top1"] for row in cold.json["methods"]
  }
  for row in cold.json["comparisons"]:
    difference = top1[row["dataset"], row["a"]] - top1[row["dataset"], row["b"]]
    assert row["delta"] == pytest.approx(difference, abs=1e-9)


def test_results_say_what_they_are_of(cold, checkpoint):
  results, lexicon = cold.json, load_lexicon("pictographs")
  assert results["config"]["model"] == str(checkpoint)
  assert results["model"]["name"] == "tiny"
  assert results["model"]["spec"]["image_size"] == 16
  assert results["texts"].keys() == {"sha256", "datasets"}
  assert list(results["texts"]["datasets"]) == sorted(SETS)
  texts = results["texts"]["datasets"]["plain"]
  assert texts["methods"].keys() == set(METHODS)
  names = {name for entry in lexicon.classes for name in entry.names}
  counts = {name: texts["methods"][name]["distinct"] for name in METHODS}
  assert counts["class_name"] == counts["best_name"] == len(lexicon.classes)
  assert counts["synonyms_mean"] == counts["local_center"] == len(names)
  assert counts["polluted_core"] >= len(names)
  for row in results["datasets"]:
    assert row["examples"] == IMAGES and row["family"] == "embedded"
  assert texts["lexicon_sha256"] == lexicon.sha256
  assert texts["per_class"] == [
    len(entry.concepts) for entry in lexicon.classes
  ]
  for core, whole in zip(
    texts["core_per_class"], texts["per_class"], strict=True
  ):
    assert whole / 2 <= core <= whole
  pruning = results["pruning"]
  assert pruning["right_total"] == sum(texts["per_class"])
  removed = pruning["removed"]
  wrong = {(e.name, text) for e in lexicon.classes for text in e.polluted}
  assert all(
    row["wrong"] == ((row["name"], row["text"]) in wrong) for row in removed
  )
  counts = [
    sum(row["wrong"] is is_wrong for row in removed)
    for is_wrong in (True, False)
  ]
  assert counts == [pruning["wrong_removed"], pruning["right_removed"]]
  assert pruning["wrong_total"] == sum(
    len(entry.polluted) for entry in lexicon.classes
  )
  assert results["environment"]["platform"] == "cpu"
  assert len(results["environment"]["devices"]) == 8
  assert set(results["timings"]) >= {
    "load",
    "compile",
    "embed_text",
    "build_space",
    "embed_images",
    "score",
    "images_per_second",
  }


def test_every_file_is_there(cold):
  files = {
    path.relative_to(cold.folder).as_posix()
    for path in cold.folder.rglob("*")
    if path.is_file()
  }
  several = {name for name in files if "-" in name}
  kinds = [name.split("/")[1].split("-")[0] for name in sorted(several)]
  assert kinds == ["confusion"] * 4 + ["projection"] * 2 + ["reliability"] * 2
  assert files - several == {
    "results.json",
    "results.md",
    "results.tex",
    "results.csv",
    "per_class.csv",
    "confusion.csv",
    "predictions.csv",
    "report.html",
    "log.txt",
    "figures/accuracy.png",
    "figures/barcodes.png",
  }
  for name in files:
    if name.endswith(".png"):
      with Image.open(cold.folder / name) as image:
        assert min(image.size) > 100
        assert len(set(image.convert("L").resize((64, 64)).tobytes())) > 2


def test_tables_agree_with_the_results(cold):
  rows = list(csv.DictReader(io.StringIO(cold.read("results.csv"))))
  for row, entry in zip(rows, cold.json["methods"], strict=True):
    assert (row["dataset"], row["method"]) == (entry["dataset"], entry["name"])
    assert float(row["top1"]) == pytest.approx(entry["top1"])
  per_class = list(csv.DictReader(io.StringIO(cold.read("per_class.csv"))))
  assert len(per_class) == len(SETS) * len(METHODS) * 90
  for entry in cold.json["methods"]:
    accuracies = [
      float(row["accuracy"])
      for row in per_class
      if (row["dataset"], row["method"]) == (entry["dataset"], entry["name"])
    ]
    assert set(accuracies) <= {0.0, 0.5, 1.0}
    assert np.mean(accuracies) == pytest.approx(entry["top1"])
  table = cold.read("log.txt")
  for text in (*METHODS, *SETS, str(cold.folder)):
    assert text in table
  for method in METHODS:
    assert method in cold.read("results.md")


def test_the_cold_run_decodes_every_image_once(cold):
  counters = cold.json["counters"]
  assert cold.opened == list(SETS)
  assert counters["images_decoded"] == len(SETS) * IMAGES
  assert counters["tower_batches"] == len(SETS) * 3  # of 64 rows
  assert counters["text_tower_batches"] > 0
  assert counters["cache"] == "cold"


def test_the_second_run_decodes_nothing(warm):
  assert warm.opened == []
  assert warm.json["counters"] == {
    "images_decoded": 0,
    "tower_batches": 0,
    "text_tower_batches": 0,
    "cache": "warm",
  }


def timeless(results):
  return {
    key: value
    for key, value in results.items()
    if key not in ("timings", "counters")
  }


def test_the_second_run_has_the_same_results(cold, warm):
  assert timeless(warm.json) == timeless(cold.json)
  for name in ("results.csv", "per_class.csv", "figures/accuracy.png"):
    assert (warm.folder / name).read_bytes() == (
      cold.folder / name
    ).read_bytes()


def test_devices_change_no_count(cold, one_device):
  assert one_device.json["counters"]["images_decoded"] == len(SETS) * IMAGES

  def counts(run):
    return [
      (
        row["dataset"],
        row["name"],
        round(row["top1"] * IMAGES),
        round(row["top5"] * IMAGES),
      )
      for row in run.json["methods"]
    ]

  assert counts(cold) == counts(one_device)
  assert cold.read("per_class.csv") == one_device.read("per_class.csv")
  assert cold.json["pruning"] == one_device.json["pruning"]


def point_to_median(embeddings, space):
  """The median of the names' similarities: a method of a few lines."""
  similarities = jnp.einsum("bd,cvd->bcv", embeddings, space.points)
  return jnp.nanmedian(jnp.where(space.mask, similarities, jnp.nan), axis=-1)


@pytest.mark.parametrize("is_a_row_of_the_table", [True, False])
def test_a_new_method_is_a_function_and_a_row(
  cold, cache, run_demo, tmp_path, monkeypatch, is_a_row_of_the_table
):
  row = Method(concepts, point_to_median)  # of all names, without a core
  given = {} if is_a_row_of_the_table else {"methods": {"median": row}}
  monkeypatch.setattr(
    experiment, "run", functools.partial(experiment.run, **given)
  )
  names = ("class_name", "local_center")
  if is_a_row_of_the_table:
    monkeypatch.setitem(METHODS_OF_BENCHMARKS, "median", row)
    names = (*names, "median")
  run = run_demo(tmp_path / "run", cache, methods=names)
  assert run.json["counters"]["images_decoded"] == 0
  with open(run.folder / "predictions.csv", newline="") as file:
    lines = list(csv.DictReader(file))
  clip = load_clip(cold.json["config"]["model"])
  texts = [
    np.float64(
      embed_texts(
        clip.spec,
        clip.params,
        clip.tokenize([f"a photo of a {name}." for name in entry.names]),
      )
    )
    for entry in load_lexicon("pictographs").classes
  ]
  images = np.float64(stored_embeddings(cache)["plain"])
  scores = [np.median(images @ of_class.T, axis=1) for of_class in texts]
  predicted = np.argmax(np.stack(scores, axis=1), axis=1)
  lines = [line for line in lines if line["dataset"] == "plain"]
  agreed = [int(line["median"]) for line in lines] == predicted
  # Scores in float32 may decide a near tie otherwise.
  assert np.mean(agreed) > 0.98


def stored_embeddings(cache):
  """Reads the embeddings of the test sets that the cache holds."""
  found = {}
  for path in (cache / "embeddings").rglob("*.npz"):
    with np.load(path) as stored:
      if "good" in stored.files:
        header = json.loads(str(stored["header"][()]))
        found[header["metadata"]["dataset"]] = stored["embeddings"]
  return found


def test_no_figure_of_a_class_is_drawn_unasked(one_device):
  figures = {path.name for path in (one_device.folder / "figures").iterdir()}
  kinds = {name.split("-")[0] for name in figures}
  assert kinds == {"accuracy.png", "confusion", "reliability"}


def test_counts_are_those_of_single_cosines(warm, cache, checkpoint, records):
  """`class_name`, from the stored embeddings alone."""
  from s3_jax.experiment.embedder import Embedder

  clip = load_clip(checkpoint)
  embedder = Embedder(clip, "float32", 64, 0, cache)
  prompts = [
    f"a photo of a {entry.name}."
    for entry in load_lexicon("pictographs").classes
  ]
  names = np.float64(embedder.texts(prompts).embeddings)
  top1 = {
    row["dataset"]: row["top1"]
    for row in warm.json["methods"]
    if row["name"] == "class_name"
  }
  found = {}
  for name, embeddings in stored_embeddings(cache).items():
    scores = np.float64(embeddings) @ names.T
    labels = [record["label"] for record in records(DATASETS[name])]
    found[name] = (scores.argmax(1) == labels).mean()
  assert found == pytest.approx(top1)


@pytest.mark.parametrize(
  ("changes", "rule"),
  [
    ({"figure_classes": (90,)}, "`config.figure_classes` .*0..89, got 90"),
    ({"lexicon": "dtd"}, "`config.lexicon` must have the 90 classes of plain"),
    ({"figure_classes": ("a",)}, "`config.figure_classes` .*got 'a'"),
    ({"model": "nosuch"}, "`source` must be a folder .*got 'nosuch'"),
    ({"lexicon": "nosuch"}, "lexicon 'nosuch' must be"),
    ({"mesh": 9}, "`mesh` must be at most the 8 devices"),
  ],
  ids=["class", "table", "kind", "model", "lexicon", "mesh"],
)
def test_what_is_found_late_leaves_no_results(
  run_demo, tmp_path, changes, rule
):
  with pytest.raises(ValueError, match=rule):
    run_demo(tmp_path / "run", tmp_path / "cache", **changes)
  left = {path.name for path in (tmp_path / "run").rglob("*")}
  assert left <= {"log.txt"}


def test_a_bad_image_is_listed_and_not_counted(
  checkpoint, read_config, make_small, tmp_path, monkeypatch, capsys
):
  make_small(monkeypatch)
  open_good = drawn_sets.open_drawn

  def open_bad(spec, folder):
    found = list(open_good(spec, folder))
    found[7] = {**found[7], "image": b"no image"}
    return found

  monkeypatch.setattr(drawn_sets, "open_drawn", open_bad)
  config = read_config(
    "pictographs",
    model=str(checkpoint),
    test_sets=("plain",),
    methods=("class_name",),
    batch_size=64,
    cache_dir=str(tmp_path / "cache"),
    figure_classes=(),
  )
  results = experiment.run(config, str(tmp_path / "run"))
  [dataset], [method] = results["datasets"], results["methods"]
  reason = "not an image of a known format"
  assert dataset["bad_examples"] == [{"file": "plain/7", "reason": reason}]
  assert method["n"] == IMAGES - 1
  said = capsys.readouterr().out
  assert f"1 of {IMAGES} images are bad and not counted; the first is" in said
