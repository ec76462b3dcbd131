"""A list of classes is the same classes through every door."""

import json

import numpy as np
import pytest
from PIL import Image

import s3_jax
from s3_jax.experiment.settings import Settings
from s3_jax.experiment.tasks.benchmark.sets import OWN, find_sets
from s3_jax.experiment.tasks.embeddings.input import EmbeddingSource, load_input
from s3_jax.experiment.tasks.export import Export
from s3_jax.experiment.tasks.predict.settings import Prediction
from s3_jax.experiment.tasks.segment import Segment
from s3_jax.experiment.tasks.synonyms import Generation
from s3_jax.integrations.sklearn import S3Classifier

# File, what stands in it, and "class=text/text|class" as every door sees it.
LISTS = {
  "header": (
    "a.csv",
    "cls,bin\njet,sky\nplane,sky\ncat,pet\n",
    "sky=jet/plane|pet=cat",
  ),
  "header turned": (
    "a.csv",
    "class,name\nsky,jet\npet,cat\n",
    "sky=jet|pet=cat",
  ),
  "no header": (
    "a.csv",
    "tabby,cat\nmanx,cat\npup,dog\n",
    "cat=tabby/manx|dog=pup",
  ),
  "plural": ("a.csv", 'class,synonyms\ncat,"manx; tabby"\n', "cat=manx/tabby"),
  "TSV": ("a.tsv", "manx, grey\tcat\npup\tdog\n", "cat=manx, grey|dog=pup"),
  "BOM": ("a.csv", "\ufeffname,class\nmanx,cat\npup,dog\n", "cat=manx|dog=pup"),
  "lines": ("a.txt", "cat: tabby, manx\ndog: pup\n", "cat=tabby/manx|dog=pup"),
  "numbers": ("a.txt", "0 jet\n1 cat\n", "jet|cat"),
  "CUB": ("a.txt", "1 001.Manx_cat\n2 002.Pup\n", "Manx_cat=Manx cat|Pup"),
  "Places": ("a.txt", "/a/airfield 0\n/a/apse/in 1\n", "airfield|in apse"),
  "ids and names": ("a.txt", "n01440764 tench\nn01443537 carp\n", "tench|carp"),
  "Keras": (
    "a.json",
    {"1": ["n00000002", "cat"], "0": ["n00000001", "jet"]},
    "jet|cat",
  ),
  "id2label": ("a.json", {"id2label": {"0": "jet", "1": "cat"}}, "jet|cat"),
  "object": (
    "a.json",
    {"cat": ["tabby", "manx"], "dog": []},
    "cat=tabby/manx|dog",
  ),
  "YOLO": ("a.yaml", "names:\n  0: jet\n  1: no\nnc: 2\n", "jet|no"),
  "YAML": ("a.yml", "cat: [tabby, manx]\ndog: pup\n", "cat=tabby/manx|dog=pup"),
  "Python": (None, "['jet', \"sea_lion\"]", "jet|sea_lion=sea lion"),
  "commas": (None, "jet, cat", "jet|cat"),
}


def parse(expected):
  """Names and texts of each class."""
  classes = []
  for entry in expected.split("|"):
    name, _, texts = entry.partition("=")
    classes.append((name, tuple((texts or name).split("/"))))
  return classes


@pytest.fixture
def place(tmp_path, monkeypatch):
  """Writes a list as its file, and goes where it lies."""
  monkeypatch.chdir(tmp_path)

  def write(name, content):
    if name is None:
      return content
    content = content if isinstance(content, str) else json.dumps(content)
    (tmp_path / name).write_text(content, "utf-8")
    return name

  return write


def of_task(read_config, task, record, source):
  fields = {**read_config(task).to_dict(), "classes": source}
  listed = Settings(fields).read(record).classes
  return list(zip(listed.names, listed.texts, strict=True))


@pytest.mark.parametrize("kind", LISTS)
@pytest.mark.parametrize(
  ("task", "record"),
  [
    ("predict", Prediction),
    ("segment", Segment),
    ("export", Export),
    ("synonyms", Generation),
  ],
)
def test_through_the_configs(read_config, place, kind, task, record):
  name, content, expected = LISTS[kind]
  source = place(name, content)
  assert of_task(read_config, task, record, source) == parse(expected)


@pytest.mark.parametrize("kind", LISTS)
def test_through_the_library_and_the_estimator(place, kind, clip):
  name, content, expected = LISTS[kind]
  source = place(name, content)
  space = s3_jax.embed_classes(clip, source)
  found = list(zip(space.names, space.texts, strict=True))
  assert found == parse(expected)
  space = S3Classifier(clip, source).fit().space_
  found = list(zip(space.names, space.texts, strict=True))
  assert found == sorted(parse(expected))


@pytest.fixture(scope="module")
def clip():
  return s3_jax.load_clip("s3_jax/pictographs")


@pytest.mark.parametrize("kind", LISTS)
def test_through_the_lexicon_of_images_of_ones_own(place, kind, tmp_path):
  name, content, expected = LISTS[kind]
  source = place(name, content)
  classes = parse(expected)
  for label, _ in classes:
    (tmp_path / "images" / label).mkdir(parents=True)
    Image.new("RGB", (4, 4)).save(tmp_path / "images" / label / "a.png")
  (found,), _ = find_sets(
    tmp_path,
    (OWN,),
    data_dir=tmp_path / "images",
    layout="auto",
    lexicon=source,
    partial=False,
    skip_absent=False,
  )
  assert [entry.name for entry in found.classes] == [n for n, _ in classes]
  for entry, (name, texts) in zip(found.classes, classes, strict=True):
    # A benchmark has the official name of a class beside its texts.
    own = name.replace("_", " ")
    assert entry.names == (own, *(text for text in texts if text != own))
  assert len(found.opened.files) == len(classes)


@pytest.mark.parametrize("kind", LISTS)
def test_through_a_run_on_embeddings(place, kind, tmp_path):
  name, content, expected = LISTS[kind]
  source = place(name, content)
  classes = parse(expected)
  texts = [text for _, of_class in classes for text in of_class]
  rows = np.eye(len(texts), 8)
  # In another order than the classes'.
  np.savez("texts.npz", embeddings=rows[::-1], names=np.array(texts[::-1]))
  labels = np.arange(len(classes))
  np.savez("images.npz", embeddings=np.eye(len(classes), 8), labels=labels)
  found = load_input(EmbeddingSource(classes=source))
  assert found.class_names == tuple(name for name, _ in classes)
  assert found.table.texts == tuple(texts for _, texts in classes)
