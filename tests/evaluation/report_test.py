"""Result files and tables: the facts, the alignment, and hostile names."""

import copy
import csv
import io
import json
import math
import os

import pytest

from s3_jax.evaluation import report
from s3_jax.evaluation.report import ClassRow

SETS = ("plain", "outline")
TOP1 = {
  "class_name": (0.50, 0.25),
  "center": (0.625, 0.75),
  "local_center": (0.75, 0.125),
}


def make_results(sets=SETS, methods=tuple(TOP1)):
  results = {
    "schema": 1,
    "config": {},
    "environment": {},
    "model": {"name": "tiny", "spec": {}, "sha256": "ab"},
    "texts": {},
    "datasets": [
      {
        "name": name,
        "split": "test",
        "classes": 2,
        "examples": 1000,
        "bad_examples": [],
      }
      for name in sets
    ],
    "methods": [],
    "comparisons": [],
    "timings": {"embed_images": 12.34, "images_per_second": 81.0},
    "counters": {"images_decoded": 2000, "tower_batches": 8, "cache": "cold"},
    "seed": 3,
  }
  for i, dataset in enumerate(sets):
    for method in methods:
      top1 = TOP1.get(method, (0.5, 0.5))[i % 2]
      results["methods"].append(
        {
          "dataset": dataset,
          "name": method,
          "top1": top1,
          "top5": 1.0,
          "mean_per_class": top1,
          "ece": 0.125,
          "ci95": [top1 - 0.02, top1 + 0.04],
          "n": 1000,
        }
      )
      if method != methods[0]:
        delta = top1 - TOP1.get(methods[0], (0.5, 0.5))[i % 2]
        results["comparisons"].append(
          {
            "dataset": dataset,
            "a": method,
            "b": methods[0],
            "delta": delta,
            "ci95": [delta - 0.01, delta + 0.015],
            "p_value": 0.0004 if delta > 0.2 else 0.0123,
          }
        )
  return results


def test_the_table_says_what_the_results_say():
  table = report.format_table(make_results(), baseline="class_name")
  lines = table.splitlines()
  rows = {line.split()[0]: line.split() for line in lines}
  assert rows["method"][:4] == ["method", "plain", "outline", "mean"]
  assert rows["class_name"][1:6] == ["50.0", "±3.0", "25.0", "±3.0", "37.5"]
  assert rows["class_name"][6:] == ["–", "–", "–"]
  assert rows["center"][1:6] == ["62.5", "±3.0", "75.0", "±3.0*", "68.8*"]
  assert rows["center"][6:] == ["+12.5", "[+11.5,", "+14.0]", "0.012", "+31.2"]
  assert rows["local_center"][1:4] == ["75.0", "±3.0*", "12.5"]
  assert rows["local_center"][6:] == [
    "+25.0",
    "[+24.0,",
    "+26.5]",
    "<0.001",
    "+6.2",
  ]
  assert "cold cache: 2,000 images decoded, 8 batches" in table
  assert "embed images 12.3 s" in table
  assert "per second" not in table
  assert "Wilson" in lines[0]


def test_columns_are_aligned_and_fit_the_screen():
  names = ("plain", "outline", "contrast", "clutter", "rendering")
  methods = (*TOP1, "random_synonym", "polluted_all", "polluted_core")
  table = report.format_table(make_results(names, methods), baseline="center")
  lines = table.splitlines()
  assert max(map(len, lines)) <= 120
  body = [line for line in lines if "±" in line][1:]
  assert len(body) == len(methods)
  for place, char in enumerate(body[0]):
    if char == "±":
      assert {line[place] for line in body} == {"±"}


def test_one_test_set_needs_no_mean():
  table = report.format_table(make_results(("plain",)), baseline="class_name")
  head = next(line for line in table.splitlines() if line[:6] == "method")
  assert "mean" not in head
  markdown = report.format_markdown(
    make_results(("plain",)), baseline="class_name"
  )
  assert "mean" not in markdown


def test_one_method_has_no_best_and_no_difference():
  table = report.format_table(
    make_results(("plain",), ("center",)), baseline="center"
  )
  assert "*" not in table.partition("\n")[2]
  assert "Δ" not in table


def test_a_method_that_skipped_a_set_has_a_dash_and_no_mean():
  results = make_results()
  results["methods"] = [
    entry
    for entry in results["methods"]
    if (entry["dataset"], entry["name"]) != ("outline", "center")
  ]
  results["comparisons"] = [
    entry
    for entry in results["comparisons"]
    if (entry["dataset"], entry["a"]) != ("outline", "center")
  ]
  table = report.format_table(results, baseline="class_name")
  row = next(x for x in table.splitlines() if x.startswith("center")).split()
  assert row[3:5] == ["–", "–"]
  assert row[-1] == "–"


def test_other_comparisons_pruning_and_bad_images_are_told():
  results = make_results()
  other = results["comparisons"][0] | {"a": "local_center", "b": "center"}
  results["comparisons"].append(other)
  results["pruning"] = {
    "wrong_total": 7,
    "wrong_removed": 5,
    "right_total": 90,
    "right_removed": 1,
  }
  results["datasets"][0]["bad_examples"] = [{"file": "x", "reason": "cut"}]
  for text in (
    report.format_table(results, baseline="class_name"),
    report.format_markdown(results, baseline="class_name"),
  ):
    assert "removed 5 of 7 wrong texts and 1 of 90 right ones" in text
    assert "local_center against center on plain: +12.5" in text
    assert "plain: 1 unreadable images left out, 1000 counted" in text


@pytest.mark.parametrize(
  ("delta", "text"),
  [(0.0, "0.0"), (-0.0004, "0.0"), (0.0004, "0.0"), (-0.021, "−2.1")],
)
def test_signs_of_differences(delta, text):
  results = make_results(("plain",))
  entry = results["comparisons"][0]
  entry |= {"delta": delta, "ci95": [delta, delta]}
  table = report.format_table(results, baseline="class_name")
  assert f"{text} [{text}, {text}]" in table


def test_the_baseline_must_be_a_method():
  for form in (report.format_table, report.format_markdown):
    with pytest.raises(ValueError, match="class_name, center.* got 'x'"):
      form(make_results(), baseline="x")


def split_row(line):
  """Splits a Markdown row at its unescaped pipes."""
  cells = line.replace("\\\\", "\0").replace("\\|", "\1").split("|")
  return [cell.strip() for cell in cells[1:-1]]


def test_markdown_holds_every_difference():
  text = report.format_markdown(make_results(), baseline="class_name")
  tables = [
    [split_row(line) for line in block.splitlines()]
    for block in text.split("\n\n")
    if block.startswith("|")
  ]
  measures, differences = tables
  assert measures[0] == ["method", "plain", "outline", "mean"]
  assert measures[3] == ["center", "62.5 ±3.0", "**75.0 ±3.0**", "**68.8**"]
  assert differences[2] == [
    "center",
    "+12.5 [+11.5, +14.0], p = 0.012",
    "+50.0 [+49.0, +51.5], p < 0.001",
    "+31.2",
  ]
  assert [row[0] for row in differences[2:]] == ["center", "local_center"]


HOSTILE = "a|b <b> [x](y) `c` *d* \\| # _e_ \x1b[31m\u202eend\nline"


def test_hostile_names_break_no_table():
  results = make_results((HOSTILE, "outline"), (HOSTILE, "center"))
  text = report.format_markdown(results, baseline=HOSTILE)
  for block in text.split("\n\n"):
    if block.startswith("|"):
      widths = {len(split_row(line)) for line in block.splitlines()}
      assert len(widths) == 1
  for raw in ("<b>", "[x](", "`c`", " *d*", " _e_", "\x1b", "\u202e"):
    assert raw not in text
  table = report.format_table(results, baseline=HOSTILE)
  assert "\x1b" not in table
  assert "\u202e" not in table
  assert "end line" in table


def write(results, tmp_path, per_class=(), baseline="class_name"):
  return report.write_report(
    results, tmp_path, baseline=baseline, per_class=per_class
  )


FILES = [
  "figures/accuracy.png",
  "results.md",
  "results.tex",
  "results.csv",
  "per_class.csv",
  "report.html",
  "results.json",
]


def list_files(folder):
  return sorted(
    path.relative_to(folder).as_posix()
    for path in folder.rglob("*")
    if path.is_file()
  )


def test_these_files_are_written_and_nothing_else(tmp_path):
  folder = tmp_path / "new"
  paths = write(make_results(), folder)
  assert [path.relative_to(folder).as_posix() for path in paths] == FILES
  assert list_files(folder) == sorted(FILES)
  for path in paths[1:]:
    assert path.read_bytes().endswith(b"\n")


def test_json_is_sorted_and_the_same_twice(tmp_path):
  results = make_results()
  *_, first = write(results, tmp_path / "a")
  shuffled = dict(reversed(list(copy.deepcopy(results).items())))
  *_, second = write(shuffled, tmp_path / "b")
  assert first.read_bytes() == second.read_bytes()
  text = first.read_text("utf-8")
  assert json.loads(text) == results
  assert list(json.loads(text)) == sorted(results)
  assert text.startswith('{\n "comparisons"')


@pytest.mark.parametrize(
  "change",
  [
    lambda r: r["methods"][0].update(ece=math.nan),
    lambda r: r.pop("seed"),
    lambda r: r["methods"][0].update(name="renamed"),
  ],
)
def test_a_broken_mapping_writes_nothing(tmp_path, change):
  results = make_results()
  change(results)
  with pytest.raises(ValueError):
    write(results, tmp_path / "new")
  assert not (tmp_path / "new").exists()


def test_csv_has_a_row_per_method_and_set(tmp_path):
  write(make_results(), tmp_path)
  text = (tmp_path / "results.csv").read_text("utf-8")
  rows = list(csv.DictReader(io.StringIO(text)))
  assert len(rows) == 6
  first, second = rows[0], rows[1]
  assert (first["method"], first["baseline"], first["delta"]) == (
    "class_name",
    "",
    "",
  )
  assert (second["dataset"], second["split"]) == ("plain", "test")
  assert float(second["top1"]) == 0.625
  assert float(second["ci95_high"]) == 0.665
  assert float(second["delta"]) == 0.125
  assert second["baseline"] == "class_name"
  assert float(second["p_value"]) == 0.0123


FORMULAS = [
  "=1+1",
  "+cmd",
  "-2",
  "@SUM(A1)",
  "\t=1",
  "  =1",
  "\r\n=1",
  "＝1",  # noqa: RUF001
  "\u00a0=1",
]


@pytest.mark.parametrize("name", FORMULAS)
def test_names_that_look_like_formulas_are_defused(tmp_path, name):
  rows = [ClassRow("plain", "center", 0, name, 4, 0.5)]
  write(make_results(), tmp_path, rows)
  text = (tmp_path / "per_class.csv").read_text("utf-8")
  (row,) = csv.DictReader(io.StringIO(text))
  assert row["class_name"].startswith("'")
  assert len(text.splitlines()) == 2


def test_harmless_names_and_numbers_stay(tmp_path):
  rows = [
    ClassRow("plain", "center", 0, 'tea, "cup" | é', 4, 0.25),
    ClassRow("plain", "center", 1, "", 0, math.nan),
    ClassRow("plain", "center", 2, "F-16A/B", 3, 0.0),
  ]
  results = make_results()
  results["comparisons"][0] |= {"delta": -0.25, "ci95": [-0.5, 0.0]}
  write(results, tmp_path, rows)
  text = (tmp_path / "per_class.csv").read_text("utf-8")
  first, second, third = csv.DictReader(io.StringIO(text))
  assert first["class_name"] == 'tea, "cup" | é'
  assert float(first["accuracy"]) == 0.25
  assert (second["accuracy"], second["n"]) == ("", "0")
  assert (third["class_name"], third["label"]) == ("F-16A/B", "2")
  numbers = (tmp_path / "results.csv").read_text("utf-8")
  assert ",-0.25,-0.5,0.0," in numbers


@pytest.mark.skipif(os.name != "posix", reason="permission bits")
def test_an_unwritable_workdir_is_an_os_error(tmp_path):
  (tmp_path / "file").write_text("x")
  with pytest.raises(OSError):
    write(make_results(), tmp_path / "file")
