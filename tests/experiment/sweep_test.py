"""The sweep: every choice once, best first, scored on validation images."""

import csv
import io

import numpy as np
import pytest

from s3_jax import experiment

IMAGES = 180


@pytest.fixture(scope="module")
def config(checkpoint, read_config, tmp_path_factory):
  return read_config(
    "sweep",
    model=str(checkpoint),
    metrics=("local_center", "center", "nearest_point", "complex"),
    neighbors=(1, 50),
    scales=(None, "gap", 0.0, 5),
    min_gaps=(0.0, 0.9),
    batch_size=64,
    cache_dir=str(tmp_path_factory.mktemp("sweep") / "cache"),
  )


@pytest.fixture(scope="module")
def sweep(config, make_small, tmp_path_factory):
  folder = tmp_path_factory.mktemp("folder")
  with pytest.MonkeyPatch.context() as patch:
    opened = make_small(patch)
    rows = experiment.run(config, str(folder / "run"))
  assert opened == ["validation"], "no test set is touched"
  return folder / "run", rows


def find(rows, metric, neighbors, scale, min_gap=None):
  (row,) = (
    row
    for row in rows
    if (row.metric, row.neighbors, row.scale, row.min_gap)
    == (metric, neighbors, scale, min_gap)
  )
  return row


def test_every_choice_occurs_once(sweep):
  _, rows = sweep
  scales = [(None, None), ("gap", 0.0), ("gap", 0.9), (0.0, None), (5.0, None)]
  metrics = [
    ("local_center", 1),
    ("local_center", 50),
    ("center", None),
    ("nearest_point", None),
    ("complex", None),
  ]
  choices = [
    (row.metric, row.neighbors, row.scale, row.min_gap) for row in rows
  ]
  assert len(choices) == 25
  assert set(choices) == {
    (*metric, *scale) for scale in scales for metric in metrics
  }


def test_the_best_comes_first(sweep):
  _, rows = sweep
  keys = [(row.clean, row.polluted) for row in rows]
  assert keys == sorted(keys, reverse=True)
  assert len(set(keys)) > 3
  for row in rows:
    for top1 in (row.clean, row.polluted):
      assert (top1 * IMAGES) % 1 == pytest.approx(0, abs=1e-6)


def test_limits_of_the_metrics(sweep):
  _, rows = sweep
  for scale in ((None, None), ("gap", 0.0), (0.0, None)):
    for metric, k in (("nearest_point", 1), ("center", 50)):
      one = find(rows, metric, None, *scale)
      other = find(rows, "local_center", k, *scale)
      assert (one.clean, one.polluted) == (other.clean, other.polluted)


def test_limits_of_the_scale(sweep):
  _, rows = sweep
  whole = find(rows, "center", None, None)
  wide = find(rows, "center", None, 5.0)
  assert whole.clean == wide.clean and whole.polluted == wide.polluted
  for row in (whole, wide):
    assert row.wrong_removed == row.right_removed == 0
  alone = find(rows, "center", None, 0.0)
  kept = alone.right_total + alone.wrong_total
  kept -= alone.right_removed + alone.wrong_removed
  assert kept >= 90
  assert alone.right_removed > 0.8 * (alone.right_total - 90)
  eager, shy = (find(rows, "center", None, "gap", gap) for gap in (0.0, 0.9))
  assert eager.wrong_removed + eager.right_removed > (
    shy.wrong_removed + shy.right_removed
  )


def test_the_share_of_classes_cut(sweep):
  _, rows = sweep
  whole, alone = (find(rows, "center", None, scale) for scale in (None, 0.0))
  assert whole.classes_cut == 0
  assert 0.9 < alone.classes_cut <= 1
  assert (alone.classes_cut * 90) % 1 == pytest.approx(0, abs=1e-6)


def test_a_sweep_goes_on_from_the_cache(sweep, config, make_small, tmp_path):
  _, rows = sweep

  def refused(*_, **__):
    raise AssertionError("a tower ran or an image was decoded")

  with pytest.MonkeyPatch.context() as patch:
    make_small(patch)
    for name in ("image_embedding.padded_batches", "embedder.embed_texts"):
      patch.setattr(f"s3_jax.experiment.{name}", refused)
    assert experiment.run(config, str(tmp_path / "run")) == rows


def test_a_test_set_and_other_texts(
  checkpoint, read_config, make_small, tmp_path, capsys
):
  config = read_config(
    "sweep",
    model=str(checkpoint),
    dataset="outline",
    texts=("concepts", "concepts_x_descriptors"),
    metrics=("center",),
    scales=(None,),
    cache_dir=str(tmp_path / "cache"),
  )
  with pytest.MonkeyPatch.context() as patch:
    assert make_small(patch) == []
    rows = experiment.run(config, str(tmp_path / "run"))
  assert {row.texts for row in rows} == {"concepts", "concepts_x_descriptors"}
  assert "outline is a test set: these numbers describe" in (
    capsys.readouterr().out
  )


def test_what_is_written(sweep):
  folder, rows = sweep
  files = {path.name for path in folder.iterdir()}
  assert files == {"sweep.md", "sweep.csv", "log.txt"}
  written = list(
    csv.DictReader(io.StringIO((folder / "sweep.csv").read_text()))
  )
  for row, line in zip(rows, written, strict=True):
    assert list(line) == list(row._fields)
    assert float(line["clean"]) == row.clean
    assert line["scale"] == ("" if row.scale is None else str(row.scale))
  lines = (folder / "sweep.md").read_text().splitlines()
  assert f"{IMAGES} validation images" in lines[0]
  table = [line for line in lines if line.startswith("|")]
  assert len(table) == 2 + len(rows)
  assert {line.count("|") for line in table} == {11}
  best = [cell.strip() for cell in table[2].split("|")]
  assert best[2] == rows[0].metric
  np.testing.assert_allclose(float(best[7]), 100 * rows[0].clean, atol=0.051)
