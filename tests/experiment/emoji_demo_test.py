"""The demo as it is: the embedded checkpoint, artists whom it never saw."""

import csv
import json

import pytest
from PIL import Image

from s3_jax import experiment
from s3_jax.clip.zoo import MODELS
from s3_jax.data import emoji
from s3_jax.results.schema import validate_results

# docs/RESULTS.md, top-1 in %; another processor may tip a drawing or two.
MEASURED = {
  ("emojione", "class_name"): 66.8,
  ("emojione", "local_center"): 69.3,
  ("emojione", "polluted_all"): 61.8,
  ("emojione", "polluted_gap"): 62.0,
  ("emojione", "polluted_core"): 62.8,
  ("fxemoji", "class_name"): 79.3,
  ("fxemoji", "local_center"): 79.3,
  ("fxemoji", "polluted_all"): 71.9,
  ("fxemoji", "polluted_gap"): 71.9,
  ("fxemoji", "polluted_core"): 73.6,
}
NEAR = 0.8  # points


@pytest.fixture(scope="module")
def folder(read_config, tmp_path_factory):
  folder = tmp_path_factory.mktemp("demo")
  config = read_config(
    "demo",
    test_sets=("emojione", "fxemoji"),
    methods=tuple(dict.fromkeys(name for _, name in MEASURED)),
    cache_dir=str(folder / "cache"),
    figure_classes=(2, 346),
  )
  experiment.run(config, str(folder / "run"))
  return folder / "run"


def test_the_table_is_that_of_the_documents(folder):
  results = json.loads((folder / "results.json").read_text("utf-8"))
  validate_results(results)
  found = {
    (row["dataset"], row["name"]): 100 * row["top1"]
    for row in results["methods"]
  }
  assert found == pytest.approx(MEASURED, abs=NEAR)
  assert [row["n"] for row in results["methods"][:1]] == [374]


def test_wrong_senses_that_were_removed_are_named(folder):
  results = json.loads((folder / "results.json").read_text("utf-8"))
  pruning = results["pruning"]
  assert pruning["wrong_total"] == 479 and pruning["right_total"] == 741
  assert abs(pruning["wrong_removed"] - 179) <= 3
  assert pruning["right_removed"] <= 2
  removed = {(row["name"], row["text"]) for row in pruning["removed"]}
  assert {("dog", "andiron"), ("gem", "muffin"), ("castle", "rook")} <= removed
  assert ("bat", "cricket bat") not in removed
  assert "Wrong and removed, such as " in (folder / "log.txt").read_text()


def test_pictures_are_of_the_classes_that_were_asked_for(folder):
  names = {path.name for path in (folder / "figures").glob("*.png")}
  assert {"accuracy.png", "barcodes.png"} <= names
  assert any(name.startswith("projection-0002-dog") for name in names)


def test_the_checkpoint_is_small():
  files = list(MODELS["s3_jax/emoji"].iterdir())
  assert sum(file.stat().st_size for file in files) < 8_000_000


def test_predict_says_what_is_drawn_and_what_the_model_knows(
  read_config, tmp_path
):
  images = tmp_path / "images"
  images.mkdir()
  for label in (2, 346):
    cell = emoji.drawings("twemoji")[label]
    generator = emoji.image_generator(1, "test", "twemoji", label, 0)
    Image.fromarray(emoji.render(cell, generator)).save(images / f"{label}.png")
  config = read_config(
    "predict",
    images=str(images),
    classes="emoji",
    model="s3_jax/emoji",
    cache_dir=str(tmp_path / "cache"),
    template="a photo of a {}.",
  )
  experiment.run(config, str(tmp_path / "run"))
  log = (tmp_path / "run" / "log.txt").read_text("utf-8")
  assert "The embedded checkpoint knows emoji only" in log
  with (tmp_path / "run" / "predictions.csv").open(encoding="utf-8") as file:
    best = {
      row["file"].rpartition("/")[2]: row["class"]
      for row in csv.DictReader(file)
      if row["rank"] == "1"
    }
  assert best == {"2.png": "dog", "346.png": "key"}
