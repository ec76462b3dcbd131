"""Runs on embeddings in files: result files, equality, sweep, the way out."""

import csv
import io
import json
import re
import runpy
import subprocess
import sys

import jax.numpy as jnp
import numpy as np
import pytest
import torch

import s3_jax
from s3_jax import experiment
from s3_jax.experiment.methods.images import Method
from s3_jax.experiment.methods.prompts import names_in
from s3_jax.point_to_space import POINT_TO_SPACE
from s3_jax.results import report
from s3_jax.results.schema import validate_results
from s3_jax.space import build_space
from s3_jax.storage import (
  pad_texts,
  read_image_embeddings,
  read_text_embeddings,
)
from s3_jax.storage.embedding_content import IMAGE_KEYS, TEXT_KEYS
from tests.benchmark_replicas import make_replica

CLASSES, IMAGES, DIM = 6, 90, 12
TEXTS = (4, 1, 3, 2, 4, 3)
NAMES = [
  [f"class {label} name {index}" for index in range(count)]
  for label, count in enumerate(TEXTS)
]


def drawn(seed=0):
  """Makes texts around a centre a class, and images around them."""
  draw = np.random.default_rng(seed)
  centres = draw.normal(size=(CLASSES, DIM))
  index = np.repeat(np.arange(CLASSES), TEXTS)
  texts = centres[index] + 0.7 * draw.normal(size=(index.size, DIM))
  labels = draw.integers(0, CLASSES, IMAGES)
  images = centres[labels] + 1.2 * draw.normal(size=(IMAGES, DIM))
  return images, labels, texts, index


@pytest.fixture(scope="module")
def files(tmp_path_factory):
  """Writes images.npz and texts.npz, neither of them normalised."""
  folder = tmp_path_factory.mktemp("files")
  images, labels, texts, index = drawn()
  np.savez(folder / "images.npz", x=images, y=labels)
  np.savez(
    folder / "texts.npz",
    v=texts,
    class_index=index,
    names=np.array([name for names in NAMES for name in names]),
  )
  return folder


@pytest.fixture(scope="module")
def read(read_config, files):
  def read(**changes):
    return read_config(
      "embeddings",
      **{
        "images": str(files / "images.npz"),
        "texts": str(files / "texts.npz"),
        "mesh": 1,
        "metric": "local_center",
        "neighbors": 2,
        "scale": "gap",
        "min_gap": 0.05,
        **changes,
      },
    )

  return read


@pytest.fixture(scope="module")
def whole(read, tmp_path_factory):
  folder = tmp_path_factory.mktemp("whole")

  def own(embeddings, space):
    return jnp.einsum("...d,cd->...c", embeddings, space.points[:, 0])

  results = experiment.run(read(), str(folder), methods={"mine": own})
  return folder, results


def top1(results):
  return {row["name"]: row["top1"] for row in results["methods"]}


def test_all_result_files_are_there(whole):
  folder, results = whole
  found = {path.name for path in folder.iterdir()}
  assert found == {
    "confusion.csv",
    "figures",
    "log.txt",
    "per_class.csv",
    "predictions.csv",
    "report.html",
    "results.csv",
    "results.json",
    "results.md",
    "results.tex",
  }
  assert (folder / "figures" / "accuracy.png").stat().st_size
  stored = json.loads((folder / "results.json").read_text())
  validate_results(stored)
  assert stored == json.loads(json.dumps(results))
  model = stored["model"]
  assert model["name"] == "embeddings" and len(model["sha256"]) == 64
  assert model["spec"]["embed_dim"] == DIM
  assert model["spec"]["images"]["normalized"] is False
  assert "tower_matmul" not in stored["environment"]
  (data,) = stored["datasets"]
  assert (data["name"], data["classes"]) == ("images", CLASSES)
  assert data["examples"] == IMAGES and data["bad_examples"] == []
  texts = stored["texts"]["datasets"]["images"]
  assert texts["per_class"] == list(TEXTS)
  assert texts["names_without_vector"] == texts["unused_vectors"] == []
  log = (folder / "log.txt").read_text()
  assert "90 x 12, rows of other lengths, which were normalised." in log
  assert "Classes: 6, with 17 texts, 1 to 4 each." in log


def test_every_method_that_needs_no_tower_is_run(whole):
  _, results = whole
  assert list(top1(results)) == [
    "class_name",
    "random_synonym",
    "synonyms_mean",
    "synonyms_nearest",
    *POINT_TO_SPACE,
    "s3",
    "mine",
  ]


def test_results_are_those_of_the_functions(whole, files):
  folder, results = whole
  images = read_image_embeddings(files / "images.npz")
  table = pad_texts(read_text_embeddings(files / "texts.npz"))
  every = build_space(table.embeddings, table.mask, scale=None, keep="all")
  core = build_space(
    table.embeddings, table.mask, scale="gap", min_gap=0.05, max_simplices=50
  )
  assert np.asarray(core.mask).sum() < sum(TEXTS)
  expected = {
    "class_name": images.embeddings @ table.embeddings[:, 0].T,
    "synonyms_mean": POINT_TO_SPACE["center"](images.embeddings, every),
    "synonyms_nearest": POINT_TO_SPACE["nearest_point"](
      images.embeddings, every
    ),
    "mine": images.embeddings @ np.asarray(core.points)[:, 0].T,
  }
  for name, metric in POINT_TO_SPACE.items():
    options = {"neighbors": 2} if name == "local_center" else {}
    expected[name] = metric(images.embeddings, core, **options)
  expected["s3"] = expected["local_center"]
  with open(folder / "predictions.csv", newline="") as file:
    lines = list(csv.DictReader(file))
  assert [line["file"] for line in lines] == [str(i) for i in range(IMAGES)]
  assert images.labels is not None
  for name, scores in expected.items():
    predicted = np.argmax(np.asarray(scores), axis=1)
    assert [int(line[name]) for line in lines] == predicted.tolist(), name
    right = float(np.mean(predicted == images.labels))
    assert top1(results)[name] == pytest.approx(right)
  assert len(set(top1(results).values())) > 5


def test_the_drawn_name_goes_by_the_seed(read, whole, tmp_path, no_pictures):
  found = []
  for seed in (0, 1):
    config = read(
      seed=seed,
      methods=("random_synonym", "class_name"),
      baseline="random_synonym",
    )
    found.append(experiment.run(config, str(tmp_path / str(seed))))
  assert top1(found[0])["random_synonym"] == top1(whole[1])["random_synonym"]
  hashes = [
    each["texts"]["datasets"]["images"]["methods"]["random_synonym"]["sha256"]
    for each in found
  ]
  assert hashes[0] != hashes[1]


@pytest.fixture
def no_pictures(monkeypatch):
  """Leaves out the figures, most of the time of a small run."""
  monkeypatch.setattr(report, "_draw", lambda *rest: [])


FEW = {"methods": ("class_name", "synonyms_mean")}


def test_encoders_that_are_rotated_or_stretched_give_the_same(
  read, whole, tmp_path, no_pictures
):
  images, labels, texts, index = drawn()
  turn, _ = np.linalg.qr(np.random.default_rng(4).normal(size=(DIM, DIM)))
  np.savez(tmp_path / "i.npz", features=0.3 * images @ turn, targets=labels)
  np.savez(tmp_path / "t.npz", embeddings=9 * texts @ turn, labels=index)
  config = read(
    images=str(tmp_path / "i.npz"), texts=str(tmp_path / "t.npz"), **FEW
  )
  results = experiment.run(config, str(tmp_path / "run"))
  for name, value in top1(results).items():
    assert value == top1(whole[1])[name]
  per_class = (tmp_path / "run" / "per_class.csv").read_text()
  assert "class 5" in per_class, "texts without names"


def lexicon(path, classes):
  entries = [
    {"index": i, "name": names[0], "synonyms": names[1:], "descriptors": []}
    for i, names in enumerate(classes)
  ]
  table = {"schema": 1, "dataset": "mine", "provenance": {}, "classes": entries}
  path.write_text(json.dumps(table))
  return str(path)


def test_a_lexicon_says_which_texts_are_of_which_class(
  read, whole, tmp_path, no_pictures
):
  names = [list(each) for each in NAMES]
  names[0][1] = "CLASS_0  Name_1"  # spelled otherwise
  del names[4][3]  # a vector that no class uses
  names[2].append("no such thing")  # a name without a vector
  names[3].insert(0, "official")  # the same, in the official name's place
  config = read(classes=lexicon(tmp_path / "l.json", names), **FEW)
  results = experiment.run(config, str(tmp_path / "run"))
  texts = results["texts"]["datasets"]["images"]
  assert texts["names_without_vector"] == [
    {"label": 2, "name": "no such thing"},
    {"label": 3, "name": "official"},
  ]
  assert texts["classes_without_official_vector"] == [3]
  assert texts["unused_vectors"] == ["class 4 name 3"]
  log = (tmp_path / "run" / "log.txt").read_text()
  assert "without a vector: 2 ('no such thing', 'official')." in log
  assert "another name stands for it: 1 ('official')." in log
  assert "Vectors that no class uses: 1 ('class 4 name 3')." in log
  assert top1(results)["class_name"] == top1(whole[1])["class_name"]
  config.strict = True
  with pytest.raises(ValueError, match="no name of a class without .* got 2"):
    experiment.run(config, str(tmp_path / "strict"))
  assert (tmp_path / "strict" / "results.json").exists()


def test_names_in_a_template_and_forms(
  read, files, whole, tmp_path, no_pictures
):
  images, _, texts, index = drawn()
  flat = [name for names in NAMES for name in names]
  noise = np.random.default_rng(7).normal(size=texts.shape)
  np.savez(
    tmp_path / "t.npz",
    v=np.concatenate([noise, texts]),
    class_index=np.tile(index, 2),
    names=np.array(flat + [f"a photo of a {name}." for name in flat]),
    forms=np.repeat([0, 1], len(flat)),
    form_names=np.array(["bare", "photo"]),
  )
  want = top1(whole[1])
  given = {"texts": str(tmp_path / "t.npz"), **FEW}
  for position, changes in enumerate(
    [
      {"forms": ("photo",)},
      {"forms": (1,)},
      {
        "classes": lexicon(tmp_path / "l.json", NAMES),
        "template": "a photo of a {}.",
      },
    ]
  ):
    folder = tmp_path / str(position)
    got = top1(experiment.run(read(**given, **changes), str(folder)))
    assert got == {name: want[name] for name in FEW["methods"]}, changes
  every = top1(experiment.run(read(**given), str(tmp_path / "every")))
  assert every["class_name"] < want["class_name"]


def test_tip_adapters_caches_with_a_class_list(
  read, whole, tmp_path, no_pictures
):
  images, labels, texts, index = drawn()
  unit = images / np.linalg.norm(images, axis=1, keepdims=True)
  first = np.searchsorted(index, np.arange(CLASSES))
  torch.save(torch.tensor(unit).float(), tmp_path / "test_f.pt")
  torch.save(torch.tensor(labels), tmp_path / "test_l.pt")
  torch.save(torch.tensor(texts[first]), tmp_path / "classifier.pt")
  (tmp_path / "classnames.txt").write_text(
    "\n".join(f"n0000000{i} thing {i}" for i in range(CLASSES))
  )
  config = read(
    images=str(tmp_path / "test_f.pt"),
    labels=str(tmp_path / "test_l.pt"),
    texts=str(tmp_path / "classifier.pt"),
    classes=str(tmp_path / "classnames.txt"),
    **FEW,
  )
  results = experiment.run(config, str(tmp_path / "run"))
  assert top1(results)["class_name"] == top1(whole[1])["class_name"]
  assert results["model"]["spec"]["images"]["normalized"] is True
  assert "thing 5" in (tmp_path / "run" / "per_class.csv").read_text()


def bad_files(folder):
  images, labels, texts, index = drawn()
  np.savez(folder / "wide.npz", x=np.ones((3, DIM + 1)), y=[0, 1, 2])
  np.savez(folder / "bare.npz", x=images)
  np.savez(folder / "beyond.npz", x=images[:2], y=[0, CLASSES])
  images[7, 2] = np.nan
  np.savez(folder / "nan.npz", x=images, y=labels)
  np.savez(folder / "nothing.npz", v=texts)
  np.savez(folder / "names.npz", v=texts[:2], names=np.array(["a", "b"]))
  (folder / "abc.txt").write_text("a\nb\nc\n")


BAD = {
  "dimensions": ({"images": "wide.npz"}, "one encoder, got 13 and 12 dim"),
  "no labels": ({"images": "bare.npz"}, "must come with labels, got none"),
  "labels": ({"images": "beyond.npz"}, "in 0..5.* got 6 for image 1"),
  "NaN": ({"images": "nan.npz"}, "finite, got nan in row 7"),
  "absent": ({"texts": "absent.npz"}, "readable file"),
  "no classes": ({"texts": "nothing.npz"}, "`config.classes` must name"),
  "other count": (
    {"texts": "nothing.npz", "classes": "a,b"},
    "the 17 classes of .* got 2",
  ),
  "no text": (
    {"texts": "names.npz", "classes": "abc.txt"},
    r"none for 1 of 3, the first is class 2 \('c'\)",
  ),
  "forms": ({"forms": ("long",)}, "`config.forms` must name forms"),
  "odd form": ({"forms": (1.5,)}, "names or numbers of forms, got 1.5"),
  "template": ({"template": "a photo"}, "exactly one {}"),
  "prompts": (
    {"methods": ("class_name", "templates_80")},
    "need no tower, got 'templates_80', which needs a tower: class_name, r",
  ),
  "views": ({"methods": ("ts3",)}, "got 'ts3', which needs a tower"),
  "unknown": ({"methods": ("best",)}, "got 'best', which is no method"),
  "baseline": ({"baseline": "dclip"}, "must hold the baseline 'dclip'"),
  "logit scale": ({"logit_scale": 0.0}, "`config.logit_scale` must be > 0"),
  "empty": ({"images": ""}, "`config.images` must name a file"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_one_line(name, read, tmp_path):
  changes, rule = BAD[name]
  bad_files(tmp_path)
  fields = ("images", "texts")
  changes = {
    key: str(tmp_path / value)
    if value and (key in fields or str(value).endswith(".txt"))
    else value
    for key, value in changes.items()
  }
  with pytest.raises(ValueError, match=rule) as caught:
    experiment.run(read(**changes), str(tmp_path / "run"))
  message = str(caught.value)
  assert "\n" not in message
  assert len(message.replace(str(tmp_path), "")) <= 300
  assert not list((tmp_path / "run").rglob("*"))


def test_the_command_line_refuses_in_one_line(repository, tmp_path, files):
  bad_files(tmp_path)
  done = subprocess.run(
    [
      sys.executable,
      "main.py",
      "--config=configs/embeddings.py",
      f"--config.images={tmp_path / 'nan.npz'}",
      f"--config.texts={files / 'texts.npz'}",
      f"--workdir={tmp_path / 'run'}",
    ],
    cwd=repository,
    capture_output=True,
    text=True,
    timeout=300,
    check=False,
  )
  opening = f"s3_jax {s3_jax.__version__}: embeddings, results in"
  assert done.returncode == 2
  assert done.stdout == f"{opening} {tmp_path / 'run'}\n"
  assert done.stderr.count("\n") == 1
  assert done.stderr.startswith("s3_jax: 'x' in ")
  assert "nan in row 7" in done.stderr


def test_two_processes_give_the_same(repository, files, whole, tmp_path):
  done = subprocess.run(
    [
      sys.executable,
      "-m",
      "s3_jax.launch",
      "--processes=2",
      "--cpu_devices=1",
      "--",
      "--config=configs/embeddings.py",
      f"--config.images={files / 'images.npz'}",
      f"--config.texts={files / 'texts.npz'}",
      "--config.methods=('class_name','random_synonym','s3')",
      "--config.metric=local_center",
      "--config.neighbors=2",
      "--config.scale=gap",
      "--config.min_gap=0.05",
      f"--workdir={tmp_path / 'run'}",
    ],
    cwd=repository,
    capture_output=True,
    text=True,
    timeout=300,
    check=False,
  )
  assert done.returncode == 0, done.stderr
  results = json.loads((tmp_path / "run" / "results.json").read_text())
  assert results["environment"]["processes"] == 2
  want = top1(whole[1])
  assert top1(results) == {name: want[name] for name in top1(results)}
  assert len(top1(results)) == 3


def test_the_example_of_the_page_runs_as_printed(
  repository, files, whole, monkeypatch, capsys
):
  text = (repository / "docs" / "EMBEDDINGS.md").read_text("utf-8")
  (example,) = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
  monkeypatch.chdir(files)
  exec(compile(example, "EMBEDDINGS.md", "exec"), {})
  assert 0.2 < float(capsys.readouterr().out) <= 1


def test_the_page_lists_every_key(repository):
  page = (repository / "docs" / "EMBEDDINGS.md").read_text("utf-8")
  keys = [
    key
    for table in (IMAGE_KEYS, TEXT_KEYS)
    for names in table.values()
    for key in names
  ]
  assert [key for key in keys if f"`{key}`" not in page] == []


def test_own_methods_are_checked(read, tmp_path):
  for methods, rule in (
    ({"s3": lambda x, space: x}, "keys of their own, got 's3'"),
    ({"mine": Method(names_in("{}"))}, "got 'mine', which needs a tower"),
  ):
    with pytest.raises(ValueError, match=rule):
      experiment.run(read(), str(tmp_path / "run"), methods=methods)


def test_the_sweep_runs_from_files(files, whole, repository, tmp_path):
  module = runpy.run_path(str(repository / "configs" / "embeddings.py"))
  config = module["get_config"]("sweep").unlock()
  config.images = str(files / "images.npz")
  config.texts = str(files / "texts.npz")
  config.metrics = ("local_center", "center", "nearest_point")
  config.neighbors = (2,)
  config.scales = (None, "gap")
  config.min_gaps = (0.05,)
  rows = experiment.run(config, str(tmp_path / "run"))
  assert len(rows) == 6
  found = {(row.metric, row.scale): row.clean for row in rows}
  want = top1(whole[1])
  assert found["center", None] == want["synonyms_mean"]
  assert found["nearest_point", None] == want["synonyms_nearest"]
  for metric in config.metrics:
    assert found[metric, "gap"] == want[metric]
  assert {row.polluted for row in rows} == {None}
  assert [row.clean for row in rows] == sorted(
    (row.clean for row in rows), reverse=True
  )
  names = {path.name for path in (tmp_path / "run").iterdir()}
  assert names == {"log.txt", "sweep.csv", "sweep.md"}
  written = (tmp_path / "run" / "sweep.csv").read_text()
  assert len(list(csv.DictReader(io.StringIO(written)))) == 6
  assert "90 images" in (tmp_path / "run" / "sweep.md").read_text()
  with pytest.raises(ValueError, match='"run" or "sweep", got \'walk\''):
    module["get_config"]("walk")


@pytest.fixture(scope="module")
def benchmark(read_config, checkpoint, tmp_path_factory):
  """Runs a benchmark that writes its embeddings."""
  folder = tmp_path_factory.mktemp("benchmark")
  make_replica(
    "oxford_pets", folder / "data", images_per_class=2, classes=(0, 2, 5, 8)
  )
  config = read_config(
    "oxford_pets",
    model=str(checkpoint),
    data_dir=str(folder / "data"),
    methods=(
      "class_name",
      "dataset_template",
      "templates_7",
      "descriptors",
      "random_synonym",
      "synonyms_mean",
      "synonyms_nearest",
      "center",
      "s3",
      "s3_descriptors",
    ),
    partial=True,
    batch_size=8,
    mesh=1,
    cache_dir=str(folder / "cache"),
    write_embeddings=True,
  )
  results = experiment.run(config, str(folder / "run"))
  return folder / "run", results


def test_a_benchmark_run_writes_its_embeddings(benchmark):
  folder, results = benchmark
  names = {path.name for path in (folder / "embeddings").iterdir()}
  assert names == {"images_oxford_pets.npz", "texts_oxford_pets.npz"}
  images = read_image_embeddings(
    folder / "embeddings" / "images_oxford_pets.npz"
  )
  assert images.normalized and images.labels is not None
  assert sorted(set(images.labels.tolist())) == [0, 2, 5, 8]
  with open(folder / "predictions.csv", newline="") as file:
    lines = list(csv.DictReader(file))
  assert tuple(line["file"] for line in lines) == images.files
  texts = read_text_embeddings(folder / "embeddings" / "texts_oxford_pets.npz")
  assert texts.names is not None and texts.class_index is not None
  assert texts.forms is not None and len(texts.class_names) == 37
  first = np.flatnonzero(texts.class_index == 4)[0]
  official = texts.class_names[4]
  assert texts.names[first] == f"a photo of a {official}."
  kinds = {
    name: texts.form_names[form]
    for name, form in zip(texts.names, texts.forms.tolist(), strict=True)
  }
  template = "a photo of a {}, a type of pet."
  assert kinds[template.replace("{}", official)] == template
  assert "itap of a {}." in texts.form_names
  assert set(texts.form_names) - set(kinds.values()) == set()
  described = [
    name for name, kind in kinds.items() if kind == "name with descriptor"
  ]
  assert any(", which has" in name for name in described)
  assert any(name.startswith("a photo of a ") for name in described)
  pairs = zip(texts.names, texts.class_index.tolist(), strict=True)
  assert len(set(pairs)) == len(texts.names)
  assert str(folder / "embeddings") in (folder / "log.txt").read_text()


def test_what_was_written_gives_the_same_results(
  benchmark, read_config, tmp_path, no_pictures
):
  folder, results = benchmark
  config = read_config(
    "embeddings",
    images=str(folder / "embeddings" / "images_oxford_pets.npz"),
    texts=str(folder / "embeddings" / "texts_oxford_pets.npz"),
    forms=("a photo of a {}, a type of pet.",),
    methods=(
      "class_name",
      "random_synonym",
      "synonyms_mean",
      "synonyms_nearest",
      "center",
      "s3",
    ),
    mesh=1,
  )
  found = top1(experiment.run(config, str(tmp_path / "run")))
  want = top1(results)
  assert found.pop("class_name") == want["dataset_template"]
  assert found == {name: want[name] for name in found}
  config.methods = ("class_name",)
  config.forms = ("a photo of a {}.",)
  alone = experiment.run(config, str(tmp_path / "names"))
  assert top1(alone)["class_name"] == want["class_name"]
