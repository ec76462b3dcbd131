"""The table of the fifteen benchmarks: averages, dashes, published rows."""

import numpy as np
import pytest

from s3_jax.results.document import NONE
from s3_jax.results.published_tables import FINE_GRAINED, IMAGENET
from s3_jax.results.renderers import to_latex, to_markdown, to_text
from s3_jax.results.suite_table import suite_tables
from tests.results.sample_results import HOSTILE_NAMES

METHODS = ("class_name", "s3")


def make_suite(sets, methods=METHODS, published=()):
  rng = np.random.default_rng(0)
  return {
    "datasets": [{"name": name} for name in sets],
    "methods": [
      {"dataset": name, "name": method, "top1": float(rng.random())}
      for name in sets
      for method in methods
    ],
    "published": list(published),
  }


def published(method, dataset, top1, source="a paper"):
  return {
    "dataset": dataset,
    "method": method,
    "top1": top1,
    "source": source,
  }


def top1(results, method):
  return {
    entry["dataset"]: 100 * entry["top1"]
    for entry in results["methods"]
    if entry["name"] == method
  }


FORMS = (to_text, to_markdown, to_latex)


def written(form, results):
  return "".join(map(form, suite_tables(results)))


def heads(table):
  return [column.title for column in table.columns]


def shown(table, rows):
  """Rows as texts, the best with an asterisk."""
  return [
    [cell.text + "*" * bool(cell.mark) for cell in table.shown(row)]
    for row in rows
  ]


def number(text):
  return float(text.rstrip("*"))


def test_columns_and_averages_are_those_of_papers():
  results = make_suite((*FINE_GRAINED[::-1], *IMAGENET))
  imagenet, fine = suite_tables(results)
  assert heads(imagenet)[1:] == [
    "ImageNet",
    "-A",
    "-V2",
    "-R",
    "-Sketch",
    "Average",
    "OOD",
  ]
  assert heads(fine)[-2:] == ["UCF", "Average"]
  assert len(heads(fine)) == 12
  for table, names in ((imagenet, IMAGENET), (fine, FINE_GRAINED)):
    assert [row[0] for row in shown(table, table.rows)] == list(METHODS)
    for row in shown(table, table.rows):
      expected = [top1(results, row[0])[name] for name in names]
      got = [number(cell) for cell in row[1:]]
      assert got[: len(names)] == pytest.approx(expected, abs=0.006)
      assert got[len(names)] == pytest.approx(np.mean(expected), abs=0.006)
      if table is imagenet:
        assert got[-1] == pytest.approx(np.mean(expected[1:]), abs=0.006)


def test_the_best_of_each_column_is_marked():
  results = make_suite(IMAGENET, ("a", "b", "c"))
  (table,) = suite_tables(results)
  for index in range(1, len(heads(table))):
    column = [row[index] for row in shown(table, table.rows)]
    best = max(map(number, column))
    assert [cell.endswith("*") for cell in column] == [
      number(cell) == best for cell in column
    ]


@pytest.mark.parametrize("missing", [*IMAGENET, *FINE_GRAINED])
def test_no_average_over_other_sets(missing):
  sets = [name for name in (*IMAGENET, *FINE_GRAINED) if name != missing]
  imagenet, fine = suite_tables(make_suite(sets))
  for table in (imagenet, fine):
    whole = missing not in (IMAGENET if table is imagenet else FINE_GRAINED)
    for row in shown(table, table.rows):
      dashes = [
        title
        for title, cell in zip(heads(table), row, strict=True)
        if cell == NONE
      ]
      if whole:
        assert dashes == []
      elif missing == "imagenet":
        assert dashes == ["ImageNet", "Average"]
      else:
        averages = ["Average", "OOD"] if table is imagenet else ["Average"]
        assert dashes[1:] == averages
    assert "only where all of its sets were measured" in " ".join(table.caption)


def test_a_method_that_skipped_a_set_has_a_dash():
  results = make_suite(IMAGENET)
  results["methods"] = results["methods"][1:]
  (table,) = suite_tables(results)
  rows = {row[0]: row for row in shown(table, table.rows)}
  assert rows["class_name"][1] == rows["class_name"][-2] == NONE
  assert number(rows["class_name"][-1]) > 0
  assert NONE not in rows["s3"]


def test_groups_without_a_measured_set_have_no_table():
  rows = [published("CLIP", "dtd", 0.44)]
  (table,) = suite_tables(make_suite(("imagenet", "own"), published=rows))
  assert table.title == "ImageNet family"
  assert table.apart == []
  assert suite_tables(make_suite(("own",), published=rows)) == []


ROWS = [
  *(published("CLIP", name, 0.1 * i) for i, name in enumerate(IMAGENET)),
  published("half", "imagenet_r", 0.5, "one"),
  published("half", "imagenet_a", 0.6, "two"),
  published("CLIP", "dtd", 0.9, "of another group"),
]


def test_published_rows_stand_apart():
  (table,) = suite_tables(make_suite(IMAGENET, published=ROWS))
  assert [row[0] for row in shown(table, table.apart)] == ["CLIP", "half"]
  clip, half = shown(table, table.apart)
  assert [number(cell) for cell in clip[1:]] == [0, 10, 20, 30, 40, 20, 25]
  assert not any(
    "*" in cell for row in shown(table, table.apart) for cell in row
  )
  assert half.count(NONE) == 5
  assert table.notes == ["CLIP: a paper", "half: one", "half: two"]


@pytest.mark.parametrize("form", FORMS)
def test_every_form_marks_what_is_published(form):
  text = written(form, make_suite(IMAGENET, published=ROWS))
  mark = text.lower().index("published elsewhere, not measured here")
  assert text.index("s3") < mark
  assert text.rindex("CLIP") > mark
  assert "25.00" in text
  assert (
    "published elsewhere" not in written(form, make_suite(IMAGENET)).lower()
  )


def test_hostile_names():
  rows = [published(name, "dtd", 0.5, name) for name in HOSTILE_NAMES]
  results = make_suite(("dtd",), HOSTILE_NAMES, rows)
  for form in FORMS:
    text = written(form, results)
    text.encode("utf-8")
    assert not set(text) & set("\x00\x1b\u202e")
  for line in written(to_latex, results).splitlines():
    if not line.startswith(("%", "\\begin", "\\end", "\\multi")):
      assert line.endswith((r"\\", "rule"))
      cells = line.replace(r"\&", "")
      assert cells.count("&") in (0, 11)
  for line in written(to_markdown, results).splitlines():
    if line.startswith("|"):
      bare = line.replace("\\\\", "").replace("\\|", "")
      assert bare.count("|") == 13


@pytest.mark.parametrize(
  ("form", "mark"),
  [(to_text, "†"), (to_markdown, "†"), (to_latex, r"$\dagger$")],
)
def test_part_of_a_set_marks_its_column_and_the_averages(form, mark):
  results = make_suite(IMAGENET)
  for entry in results["datasets"]:
    whole = entry["name"] != "imagenet_r"
    entry["published_examples"] = 30_000
    entry["examples"] = 30_000 if whole else 96
    entry["bad_examples"] = []
  (table,) = suite_tables(results)
  column = heads(table).index("-R")
  for row in shown(table, table.rows):
    marked = [index for index, cell in enumerate(row) if "†" in cell]
    # Itself, the average of all, and that of the four shifts.
    assert marked == [column, len(row) - 2, len(row) - 1]
  assert "-R 96 of 30,000" in written(form, results)
  assert written(form, results).count(mark) >= 3 * len(METHODS)
  for entry in results["datasets"]:
    entry["examples"] = 30_000
  assert mark not in written(form, results)


def test_averages_without_a_partial_set_have_no_mark():
  results = make_suite(IMAGENET)
  for entry in results["datasets"]:
    entry["published_examples"] = 50_000
    entry["examples"] = 50_000
    whole = entry["name"] != "imagenet"
    entry["bad_examples"] = [] if whole else [{"file": "a", "reason": "b"}]
  (table,) = suite_tables(results)
  for row in shown(table, table.rows):
    assert "†" in row[1] and "†" in row[-2] and "†" not in row[-1]


def test_published_rows_are_whole():
  rows = [published("theirs", name, 0.5) for name in IMAGENET]
  results = make_suite(IMAGENET, published=rows)
  for entry in results["datasets"]:
    entry.update(published_examples=9, examples=8, bad_examples=[])
  (table,) = suite_tables(results)
  assert not any(
    "†" in cell for row in shown(table, table.apart) for cell in row
  )
