"""Words put to numbers; JSON and CSV files of predictions."""

import csv
import io
import json

import numpy as np
import pytest

from s3_jax.evaluation.predictions import Ranking
from s3_jax.results.predictions import (
  Candidate,
  ImageRow,
  read_candidates,
  write_csv,
  write_json,
)


def test_words_are_put_to_numbers():
  ranking = Ranking(
    labels=np.array([[1, 0]], np.int32),
    scores=np.array([[0.5, 0.25]], np.float32),
    probabilities=np.array([[0.75, 0.25]], np.float32),
    texts=np.array([[2, 0]], np.int32),
    cosines=np.array([[0.5, 0.125]], np.float32),
  )
  found = read_candidates(ranking, 0, ("a", "b"), (("x",), ("u", "v", "w")))
  assert found == (
    Candidate(1, "b", 0.5, 0.75, "w", 0.5),
    Candidate(0, "a", 0.25, 0.25, "x", 0.125),
  )


def rows():
  candidate = Candidate(3, "a\nb", 0.123456789, 1e-9, "=text", -0.5)
  yield ImageRow("=1.png", 12, 4, 3, (candidate, candidate), "")
  yield ImageRow("caf\udce9.png", -1, 0, 0, (), "cut off")


def test_the_csv_file_has_a_line_a_candidate(tmp_path):
  write_csv(tmp_path / "a.csv", rows())
  text = (tmp_path / "a.csv").read_text("utf-8")
  assert text.count("\n") == 4
  first, second, bad = csv.DictReader(io.StringIO(text))
  assert (first["rank"], second["rank"], bad["rank"]) == ("1", "2", "")
  assert first["file"] == "'=1.png" and first["class"] == r"a\nb"
  assert first["nearest_text"] == "'=text"
  assert (first["score"], first["probability"]) == ("0.123457", "1e-09")
  assert first["nearest_cosine"] == "-0.5"
  assert (first["width"], bad["width"]) == ("4", "")
  assert (bad["file"], bad["problem"]) == (r"caf\udce9.png", "cut off")


def test_files_say_what_is_refused_where_a_run_refuses(tmp_path):
  good, bad = rows()
  some = [
    good._replace(answered=True, names_above=0),
    good._replace(answered=False, names_above=41),
    bad,
  ]
  write_csv(tmp_path / "a.csv", some, rejects=True)
  lines = csv.DictReader(io.StringIO((tmp_path / "a.csv").read_text("utf-8")))
  assert [(line["answered"], line["names_above"]) for line in lines] == [
    *(2 * [("yes", "0")] + 2 * [("no", "41")]),
    ("", ""),
  ]
  write_json(tmp_path / "a.json", {"a": 1}, [], [*some[:2], good])
  images = json.loads((tmp_path / "a.json").read_text("utf-8"))["images"]
  assert [image.get("answered") for image in images] == [True, False, None]
  assert [image.get("names_above") for image in images] == [0, 41, None]
  assert "answered" not in images[2]


def test_the_json_file_has_a_line_an_image(tmp_path):
  path = tmp_path / "a.json"
  facts = {"config": {"images": "caf\udce9", "top": 2}, "notes": []}
  good = next(rows())
  write_json(path, facts, [{"label": 0}, {"label": 1}], [good, good])
  text = path.read_text("utf-8")
  document = json.loads(text)
  assert list(document) == ["config", "notes", "classes", "images"]
  assert document["config"] == facts["config"]
  assert document["classes"] == [{"label": 0}, {"label": 1}]
  assert document["images"][0] == document["images"][1]
  assert document["images"][0]["file"] == "=1.png"
  (first, _) = document["images"][0]["predictions"]
  assert first["class"] == "a\nb" and first["probability"] == 1e-9
  assert sum('"rank"' in line for line in text.splitlines()) == 2
  write_json(path, {"a": 1}, [], [])
  assert json.loads(path.read_text()) == {"a": 1, "classes": [], "images": []}
  with pytest.raises(ValueError, match="Out of range float"):
    write_json(path, {"a": float("nan")}, [], [])
