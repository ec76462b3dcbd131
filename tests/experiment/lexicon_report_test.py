"""The lexicon report: counts, words out of place, and a page that is safe."""

import html.parser
import json

import numpy as np
import pytest

from s3_jax import experiment
from s3_jax.lexicon.synonyms import load_lexicon
from tests.lexicon import registry


@pytest.fixture
def table(tmp_path):
  """A table with a shared word, a long text and names that try to escape."""
  entries = [
    ("sofa", ["couch", "settee", "Crane"], ["soft seat"]),
    ("crane_bird", ["crane", "<script>alert(1)</script>"], ["long legs"]),
    ("umbrella", ["brolly & co", "parasol"], ["word " * 40]),
  ]
  path = tmp_path / "mine.json"
  path.write_text(
    json.dumps(
      {
        "schema": 1,
        "dataset": 'mine"><b>',
        "provenance": {"author": "<i>me</i>"},
        "classes": [
          {"index": i, "name": n, "synonyms": s, "descriptors": d}
          for i, (n, s, d) in enumerate(entries)
        ],
      }
    ),
    encoding="utf-8",
  )
  return path


class Reader(html.parser.HTMLParser):
  """Collects tags and text; entities are resolved by the parser."""

  def __init__(self):
    super().__init__()
    self.tags, self.text = [], []

  def handle_starttag(self, tag, attrs):
    del attrs
    self.tags.append(tag)

  def handle_data(self, data):
    self.text.append(data)


def test_counts_of_every_packaged_table(read_config, tmp_path):
  config = read_config("lexicon_report")
  summaries = experiment.run(config, str(tmp_path))
  assert [row["dataset"] for row in summaries] == list(registry.TABLES)
  for row in summaries:
    lexicon = load_lexicon(row["dataset"])
    assert row["classes"] == len(lexicon.classes)
    assert row["synonyms"] == sum(len(e.synonyms) for e in lexicon.classes)
    assert row["removed"] is row["truncated"] is None  # nothing to count with
  record = json.loads((tmp_path / "lexicon.json").read_text("utf-8"))
  assert record["summaries"] == summaries


def test_words_out_of_place_and_escaping(
  read_config, table, checkpoint, tmp_path
):
  config = read_config(
    "lexicon_report",
    tables=(str(table),),
    model=str(checkpoint),
    min_gap=0.0,
    min_fraction=0.3,
    cache_dir=str(tmp_path / "cache"),
  )
  (row,) = experiment.run(config, str(tmp_path / "run"))
  assert row["shared"] == 1
  assert row["truncated"] == 2  # the tag and the long text
  record = json.loads((tmp_path / "run" / "lexicon.json").read_text("utf-8"))
  (mine,) = record["tables"]
  ((shared, owners),) = mine["shared"]
  assert (shared.casefold(), owners) == ("crane", ["sofa", "crane_bird"])
  by_name = {entry["name"]: entry for entry in mine["classes"]}
  assert by_name["crane_bird"]["texts"][0] == "crane bird"
  (word,) = [
    word for word in by_name["sofa"]["nearer"] if word["text"] == "Crane"
  ]
  assert word["other_class"] == "crane_bird"
  assert word["other"] > word["own"]
  assert row["compared"] == 7
  removed = sum(len(entry["removed"]) for entry in mine["classes"])
  assert row["removed"] == removed
  cut = sum(bool(entry["removed"]) for entry in mine["classes"])
  assert row["classes_cut"] == cut
  assert len(mine["classes"]) < 8 and cut == 0  # too few classes for the rule
  page = (tmp_path / "run" / "lexicon.html").read_text("utf-8")
  reader = Reader()
  reader.feed(page)
  assert "script" not in reader.tags
  assert "b" not in reader.tags and "i" not in reader.tags
  assert "<script>alert(1)</script>" in "".join(reader.text)
  assert "brolly & co" in "".join(reader.text)


def write_names(path, vectors):
  """Writes embedded names as a user has them."""
  np.savez(path, embeddings=np.array(list(vectors.values()), np.float32))
  path.with_name("names.json").write_text(json.dumps(list(vectors)), "utf-8")


def test_names_that_are_embedded_already(read_config, table, tmp_path):
  vectors = {
    "Sofa": [1, 0, 0],
    "couch": [0.8, 0.6, 0],
    "settee": [0.6, 0.8, 0],
    "a photo of a crane bird.": [0, 1, 0],
    "crane bird": [1, 0, 0],  # the template counts first
    "umbrella": [0, 0, 1],
    "parasol": [0, 0, 1],
    "something else": [0, 0.6, 0.8],
  }
  write_names(tmp_path / "words.npz", vectors)
  config = read_config(
    "lexicon_report",
    tables=(str(table),),
    embeddings=str(tmp_path / "words.npz"),
  )
  (row,) = experiment.run(config, str(tmp_path / "run"))
  assert (row["compared"], row["nearer_to_another"]) == (3, 1)
  assert row["removed"] is row["truncated"] is None
  record = json.loads((tmp_path / "run" / "lexicon.json").read_text("utf-8"))
  (mine,) = record["tables"]
  ((word,), *others) = [entry["nearer"] for entry in mine["classes"]]
  assert others == [[], []]
  assert word == {
    "text": "settee",
    "own": pytest.approx(0.6),
    "other": pytest.approx(0.8),
    "other_class": "crane_bird",
  }
  assert "8 embedded names" in record["about"]
  page = (tmp_path / "run" / "lexicon.html").read_text("utf-8")
  assert "(0.600, but 0.800 to crane_bird)" in "".join(page.split("<wbr>"))


def test_classes_of_one_name_are_no_rivals(read_config, tmp_path):
  classes = [("missile", ["rocket"]), ("missile", ["shell"]), ("gun", [])]
  path = tmp_path / "twins.json"
  path.write_text(
    json.dumps(
      {
        "schema": 2,
        "dataset": "twins",
        "provenance": {},
        "classes": [
          {"index": i, "name": name, "synonyms": texts, "descriptors": []}
          for i, (name, texts) in enumerate(classes)
        ],
      }
    ),
    "utf-8",
  )
  vectors = {"missile": [1, 0], "rocket": [0.8, 0.6], "shell": [0.6, 0.8]}
  write_names(tmp_path / "v.npz", {**vectors, "gun": [0, 1]})
  config = read_config(
    "lexicon_report",
    tables=(str(path),),
    embeddings=str(tmp_path / "v.npz"),
  )
  (row,) = experiment.run(config, str(tmp_path / "run"))
  assert (row["compared"], row["nearer_to_another"]) == (2, 1)


@pytest.mark.parametrize(
  ("changes", "message"),
  [
    (
      {"embeddings": "a.npz", "model": "s3_jax/pictographs"},
      "`config.embeddings` must be left out beside `model`",
    ),
    ({"tables": (3,)}, "`config.tables` must hold names"),
    ({"tables": ("no such table",)}, "must be a packaged table"),
    ({"template": "a photo"}, "must hold exactly one"),
  ],
)
def test_wrong_settings_are_named(read_config, tmp_path, changes, message):
  config = read_config("lexicon_report", **changes)
  with pytest.raises(ValueError, match=message):
    experiment.run(config, str(tmp_path))
