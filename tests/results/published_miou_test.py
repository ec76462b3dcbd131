"""Published mean IoUs beside measured ones, and whether a run meets them."""

import pytest

from s3_jax.results.published_miou import (
  PUBLISHED_MIOU,
  SEGMENTATION,
  check_miou,
  published_miou_rows,
)
from s3_jax.results.renderers import to_markdown
from s3_jax.results.suite_table import suite_tables

MODEL = "openai/clip-vit-base-patch16"


def results(*entries):
  return {
    "model": {"name": MODEL},
    "datasets": [{"name": name} for name, _, _ in entries],
    "methods": [
      {"dataset": dataset, "name": name, "miou": miou}
      for dataset, name, miou in entries
    ],
    "published": published_miou_rows(MODEL, SEGMENTATION),
  }


def test_figures_are_percent_and_say_their_source():
  for row in PUBLISHED_MIOU:
    assert row.miou and set(row.miou) <= set(SEGMENTATION) and row.source
    assert all(1 < value < 100 for value in row.miou.values())
    assert "S³" not in row.method
  assert published_miou_rows("s3_jax/pictographs", SEGMENTATION) == []
  (row,) = [
    row
    for row in published_miou_rows(MODEL, ["voc21"])
    if row["method"] == "SCLIP, its repository"
  ]
  assert row["miou"] == 0.5963 and row["kind"] == "published"


def test_the_protocol_s_baseline_is_compared():
  run = results(
    ("voc21", "names_max", 0.6),
    ("voc20", "names_max", 0.7),
    ("ade20k", "names_max", 0.1645),
    ("voc21", "s3", 0.6),
  )
  rows = check_miou(run, protocol="sclip", notes={"ade20k": "half of it"})
  met = {row["dataset"]: row["met"] for row in rows}
  assert met == {"voc21": True, "voc20": False, "ade20k": None}
  assert rows[2]["note"] == "half of it"
  assert check_miou(run, protocol="clearclip", notes={}) == []
  assert check_miou(run, protocol="", notes={}) == []
  run["model"]["name"] = "tiny"
  assert check_miou(run, protocol="sclip", notes={}) == []


def test_the_table_of_papers_averages_whole_rows_alone():
  run = results(*((name, "s3", 0.25) for name in SEGMENTATION))
  (table,) = suite_tables(run)
  assert [column.title for column in table.columns] == [
    *("method", "VOC21", "Context60", "Object", "VOC20", "Context59"),
    *("Stuff", "City", "ADE", "Average"),
  ]
  assert str(table.rows[0][-1]) == "25.00"
  rows = {
    row[0]: [cell.text for cell in table.shown(row)[1:]] for row in table.apart
  }
  sclip = rows["SCLIP, its repository"]
  assert sclip[0] == "59.63"
  assert float(sclip[-1]) == pytest.approx(39.06, abs=0.01)
  assert rows["NACLIP"][-1] == "–" and rows["NACLIP"][5] == "–"
  (table,) = suite_tables(results(("voc21", "s3", 0.5)))
  text = to_markdown(table)
  assert "Published elsewhere, not measured here:" in text
  assert "README of SCLIP's repository" in text
