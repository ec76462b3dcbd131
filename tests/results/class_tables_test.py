"""Single classes: order, extremes, and the list of nested facts."""

import math

import pytest

from s3_jax.results.class_tables import ClassRow, class_tables
from s3_jax.results.document import NONE
from s3_jax.results.properties import list_properties
from s3_jax.results.results_index import index_results
from tests.results.sample_results import make_results


def make(accuracies, dataset="plain"):
  return [
    ClassRow(
      dataset, method, label, f"class {label}", 0 if math.isnan(x) else 10, x
    )
    for method, values in accuracies.items()
    for label, x in enumerate(values)
  ]


def index(methods):
  return index_results(make_results(("plain", "outline"), methods), methods[0])


def names(table):
  return [row[0] for row in table.rows]


def heads(table):
  return [column.title for column in table.columns]


def shown(table):
  return [[cell.text for cell in table.shown(row)] for row in table.rows]


def extremes(tables):
  return {table.title: table for table in tables.extremes}


def test_by_hand():
  rows = make(
    {
      "class_name": [0.5, 0.1, 0.9, math.nan, 0.3],
      "center": [0.5, 0.6, 0.2, math.nan, 0.3],
    }
  )
  (table,) = class_tables(rows, index(("class_name", "center")))
  assert table.dataset == "plain"
  assert "center, the best of the other methods, beside class_name" in (
    table.about
  )
  found = extremes(table)
  for part in found.values():
    assert heads(part) == ["class", "images", "center", "class_name", "Δ"]
  assert names(found["Hardest classes"]) == [
    "class 2",
    "class 4",
    "class 0",
    "class 1",
  ]
  assert names(found["Easiest classes"]) == [
    "class 1",
    "class 0",
    "class 4",
    "class 2",
  ]
  assert shown(found["Most gained"]) == [
    ["class 1", "10", "60.0", "10.0", "+50.0"]
  ]
  assert shown(found["Most lost"]) == [
    ["class 2", "10", "20.0", "90.0", "−70.0"]
  ]
  assert heads(table.whole) == ["class", "images", "class_name", "center"]
  assert shown(table.whole)[3] == ["class 3", "0", NONE, NONE]
  assert shown(table.whole)[1] == ["class 1", "10", "10.0", "60.0"]


def test_the_best_other_method_is_looked_at():
  # Of the sample's methods local_center is the best on plain.
  methods = ("class_name", "center", "local_center")
  rows = make({method: [0.5, 0.4] for method in methods})
  (table,) = class_tables(rows, index(methods))
  assert heads(table.extremes[0])[2:4] == ["local_center", "class_name"]
  assert extremes(table)["Most gained"].rows == []


def test_equal_classes_stay_in_order_and_ten_are_enough():
  methods = ("class_name", "center")
  rows = make({method: [0.5] * 15 for method in methods})
  (table,) = class_tables(rows, index(methods))
  for title in ("Hardest classes", "Easiest classes"):
    assert names(extremes(table)[title]) == [f"class {i}" for i in range(10)]
  assert len(table.whole.rows) == 15


def test_one_method_has_no_differences():
  (table,) = class_tables(make({"center": [0.5]}), index(("center",)))
  assert heads(table.extremes[0]) == ["class", "images", "center"]
  assert list(extremes(table)) == [
    "Hardest classes",
    "Easiest classes",
  ]


def test_test_sets_in_the_order_of_the_run():
  methods = ("class_name", "center")
  rows = make({"center": [0.5]}, "outline") + make({"center": [0.5]}, "plain")
  tables = class_tables(rows, index(methods))
  assert [table.dataset for table in tables] == ["plain", "outline"]
  assert class_tables([], index(methods)) == []


@pytest.mark.parametrize(
  ("value", "text", "items"),
  [
    ("x", "x", ()),
    ("", "none", ()),
    (None, "none", ()),
    (True, "yes", ()),
    (0.5, "0.5", ()),
    ([], "none", ()),
    ({}, "none", ()),
    (["a", "b"], "a, b", ()),
    (list(range(9)), "9 entries, 0 to 8, median 4", tuple("012345678")),
    (["a"] * 9, "9 entries", ("a",) * 9),
    ([["a", "b"], []], "2 entries", ("a, b", "none")),
    ([{"a": 1, "b": None}], "1 entries", ("a: 1; b: none",)),
  ],
)
def test_properties(value, text, items):
  assert list_properties({"k": value}) == [("k", text, items)]


def test_nested_properties_carry_their_path():
  got = list_properties({"a": {"b": {"c": 1}, "d": 2}, "e": 3})
  assert [(entry.key, entry.text) for entry in got] == [
    ("a.b.c", "1"),
    ("a.d", "2"),
    ("e", "3"),
  ]
