"""Benchmark runs, end to end: replicas in, results out."""

import csv
import hashlib
import io
import json
import math
import pathlib
import re
import shutil
import struct
import sys
import tempfile
import zlib
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
import PIL.Image
import pytest
import tensorflow_datasets as tfds

from s3_jax import experiment
from s3_jax.data.benchmark_builders import prepare
from s3_jax.data.datasets import DATASETS, open_dataset
from s3_jax.data.readers.naming import benchmark_finder
from s3_jax.experiment.methods.images import Method
from s3_jax.experiment.methods.prompts import names_in
from s3_jax.experiment.tasks.benchmark.sets import find_sets
from s3_jax.lexicon.synonyms import KINDS, TABLES, load_lexicon
from s3_jax.results import published
from tests.benchmark_replicas import BENCHMARKS, make_replica
from tests.tfds_replicas import encoded, prepare_official

METHODS = ("class_name", "center", "local_center", "s3")
# Few classes have images where a data set has many.
LABELS = (0, 1, 2, 3, 5, 8, 36)


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
  return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def read(read_config, checkpoint, cache):
  """Reads a benchmark's config for the tiny checkpoint."""

  def read(name, data_dir, **changes):
    return read_config(
      name,
      **{
        "model": str(checkpoint),
        "data_dir": str(data_dir),
        "methods": METHODS,
        "metric": "local_center",
        "partial": True,
        "batch_size": 8,
        "cache_dir": str(cache),
        **changes,
      },
    )

  return read


def labels_of(name):
  return [label for label in LABELS if label < DATASETS[name].classes]


class Run(NamedTuple):
  folder: object
  results: dict

  def rows(self, key):
    return {(row["dataset"], row["name"]): row for row in self.results[key]}


def run(config, folder, **options):
  returned = experiment.run(config, str(folder), **options)
  stored = json.loads((folder / "results.json").read_text())
  assert stored == json.loads(json.dumps(returned))
  return Run(folder, stored)


@pytest.mark.parametrize("name", BENCHMARKS)
def test_every_config_runs_on_its_real_folders(name, read, tmp_path):
  replica = make_replica(
    name, tmp_path / "data", images_per_class=2, classes=labels_of(name)
  )
  done = run(read(name, replica.data_dir), tmp_path / "run")
  (data,) = done.results["datasets"]
  assert (data["name"], data["layout"]) == (name, "coop")
  assert data["examples"] == len(replica.files)
  assert data["classes"] == DATASETS[name].classes
  assert data["bad_examples"] == []
  rows = done.rows("methods")
  assert list(rows) == [(name, method) for method in METHODS]
  assert all(row["n"] == len(replica.files) for row in rows.values())
  assert rows[name, "s3"]["top1"] == rows[name, "local_center"]["top1"]
  with open(done.folder / "predictions.csv", newline="") as file:
    lines = list(csv.DictReader(file))
  assert [line["file"] for line in lines] == replica.files
  assert [int(line["label"]) for line in lines] == replica.labels
  for method in METHODS:
    right = sum(line[method] == line["label"] for line in lines)
    assert right / len(lines) == pytest.approx(rows[name, method]["top1"])


def prepare_tfds(name, data_dir):
  """Prepares a replica as TFDS has it; returns its labels."""
  spec = DATASETS[name]
  if spec.tfds is None:
    replica = make_replica(
      name, data_dir / "raw", images_per_class=2, classes=labels_of(name)
    )
    opened = open_dataset(spec, data_dir / "raw")
    prepare(spec, opened, data_dir)
    shutil.rmtree(data_dir / "raw")
    return replica.labels
  labels = [label for label in labels_of(name) for _ in range(2)]
  entries = load_lexicon(spec.lexicon).classes
  if spec.subset:  # TFDS numbers these like all of ImageNet
    subset = load_lexicon(spec.lexicon).subsets[spec.subset]
    entries = [entries[label] for label in subset]
  keys = tfds_label_names(spec, entries)
  prepare_official(
    data_dir,
    spec.tfds.builder,
    [
      {"image": encoded(40 * i), "label": keys[label]}
      for i, label in enumerate(labels)
    ],
    config=spec.tfds.config or None,
    split=spec.tfds.split,
  )
  return labels


def tfds_label_names(spec, entries):
  """Spells the classes as the official builder does."""
  if entries[0].wnid:
    return [entry.wnid for entry in entries]
  source = f"{spec.tfds.builder}/{spec.tfds.config}".rstrip("/")
  with tempfile.TemporaryDirectory() as folder:
    names = tfds.builder(source, data_dir=folder).info.features["label"].names
  finder = benchmark_finder(spec)
  spelled = {finder.label(name, "a class of TFDS"): name for name in names}
  return [spelled[label] for label in range(spec.classes)]


@pytest.mark.parametrize("name", BENCHMARKS)
def test_every_config_runs_on_its_tfds_layout(name, read, tmp_path):
  labels = prepare_tfds(name, tmp_path / "data")
  done = run(
    read(name, tmp_path / "data", methods=METHODS[:2]), tmp_path / "run"
  )
  (data,) = done.results["datasets"]
  assert (data["layout"], data["examples"]) == ("tfds", len(labels))
  with open(done.folder / "predictions.csv", newline="") as file:
    lines = list(csv.DictReader(file))
  assert sorted(int(line["label"]) for line in lines) == sorted(labels)


@pytest.fixture(scope="module")
def dtd(read, tmp_path_factory):
  """A whole run on all 47 classes with most methods."""
  folder = tmp_path_factory.mktemp("dtd")
  replica = make_replica("dtd", folder / "data", images_per_class=3)
  sentences = {
    name: [f"Fabric that is {name}.", f"A {name} wall."]
    for name in ("banded", "blotchy")
  }
  (folder / "cupl.json").write_text(json.dumps({**sentences, "nosuch": ["x"]}))
  config = read(
    "dtd",
    replica.data_dir,
    methods=(
      "class_name",
      "dataset_template",
      "templates_7",
      "cupl",
      "waffle",
      "descriptors",
      "synonyms_mean",
      "synonyms_nearest",
      "local_center",
      "complex",
      "s3",
      "s3_descriptors",
    ),
    cupl_file=str(folder / "cupl.json"),
    cache_dir=str(folder / "cache"),
  )
  return config, run(config, folder / "run")


def test_all_files_are_there(dtd):
  _, done = dtd
  names = {path.name for path in done.folder.iterdir()}
  assert names == {
    "results.json",
    "results.md",
    "results.csv",
    "results.tex",
    "report.html",
    "per_class.csv",
    "confusion.csv",
    "predictions.csv",
    "figures",
    "log.txt",
  }
  figures = [path.name for path in (done.folder / "figures").iterdir()]
  assert sum(name.startswith("confusion-") for name in figures) == 2
  assert sum(name.startswith("reliability-") for name in figures) == 1


def test_the_run_says_what_it_is_about_to_do(dtd):
  _, done = dtd
  said = (done.folder / "log.txt").read_text().splitlines()
  assert said[0] == f"s3_jax 0.1.0: benchmark, results in {done.folder}"
  assert "Describable Textures" in said[1] or "DTD" in said[1]
  facts = next(line for line in said if "12 methods" in line)
  assert "141 images" in facts and "47 classes" in facts and "texts" in facts
  assert any("texts for 2 of 47 classes" in line for line in said)
  assert any("1 of its names match none (nosuch" in line for line in said)
  (costs,) = [line for line in said if line.startswith("To embed: ")]
  assert re.match(r"To embed: texts [\d,]+: \d+ s; images 141(: \d+ s)?", costs)


def test_results_say_which_texts(dtd):
  _, done = dtd
  texts = done.results["texts"]["datasets"]["dtd"]
  assert len(texts["lexicon_sha256"]) == 64
  assert texts["methods"]["templates_7"]["distinct"] == 7 * 47
  assert texts["methods"]["waffle"]["distinct"] == 30 * 47
  assert len(texts["per_class"]) == len(texts["core_per_class"]) == 47
  assert all(
    0 < core <= all_
    for core, all_ in zip(
      texts["core_per_class"], texts["per_class"], strict=True
    )
  )
  hashes = {row["sha256"] for row in texts["methods"].values()}
  # synonyms_mean, synonyms_nearest and the metrics share their texts.
  assert len(hashes) == len(texts["methods"]) - 4


def without_times(results):
  kept = {**results}
  for key in ("timings", "counters"):
    del kept[key]
  return kept


def test_a_second_run_decodes_nothing_and_says_the_same(dtd, tmp_path):
  config, first = dtd
  again = run(config, tmp_path / "run")
  assert again.results["counters"] == {
    "images_decoded": 0,
    "tower_batches": 0,
    "text_tower_batches": 0,
    "cache": "warm",
  }
  assert without_times(again.results) == without_times(first.results)
  for name in ("results.csv", "per_class.csv", "predictions.csv"):
    assert (again.folder / name).read_bytes() == (
      first.folder / name
    ).read_bytes()
  assert (
    "The cache has every embedding." in (again.folder / "log.txt").read_text()
  )


def test_other_templates_embed_only_texts(dtd, tmp_path):
  config, _ = dtd
  changed = config.copy_and_resolve_references()
  changed.templates = ("{} pattern.", "{} surface.")
  changed.methods = ("class_name", "s3")
  again = run(changed, tmp_path / "run")
  counters = again.results["counters"]
  assert counters["images_decoded"] == 0 < counters["text_tower_batches"]


def test_comparisons_are_with_the_baseline_and_among_ours(dtd):
  _, done = dtd
  pairs = {(row["a"], row["b"]) for row in done.results["comparisons"]}
  assert ("s3", "class_name") in pairs and ("s3", "synonyms_mean") in pairs
  assert ("s3_descriptors", "s3") in pairs
  rows = done.rows("methods")
  for row in done.results["comparisons"]:
    delta = rows["dtd", row["a"]]["top1"] - rows["dtd", row["b"]]["top1"]
    assert row["delta"] == pytest.approx(delta)


@pytest.mark.parametrize("images", [20, 19])
def test_published_numbers_stand_beside_whole_data_sets(
  read, tmp_path, monkeypatch, images
):
  monkeypatch.setitem(published._MODELS, "tiny", "OpenAI ViT-B/16")
  spec = DATASETS["eurosat"]._replace(examples=20)
  monkeypatch.setitem(DATASETS, "eurosat", spec)
  data = make_replica(
    "eurosat", tmp_path / "data", layout="folders", images_per_class=2
  ).data_dir
  for path in sorted(data.rglob("*.jpg"))[images:]:
    path.unlink()
  config = read("eurosat", data, methods=("class_name",))
  results = run(config, tmp_path / "run").results
  assert {row["dataset"] for row in results["published"]} == (
    {"eurosat"} if images == 20 else set()
  )


def test_nothing_published_is_claimed_for_other_weights(dtd):
  _, done = dtd
  assert done.results["expectations"] == []


def test_a_method_of_ones_own(read, tmp_path):
  replica = make_replica("eurosat", tmp_path / "data")

  def farthest(embeddings, space):
    scores = jnp.einsum("...d,cmd->...cm", embeddings, space.points)
    return jnp.min(jnp.where(space.mask, scores, 2.0), axis=-1)

  config = read("eurosat", replica.data_dir, methods=("class_name",))
  done = run(
    config,
    tmp_path / "run",
    methods={"farthest": farthest, "bare": Method(names_in("{}"))},
  )
  assert [row["name"] for row in done.results["methods"]] == [
    "class_name",
    "farthest",
    "bare",
  ]
  with pytest.raises(ValueError, match="keys of their own, got 's3'"):
    experiment.run(config, str(tmp_path / "taken"), methods={"s3": farthest})
  with pytest.raises(ValueError, match="`methods` must be given to a task"):
    experiment.run(config_of_models(read), None, methods={"mine": farthest})


def config_of_models(read):
  config = read("eurosat", "").copy_and_resolve_references().unlock()
  for field in list(config.keys()):
    del config[field]
  config.task, config.contains = "models", ""
  return config


def bomb():
  """A PNG whose header says 50,000 x 50,000 pixels."""
  header = struct.pack(">IIBBBBB", 50_000, 50_000, 8, 2, 0, 0, 0)
  chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(b"")), (b"IEND", b"")]
  return b"\x89PNG\r\n\x1a\n" + b"".join(
    struct.pack(">I", len(data))
    + kind
    + data
    + struct.pack(">I", zlib.crc32(kind + data))
    for kind, data in chunks
  )


def saved(image, kind, **options):
  buffer = io.BytesIO()
  image.save(buffer, kind, **options)
  return buffer.getvalue()


def odd_files():
  """Files that are bad, with a word of the reason, and odd good ones."""
  grey = PIL.Image.new("L", (30, 20), 90)
  frames = [PIL.Image.new("L", (9, 9), 80 * (i % 3)) for i in range(300)]
  bad = {
    "empty.jpg": (b"", "empty"),
    "text.png": (b"this is no picture", "known format"),
    "cut.jpg": (saved(grey, "JPEG")[:200], ""),
    "bomb.png": (bomb(), "pixels"),
    "film.gif": (
      saved(frames[0], "GIF", save_all=True, append_images=frames[1:]),
      "300",
    ),
  }
  deep = np.linspace(0, 65535, 600).astype(np.uint16).reshape(20, 30)
  good = {
    "deep.png": saved(PIL.Image.fromarray(deep), "PNG"),
    "cmyk.jpg": saved(grey.convert("CMYK"), "JPEG"),
  }
  return bad, good


def test_bad_images_are_listed_and_not_counted(read, tmp_path):
  """A hundred images, five of them bad."""
  replica = make_replica(
    "eurosat",
    tmp_path / "data",
    layout="folders",
    images_per_class=31,
    classes=[0, 1, 2],
  )
  bad, good = odd_files()
  first = sorted(path for path in replica.data_dir.rglob("*.jpg"))[0].parent
  for name, data in good.items():
    (first / name).write_bytes(data)
  for name, (data, _) in bad.items():
    (first / name).write_bytes(data)
  config = read("eurosat", replica.data_dir, layout="folders")
  done = run(config, tmp_path / "run")
  (data,) = done.results["datasets"]
  assert data["examples"] == 100
  listed = {
    row["file"].split("/")[-1]: row["reason"] for row in data["bad_examples"]
  }
  assert set(listed) == set(bad)
  for name, (_, word) in bad.items():
    assert listed[name] and word in listed[name]
  assert all(row["n"] == 95 for row in done.results["methods"])
  predictions = (done.folder / "predictions.csv").read_text()
  for name in good:
    assert name in predictions
  assert "5 of 100 images are bad" in (done.folder / "log.txt").read_text()
  strict = config.copy_and_resolve_references()
  strict.strict = True
  with pytest.raises(ValueError, match="`config.strict` allows no bad image"):
    experiment.run(strict, str(tmp_path / "strict"))
  assert (tmp_path / "strict" / "results.json").exists(), "nothing is lost"


def test_a_suite_leaves_out_what_is_absent(read, tmp_path):
  data = tmp_path / "data"
  for name in ("dtd", "eurosat"):
    make_replica(name, data, images_per_class=2)
  config = read("suite", data, methods=("class_name", "s3"))
  done = run(config, tmp_path / "run")
  assert [row["name"] for row in done.results["datasets"]] == ["dtd", "eurosat"]
  skipped = {row["dataset"]: row["reason"] for row in done.results["skipped"]}
  assert set(skipped) == set(BENCHMARKS) - {"dtd", "eurosat"}
  assert all(skipped.values())
  log = (done.folder / "log.txt").read_text()
  assert "Skipped ucf101: " in log
  assert "Fine-grained" in log
  config.partial = False
  with pytest.raises(ValueError, match="'dtd' .* must hold 1692 images"):
    experiment.run(config, str(tmp_path / "broken"))
  shutil.rmtree(data)
  data.mkdir()
  with pytest.raises(ValueError, match="must name a data set that is there"):
    experiment.run(config, str(tmp_path / "nothing"))


def test_counts_must_fit_unless_one_says_so(read, tmp_path):
  replica = make_replica("eurosat", tmp_path / "data")
  config = read("eurosat", replica.data_dir, partial=False)
  with pytest.raises(ValueError, match="8,?100.*10.*config.partial=True"):
    experiment.run(config, str(tmp_path / "run"))


@pytest.mark.parametrize("with_table", [False, True])
def test_images_of_ones_own(read, tmp_path, with_table):
  folder = tmp_path / "my images"
  make_replica("eurosat", tmp_path / "data", layout="folders")
  shutil.move(tmp_path / "data" / "eurosat", folder)
  official = [entry.name for entry in load_lexicon("eurosat").classes]
  for path, name in zip(sorted(folder.iterdir()), official, strict=True):
    path.rename(folder / name.lower().replace(" ", "_"))
  config = read("own_images", folder, lexicon="eurosat" if with_table else "")
  done = run(config, tmp_path / "run")
  (data,) = done.results["datasets"]
  assert (data["name"], data["classes"], data["examples"]) == (
    "my images",
    10,
    10,
  )
  counts = done.results["texts"]["datasets"]["my images"]["per_class"]
  assert counts == [1] * 10 if not with_table else sum(counts) > 15


def put_squares(folder, names):
  """Writes a folder with one image for each class."""
  for name in names:
    (folder / name).mkdir(parents=True)
    PIL.Image.new("RGB", (24, 24)).save(folder / name / "0.png")
  return folder


@pytest.mark.parametrize(
  ("folder", "index", "name"),
  [("photos.v2", "photos.v2", "photos.v2"), ("dtd", ".", "own dtd")],
)
def test_names_of_data_sets_of_ones_own(
  read, tmp_path, monkeypatch, folder, index, name
):
  """Published numbers of DTD must not stand beside a folder called dtd."""
  put_squares(tmp_path / folder, ("banded", "blotchy"))
  monkeypatch.chdir(tmp_path / folder if index == "." else tmp_path)
  config = read("own_images", index, methods=("class_name",))
  done = run(config, tmp_path / "run")
  assert [row["name"] for row in done.results["datasets"]] == [name]


def test_a_class_without_descriptors_keeps_its_bare_name(read, tmp_path):
  folder = put_squares(tmp_path / "pets", ("cat", "dog", "sea_lion"))
  file = tmp_path / "file.json"
  file.write_text(json.dumps({"cat": ["fur"], "dog": []}))
  config = read(
    "own_images",
    folder,
    methods=("class_name", "cupl", "dclip", "waffle"),
    cupl_file=str(file),
    dclip_file=str(file),
    waffle_file=str(file),
  )
  done = run(config, tmp_path / "run")
  methods = done.results["texts"]["datasets"]["pets"]["methods"]
  for name, texts in (
    ("cupl", ("fur", "dog", "sea lion")),
    ("dclip", ("cat, which has fur", "dog", "sea lion")),
    (
      "waffle",
      (
        "A photo of a cat, which has fur.",
        "A photo of a dog",
        "A photo of a sea lion",
      ),
    ),
  ):
    text = "\n".join(texts).encode()
    assert methods[name]["sha256"] == hashlib.sha256(text).hexdigest(), name


def test_a_table_of_ones_own_with_shared_names(read, tmp_path):
  table = json.loads((TABLES / "eurosat.json").read_text())
  table["classes"][0]["name"] = "fields"  # no target of a known spelling now
  table["classes"][0]["captioned"] = []
  table["classes"][4]["synonyms"]["common"].append("forests")
  (tmp_path / "table.json").write_text(json.dumps(table))
  (tmp_path / "texts.json").write_text(json.dumps({"Fields": ["wheat"]}))
  replica = make_replica("eurosat", tmp_path / "data", classes=[0, 1])
  config = read(
    "eurosat",
    replica.data_dir,
    methods=("class_name", "cupl"),
    cupl_file=str(tmp_path / "texts.json"),
    lexicon=str(tmp_path / "table.json"),
  )
  done = run(config, tmp_path / "run")
  said = (done.folder / "log.txt").read_text()
  assert "texts for 1 of 10 classes; 0 of its names match none" in said
  assert "share: 1, such as 'Forest' of the classes 1, 4; equal scores" in said


def test_further_kinds_of_synonyms_are_asked_for(tmp_path):
  table = load_lexicon("eurosat")
  replica = make_replica("eurosat", tmp_path / "data", classes=[0, 1])
  counts = {}
  for lexicon in ("", "+subtype", "eurosat+all"):
    (found,) = find_sets(
      tmp_path,
      ("eurosat",),
      data_dir=pathlib.Path(replica.data_dir),
      layout="auto",
      lexicon=lexicon,
      partial=True,
      skip_absent=False,
    )[0]
    counts[lexicon] = [len(entry.names) for entry in found.classes]
  kinds = {
    "": ("common", "spelling"),
    "+subtype": ("common", "spelling", "subtype"),
    "eurosat+all": tuple(KINDS),
  }
  for lexicon, wanted in kinds.items():
    assert counts[lexicon] == [len(e.only(wanted).names) for e in table.classes]
  assert sum(counts[""]) < sum(counts["+subtype"]) <= sum(counts["eurosat+all"])


def test_waffle_needs_words(read, tmp_path):
  folder = put_squares(tmp_path / "numbers", ("2", "10"))
  config = read("own_images", folder, methods=("class_name", "waffle"))
  with pytest.raises(ValueError, match="none: set `config.waffle_file`"):
    experiment.run(config, str(tmp_path / "run"))


@pytest.mark.parametrize(
  ("changes", "rule"),
  [
    ({"dataset": "imagenet_c"}, "`config.dataset` must be one of"),
    (
      {"methods": ("s3",)},
      "must hold the baseline 'class_name', got s3: add it, or",
    ),
    ({"methods": ("class_name", "cupl")}, "`config.cupl_file` must name"),
    ({"templates": ("no place",)}, "`template` must hold exactly one"),
    ({"templates": (3,)}, "`config.templates` must hold texts .* got 3"),
    ({"layout": "zip"}, "`config.layout` must be one of auto"),
    ({"max_pixels": 0}, "`config.max_pixels` must be >= 1"),
    ({"decoding": "quick"}, "`config.decoding` must be one of exact, fast"),
    ({"data_dir": ""}, "`config.data_dir` must be the folder"),
    ({"lexicon": "eurosat"}, "must have the 47 classes"),
    ({"mesh": 99}, "`mesh` must be at most the 8 devices"),
    ({"cache_dir": "/dev/null/x"}, "`config.cache_dir` must be a folder that"),
  ],
)
def test_wrong_settings_are_named(read, tmp_path, changes, rule):
  make_replica("dtd", tmp_path / "data", classes=[0])
  config = read("dtd", tmp_path / "data")
  for field, value in changes.items():
    config[field] = value
  with pytest.raises(ValueError, match=rule):
    experiment.run(config, str(tmp_path / "run"))


def test_fast_decoding_asks_for_its_library(read, tmp_path, monkeypatch):
  make_replica("dtd", tmp_path / "data", classes=[0])
  config = read("dtd", tmp_path / "data")
  config.decoding = "fast"
  monkeypatch.setitem(sys.modules, "simplejpeg", None)
  with pytest.raises(
    ValueError, match=r"'fast' needs simplejpeg.*s3_jax\[fast\]"
  ):
    experiment.run(config, str(tmp_path / "run"))


def test_ece_and_top5_are_those_of_the_predictions(dtd):
  _, done = dtd
  for row in done.results["methods"]:
    assert 0 <= row["top1"] <= row["top5"] <= 1
    assert math.isfinite(row["ece"])
    low, high = row["bootstrap_ci95"]
    assert low <= row["top1"] <= high
  per_class = list(
    csv.DictReader(io.StringIO((done.folder / "per_class.csv").read_text()))
  )
  accuracies = [
    float(line["accuracy"]) for line in per_class if line["method"] == "s3"
  ]
  (s3,) = (row for row in done.results["methods"] if row["name"] == "s3")
  np.testing.assert_allclose(np.mean(accuracies), s3["mean_per_class"])
