"""Methods that learn from the stream, in runs: rows, orders, tables, hosts."""

import numpy as np
import pytest

from s3_jax import experiment
from s3_jax.adaptation import dmn_scores, tda_scores
from s3_jax.experiment.methods.streams import (
  STREAM_METHODS,
  order_of_arrival,
  stream_rows,
)
from s3_jax.results.results_index import index_results
from s3_jax.results.run_tables import STREAMS, difference_table, measure_table
from s3_jax.results.schema import validate_results
from s3_jax.results.suite_table import suite_tables
from tests.experiment.embeddings_test import drawn, files  # noqa: F401

METHODS = ("class_name", "synonyms_mean", "s3", *STREAM_METHODS)


@pytest.fixture(scope="module")
def read(read_config, files):  # noqa: F811
  def read(**changes):
    return read_config(
      "embeddings",
      **{
        "images": str(files / "images.npz"),
        "texts": str(files / "texts.npz"),
        "mesh": 1,
        "metric": "center",
        "scale": None,
        "methods": METHODS,
        "order_seeds": (3, 0),
        **changes,
      },
    )

  return read


@pytest.fixture(scope="module")
def results(read, tmp_path_factory):
  folder = tmp_path_factory.mktemp("streams")
  return experiment.run(read(), str(folder)), folder


def unit(x):
  return x / np.linalg.norm(x, axis=1, keepdims=True)


def by_hand(name, seed):
  """Predicts as the row should, image after image, in the seed's order."""
  images, labels, texts, index = drawn()
  images, texts = unit(images), unit(texts)
  if name.endswith("_s3"):
    vectors = np.array([texts[index == label].mean(0) for label in range(6)])
  else:
    vectors = np.array([texts[index == label][0] for label in range(6)])
  vectors = unit(vectors)
  order = np.random.default_rng(seed).permutation(len(images))
  scores = images @ vectors.T
  if name.startswith("tda"):
    found, _ = tda_scores(images[order], scores[order], np.log(100.0))
  else:
    found, _ = dmn_scores(images[order], scores[order], vectors, np.log(100.0))
  predicted = np.empty(len(images), int)
  predicted[order] = np.asarray(found).argmax(1)
  return (predicted == labels).mean()


def test_rows_of_every_order(results):
  found, _ = results
  validate_results(found)
  rows = {row["name"]: row for row in found["methods"]}
  for name in STREAM_METHODS:
    for row, seed in {name: 3, f"{name}, order 0": 0}.items():
      assert rows[row]["order_seed"] == seed
      assert rows[row]["top1"] == pytest.approx(by_hand(name, seed))
      assert rows[row]["n"] == 90
  assert all("order_seed" not in rows[name] for name in METHODS[:3])


def test_one_order_for_all_and_another_for_another_seed():
  first = order_of_arrival(500, 0)
  np.testing.assert_array_equal(first, order_of_arrival(500, 0))
  assert sorted(first) == list(range(500))
  assert (first != order_of_arrival(500, 1)).any()
  # Of numpy's generator, and so the same on every machine.
  assert order_of_arrival(6, 0).tolist() == [3, 2, 5, 4, 0, 1]
  assert stream_rows("tda", (4, 7)) == {"tda": 4, "tda, order 7": 7}


def test_tables_have_a_line_between_them(results):
  found, folder = results
  index = index_results(found, "class_name")
  for table in (measure_table(index), difference_table(index)):
    names = [row[0] for row in table.apart]
    assert names == [
      row for name in STREAM_METHODS for row in (name, f"{name}, order 0")
    ]
    assert not set(names) & {row[0] for row in table.rows}
    assert table.apart_title == STREAMS
  for page in ("results.md", "report.html"):
    assert STREAMS in (folder / page).read_text()


def test_tables_of_suites_say_which_they_are(results):
  found, _ = results
  rows = [{**row, "dataset": "dtd"} for row in found["methods"]]
  datasets = [{**found["datasets"][0], "name": "dtd"}]
  (table,) = suite_tables({**found, "methods": rows, "datasets": datasets})
  names = [row[0] for row in table.rows]
  assert names[:3] == list(METHODS[:3])
  assert "tda (stream)" in names and "dmn_s3, order 0 (stream)" in names


def test_a_run_again_gives_the_same_bits(read, results, tmp_path):
  again = experiment.run(read(), str(tmp_path))
  assert again["methods"] == results[0]["methods"]


@pytest.mark.parametrize("seeds", [(), (1, 1), (-1,), ("a",)])
def test_seeds_are_different_whole_numbers(read, tmp_path, seeds):
  with pytest.raises(ValueError, match="order_seeds"):
    experiment.run(read(order_seeds=seeds), str(tmp_path))
