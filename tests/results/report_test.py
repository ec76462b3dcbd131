"""Result files and tables: the facts, the alignment, and hostile names."""

import copy
import csv
import io
import json
import math
import os
import re
import shutil
import subprocess

import numpy as np
import pytest

from s3_jax.results import report
from s3_jax.results.renderers import to_markdown
from s3_jax.results.report import ClassRow
from s3_jax.results.run_tables import run_tables
from s3_jax.results.schema import plain, read_results
from tests.results.sample_results import (
  HOSTILE_NAMES,
  TOP1,
  make_classes,
  make_everything,
  make_pixels,
  make_results,
)


def format_markdown(results, *, baseline):
  return "\n".join(map(to_markdown, run_tables(results, baseline)))


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
  for index, char in enumerate(body[0]):
    if char == "±":
      assert {line[index] for line in body} == {"±"}


def test_one_test_set_needs_no_mean():
  table = report.format_table(make_results(("plain",)), baseline="class_name")
  head = next(line for line in table.splitlines() if line[:6] == "method")
  assert "mean" not in head
  markdown = format_markdown(make_results(("plain",)), baseline="class_name")
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
    "removed": [
      {"name": "bat", "text": "cricket bat", "wrong": True},
      {"name": "bat", "text": "chiropteran", "wrong": False},
      {"name": "dog", "text": "andiron", "wrong": True},
    ],
  }
  results["datasets"][0]["bad_examples"] = [{"file": "x", "reason": "cut"}]
  for text in (
    report.format_table(results, baseline="class_name"),
    format_markdown(results, baseline="class_name"),
  ):
    assert "removed 5 of 7 wrong texts and 1 of 90 right ones" in text
    assert "such as bat: cricket bat; dog: andiron, ... (all" in text
    assert "local_center against center on plain: +12.5" in text
    assert "plain: 1 unreadable image left out, 999 counted" in text


def test_the_baseline_must_be_a_method():
  for form in (report.format_table, format_markdown):
    with pytest.raises(ValueError, match="class_name, center.* got 'x'"):
      form(make_results(), baseline="x")


def split_row(line):
  """Splits a Markdown row at its unescaped pipes."""
  cells = line.replace("\\\\", "\0").replace("\\|", "\1").split("|")
  return [cell.strip() for cell in cells[1:-1]]


def test_markdown_holds_every_difference():
  text = format_markdown(make_results(), baseline="class_name")
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
  text = format_markdown(results, baseline=HOSTILE)
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


@pytest.fixture(scope="module")
def everything(tmp_path_factory):
  """A run of many methods with all parts and names that mean harm."""
  methods = ("class_name", "local_center", *HOSTILE_NAMES)
  results, confusions = make_everything(("dtd", HOSTILE_NAMES[2]), methods)
  folder = tmp_path_factory.mktemp("everything") / "run"
  paths = report.write_report(
    results,
    folder,
    baseline="class_name",
    per_class=make_classes(results, HOSTILE_NAMES),
    confusion=confusions,
  )
  return results, confusions, folder, paths


def test_every_file_stays_in_the_folder(everything):
  _, confusions, folder, paths = everything
  found = list_files(folder.parent)
  assert found == sorted(str(p.relative_to(folder.parent)) for p in paths)
  figures = [name for name in found if name.startswith("run/figures/")]
  assert len(figures) == 1 + 2 + len(confusions)
  for name in figures:
    assert re.fullmatch(r"run/figures/[a-z0-9-]+\.png", name)
  assert paths[-1] == folder / "results.json"
  names = {path.name for path in paths}
  assert names >= {"confusion.csv", "results.tex", "report.html"}


def test_confusions_come_back_from_the_csv(everything):
  _, confusions, folder, _ = everything
  text = (folder / "confusion.csv").read_text("utf-8")
  rows = list(csv.DictReader(io.StringIO(text)))
  assert list(rows[0]) == ["dataset", "method", "label", "predicted", "count"]
  assert all(int(row["count"]) > 0 for row in rows)
  for confusion in confusions:
    counts = np.zeros_like(confusion.counts)
    for row in rows:
      key = (row["dataset"], row["method"])
      if key == (confusion.dataset, confusion.method):
        counts[int(row["label"]), int(row["predicted"])] = int(row["count"])
    np.testing.assert_array_equal(counts, confusion.counts)


def test_results_come_back_from_the_json(everything):
  results, _, folder, _ = everything
  again = read_results(folder)
  assert again == read_results(folder / "results.json") == plain(results)
  assert again["datasets"][0]["bad_examples"][-2]["file"].endswith("\\udcff")


def test_no_cell_of_a_csv_is_a_formula(everything):
  _, _, folder, _ = everything
  for name in ("results.csv", "per_class.csv", "confusion.csv"):
    text = (folder / name).read_text("utf-8")
    for row in csv.reader(io.StringIO(text)):
      for cell in row:
        number = re.fullmatch(r"-?[0-9.]+(e-?[0-9]+)?", cell)
        assert number or not cell.lstrip().startswith(("=", "+", "-", "@"))


def test_both_intervals_are_in_the_csv(everything):
  _, _, folder, _ = everything
  text = (folder / "results.csv").read_text("utf-8")
  first, second, *_ = csv.DictReader(io.StringIO(text))
  assert first["bootstrap_ci95_low"] == "0.471"
  assert first["bootstrap_ci95_high"] == "0.543"
  assert second["bootstrap_ci95_low"] == second["bootstrap_ci95_high"] == ""


def test_tables_say_what_was_left_out_and_met(everything):
  results, _, folder, _ = everything
  table = report.format_table(results, baseline="class_name")
  markdown = (folder / "results.md").read_text("utf-8")
  latex = (folder / "results.tex").read_text("utf-8")
  for text in (table, markdown, latex):
    assert "published for class_name on dtd: 50.00 ±0.3" in text
    assert "NOT MET" in text
    assert "not comparable" in text
    assert "absent skipped: " in text
    assert "dtd: 15 unreadable images left out" in text
  assert "## Fine-grained" in markdown
  assert "Published elsewhere, not measured here" in markdown


@pytest.mark.skipif(not shutil.which("pdflatex"), reason="no pdflatex here")
@pytest.mark.parametrize("package", ["", r"\usepackage{booktabs}"])
def test_latex_takes_the_tables(everything, tmp_path, package):
  _, _, folder, _ = everything
  latex = (folder / "results.tex").read_text("utf-8")
  # pdfLaTeX's fonts have no Arabic, which the last of the names is.
  latex = re.sub("[\u0600-\u06ff]", "", latex)
  (tmp_path / "paper.tex").write_text(
    rf"\documentclass{{article}}{package}\begin{{document}}\tiny{latex}"
    r"\end{document}",
    "utf-8",
  )
  command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error"]
  done = subprocess.run(
    [*command, "-draftmode", "paper.tex"],
    cwd=tmp_path,
    capture_output=True,
    timeout=120,
    check=False,
  )
  assert not done.returncode, done.stdout[-2000:]


def test_a_confusion_of_nobody_is_refused(tmp_path):
  _, (confusion, *_) = make_everything()
  with pytest.raises(ValueError, match="got 'other' on 'plain'"):
    report.write_report(
      make_results(),
      tmp_path / "new",
      baseline="class_name",
      per_class=[],
      confusion=[confusion._replace(method="other")],
    )
  assert not (tmp_path / "new").exists()


def test_the_files_are_the_same_twice(tmp_path):
  results, confusions = make_everything(("plain",), ("class_name",))
  for name in "ab":
    report.write_report(
      results,
      tmp_path / name,
      baseline="class_name",
      per_class=make_classes(results, HOSTILE_NAMES),
      confusion=confusions,
    )
  names = list_files(tmp_path / "a")
  assert names == list_files(tmp_path / "b")
  for name in names:
    first = (tmp_path / "a" / name).read_bytes()
    assert first == (tmp_path / "b" / name).read_bytes(), name


def test_many_test_sets_stand_in_several_tables():
  names = tuple(f"set{i}" for i in range(12))
  table = report.format_table(make_results(names), baseline="class_name")
  lines = table.splitlines()
  heads = [line.split() for line in lines if line.startswith("method")]
  assert [head[1:] for head in heads[:2]] == [
    [f"set{i}" for i in range(5)],
    [f"set{i}" for i in range(5, 10)],
  ]
  assert heads[2][1:4] == ["set10", "set11", "mean"]
  assert len([line for line in lines if line.startswith("center ")]) == 3
  assert max(map(len, lines)) <= 130


@pytest.mark.skipif(os.name != "posix", reason="permission bits")
def test_an_unwritable_workdir_is_an_os_error(tmp_path):
  (tmp_path / "file").write_text("x")
  with pytest.raises(OSError):
    write(make_results(), tmp_path / "file")


def test_labelled_pixels_have_the_same_files(tmp_path):
  results = make_pixels(("dtd", "outline"))
  rows = [ClassRow("dtd", "center", 0, "sky", 10, 0.25)]
  paths = write(results, tmp_path, rows)
  assert [path.relative_to(tmp_path).as_posix() for path in paths] == FILES
  table = report.format_table(results, baseline="class_name")
  assert "Mean IoU in %, ± half of the 95 % bootstrap interval" in table
  line = next(x for x in table.splitlines() if x.startswith("center")).split()
  assert line == ["center", "62.5", "±3.0", "75.0", "±3.0*", "68.8*"]
  assert "Fine-grained" not in (tmp_path / "results.md").read_text("utf-8")
  page = (tmp_path / "report.html").read_text("utf-8")
  for text in ("Mean IoU", "pixel accuracy", "87.50", "[85.00, 90.00]"):
    assert text in page
  text = (tmp_path / "results.csv").read_text("utf-8")
  first, *_ = csv.DictReader(io.StringIO(text))
  assert (first["top1"], first["ece"]) == ("", "")
  assert (first["miou"], first["pixel_accuracy"]) == ("0.5", "0.875")
  assert first["ci95_low"] == "0.48"


def test_the_page_of_the_files_names_every_column_and_key(repository):
  page = (repository / "docs" / "RESULT_FILES.md").read_text("utf-8")
  named = set(re.findall(r"`([^`]*)`", page))
  results, _ = make_everything()
  heads = (report._CSV_HEAD, report._CONFUSION_HEAD, ClassRow._fields)
  assert {column for head in heads for column in head} <= named
  assert set(results) <= named
  for part in ("datasets", "methods", "comparisons"):
    assert set(results[part][0]) <= named
  assert set(make_pixels()["methods"][0]) <= named
  for part in ("published", "expectations", "skipped"):
    assert set(results[part][0]) <= named
  assert set(FILES) - {"figures/accuracy.png"} <= named


def partial_results(counted, published, *, bad=0):
  """Of the first test set other images were counted than were published."""
  results = make_results()
  entry = results["datasets"][0]
  entry["published_examples"] = published
  entry["examples"] = counted + bad
  entry["bad_examples"] = [
    {"file": f"{number}.png", "reason": "absent"} for number in range(bad)
  ]
  return results


def written(results, folder):
  """Writes all files; returns the tables in each form."""
  report.write_report(
    results, folder, baseline="class_name", per_class=make_classes(results, "a")
  )
  files = ("results.md", "results.tex", "report.html")
  return [
    report.format_table(results, baseline="class_name"),
    *((folder / name).read_text("utf-8") for name in files),
  ]


@pytest.mark.parametrize("bad", [0, 904], ids=["fewer listed", "absent files"])
def test_part_of_a_test_set_is_marked_in_every_table(tmp_path, bad):
  """96 of 50,000, listed so or with the rest absent."""
  published = 96 + (bad or 49_904)
  results = partial_results(96, published, bad=bad)
  for form in written(results, tmp_path):
    mark = r"$\dagger$" if "begin{tabular}" in form else "†"
    assert f"96 of {published:,}" in form
    assert "96 to 1,000 images a test set" in form
    for value in ("50.0", "62.5"):
      cell = re.search(rf"{value} (±|\$\\pm\$ ?)3.0(\S*)", form)
      assert cell and mark in cell[2], (value, cell)
    second = re.search(r"12.5 (±|\$\\pm\$ ?)3.0(\S*)", form)
    assert second and mark not in second[2]
    assert re.search(rf"37\.5{re.escape(mark)}", form), "the mean has a part"
    assert re.search(rf"\+14\.0(\]|{{\]}}){re.escape(mark)}", form), form


def test_whole_test_sets_have_no_mark(tmp_path):
  for form in written(partial_results(1000, 1000), tmp_path):
    assert "†" not in form and "dagger" not in form
    assert "1,000 images a test set" in form
