"""Runs side by side: differences, pairs of images, and what else differs."""

import copy
import csv
import io

import numpy as np
import pytest

from s3_jax.evaluation.statistics import newcombe_interval, paired_comparison
from s3_jax.results.comparison import (
  Run,
  changes_between,
  compare_runs,
  label_runs,
  settings_that_differ,
)
from s3_jax.results.comparison_tables import (
  comparison_csv,
  comparison_latex,
  comparison_markdown,
  comparison_text,
)
from s3_jax.results.predictions_table import Answers, read_answers
from tests.results.sample_results import (
  HOSTILE_NAMES,
  make_pixels,
  make_results,
)

FORMS = (comparison_text, comparison_markdown, comparison_latex)


@pytest.mark.parametrize(
  ("names", "labels"),
  [
    (["a", "b"], ["a", "b"]),
    (["a", "b", "a"], ["a (1)", "b", "a (3)"]),
    (["", ""], ["run (1)", "run (2)"]),
    (["a", "a", "a (2)"], ["a (1)", "a (2)", "a (2)'"]),
    (["a (2)", "x", "a", "a"], ["a (2)", "x", "a (3)", "a (4)"]),
  ],
)
def test_labels(names, labels):
  assert label_runs(names) == labels
  assert len(set(labels)) == len(labels)


def make_answers(results, seed):
  """Answers whose accuracies are those of the results, image by image."""
  rng = np.random.default_rng(seed)
  answers = {}
  for dataset in (entry["name"] for entry in results["datasets"]):
    correct = {}
    for entry in results["methods"]:
      if entry["dataset"] == dataset:
        right = round(entry["top1"] * entry["n"])
        correct[entry["name"]] = rng.permutation(np.arange(1000) < right)
    images = tuple((f"{i}.jpg", str(i % 2)) for i in range(1000))
    answers[dataset] = Answers(images, correct)
  return answers


def make_runs(*, paired):
  first, second = make_results(), make_results()
  for entry in second["methods"]:
    entry["top1"] += 0.02
  runs = []
  for index, results in enumerate((first, second)):
    answers = make_answers(results, index) if paired else {}
    runs.append(Run(f"run{index}", results, answers))
  return runs


def test_unpaired_changes_are_newcombes():
  changes = changes_between(*make_runs(paired=False), seed=0)
  assert len(changes) == 6
  by_name = {(c.dataset, c.method): c for c in changes}
  change = by_name["plain", "center"]
  assert change.delta == pytest.approx(0.02)
  assert change.ci95 == newcombe_interval(645, 1000, 625, 1000)
  assert change.p_value is None
  assert change.run == "run1"


def test_paired_changes_are_those_of_the_same_images():
  first, second = make_runs(paired=True)
  for change in changes_between(first, second, seed=4):
    expected = paired_comparison(
      second.answers[change.dataset].correct[change.method],
      first.answers[change.dataset].correct[change.method],
      seed=4,
    )
    assert change.delta == expected.delta == pytest.approx(0.02)
    assert change.ci95 == expected.ci95
    assert change.p_value == expected.p_value


@pytest.mark.parametrize("what", ["order", "label", "method", "dataset"])
def test_other_images_are_not_paired(what):
  first, second = make_runs(paired=True)
  answers = dict(second.answers)
  images, correct = answers["plain"]
  if what == "order":
    answers["plain"] = Answers(images[::-1], correct)
  elif what == "label":
    answers["plain"] = Answers((("0.jpg", "1"), *images[1:]), correct)
  elif what == "method":
    del correct["center"]
  else:
    del answers["plain"]
  changes = changes_between(first, second._replace(answers=answers), seed=0)
  p_values = {(c.dataset, c.method): c.p_value for c in changes}
  assert p_values["plain", "center"] is None
  assert p_values["outline", "center"] is not None


def test_methods_of_one_run_alone_have_no_change():
  first, second = make_runs(paired=False)
  second.results["methods"][1]["name"] = "new"
  changes = changes_between(first, second, seed=0)
  assert ("plain", "new") not in {(c.dataset, c.method) for c in changes}
  assert len(changes) == 5


def test_what_differs_is_told_and_nothing_else():
  first, second = make_runs(paired=False)
  assert settings_that_differ([first, first]) == []
  results = second.results
  results["model"]["sha256"] = "cd"
  results["texts"]["sha256"] = "ef"
  results["config"] = {"k": list(range(20))}
  results["datasets"][0]["examples"] = 990
  results["datasets"][1]["bad_examples"] = [{"file": "x", "reason": "y"}]
  results["environment"] = {"versions": {"jax": "1"}}
  results["timings"] = {"embed_images": 99.0}
  results["counters"] = {**results["counters"], "cache": "warm"}
  results["seed"] = 4
  assert settings_that_differ([first, second]) == [
    ("model.sha256", ["ab", "cd"]),
    ("seed", ["3", "4"]),
    ("data.plain.images", ["1000", "990"]),
    ("data.outline.unreadable", ["0", "1"]),
    ("texts.sha256", ["–", "ef"]),
    ("config.k", ["–", "20 entries, 0 to 19, median 9.5"]),
    ("environment.versions.jax", ["–", "1"]),
  ]


def test_long_lists_are_compared_entry_by_entry():
  first, second = make_runs(paired=False)
  first.results["texts"] = {"per_class": [1, 2, 3] * 5}
  second.results["texts"] = {"per_class": [1, 3, 2] * 5}
  ((name, values),) = settings_that_differ([first, second])
  assert name == "texts.per_class"
  assert values[0] == values[1] == "15 entries, 1 to 3, median 2"


def test_text_by_hand():
  text = comparison_text(compare_runs(make_runs(paired=False), seed=0))
  lines = [" ".join(line.split()) for line in text.splitlines()]
  assert "method, run plain outline mean" in lines
  assert "center, run0 62.5 ±3.0 75.0 ±3.0 68.8" in lines
  assert "center, run1 64.5 ±3.0 77.0 ±3.0 70.8" in lines
  (change,) = (line for line in lines if line.startswith("center, run1 − "))
  assert change.startswith("center, run1 − run0 +2.0 [−2.2, +6.2] +2.0 [")
  assert change.endswith("] +2.0")
  assert "Newcombe" in text
  assert "p = " not in text


def test_pairs_have_p_values():
  comparison = compare_runs(make_runs(paired=True), seed=0)
  for form in FORMS:
    text = form(comparison)
    assert ", p " in text
    assert "exact McNemar" in text
    assert "Newcombe" not in text


def test_the_mean_is_over_sets_that_all_runs_have():
  first, second = make_runs(paired=False)
  third = copy.deepcopy(first._replace(label="run2"))
  third.results["datasets"].append(
    {**first.results["datasets"][0], "name": "own"}
  )
  third.results["methods"].append(
    {**first.results["methods"][0], "dataset": "own", "top1": 1.0}
  )
  text = comparison_text(compare_runs([first, second, third], seed=0))
  lines = [" ".join(line.split()) for line in text.splitlines()]
  assert "method, run plain outline own mean of 2 shared" in lines
  assert "class_name, run2 50.0 ±3.0 25.0 ±3.0 100.0 ±3.0 37.5" in lines
  second.results["datasets"].pop()
  second.results["methods"] = [
    entry for entry in second.results["methods"] if entry["dataset"] == "plain"
  ]
  text = comparison_text(compare_runs([first, second], seed=0))
  assert "mean" not in text


def test_csv_has_a_row_per_run_set_and_method():
  comparison = compare_runs(make_runs(paired=True), seed=0)
  rows = list(csv.DictReader(io.StringIO(comparison_csv(comparison))))
  assert len(rows) == 12
  before, after = rows[1], rows[7]
  assert (before["measure"], before["value"]) == ("top1", "0.625")
  assert (before["run"], before["method"]) == ("run0", "center")
  assert before["delta"] == before["first_run"] == before["p_value"] == ""
  assert (after["run"], after["first_run"]) == ("run1", "run0")
  assert float(after["delta"]) == pytest.approx(0.02)
  change = comparison.changes["plain", "center", "run1"]
  assert float(after["p_value"]) == change.p_value
  assert float(after["delta_ci95_low"]) == change.ci95[0]


def test_mean_ious_have_a_difference_alone():
  runs = [Run(label, make_pixels(), {}) for label in "ab"]
  for entry in runs[1].results["methods"]:
    entry["miou"] += 0.02
  comparison = compare_runs(runs, seed=0)
  text = comparison_text(comparison)
  lines = [" ".join(line.split()) for line in text.splitlines()]
  assert lines[0].startswith("Mean IoU in %, ± half of its 95 % interval")
  assert "center, b − a +2.0 +2.0 +2.0" in lines
  assert "Newcombe" not in text
  rows = list(csv.DictReader(io.StringIO(comparison_csv(comparison))))
  assert rows[-1]["measure"] == "miou"
  assert rows[-1]["delta_ci95_low"] == rows[-1]["p_value"] == ""
  assert float(rows[-1]["delta"]) == pytest.approx(0.02)


def test_hostile_names():
  runs = [
    Run(label, make_results(HOSTILE_NAMES[:6], HOSTILE_NAMES), {})
    for label in HOSTILE_NAMES[8:11]
  ]
  runs[1].results["config"] = {name: name for name in HOSTILE_NAMES}
  comparison = compare_runs(runs, seed=0)
  for form in (*FORMS, comparison_csv):
    text = form(comparison)
    text.encode("utf-8")
    assert not set(text) & set("\x00\x1b")
  for block in comparison_markdown(comparison).split("\n\n"):
    if block.startswith("|"):
      bare = block.replace("\\\\", "").replace("\\|", "")
      assert len({line.count("|") for line in bare.splitlines()}) == 1


def test_one_run_is_no_comparison():
  with pytest.raises(ValueError, match="at least two runs, got 1"):
    compare_runs(make_runs(paired=False)[:1], seed=0)


HEAD = "dataset,file,label,class_name,center,local_center\n"


def write_predictions(path, results, answers):
  lines = [HEAD]
  for dataset, (images, correct) in answers.items():
    for index, (file, label) in enumerate(images):
      row = [dataset, f'"a, {file}"', label]
      row += [label if c[index] else "7" for c in correct.values()]
      lines.append(",".join(row) + "\n")
  path.write_text("".join(lines))


def test_answers_come_back_from_the_csv(tmp_path):
  path = tmp_path / "predictions.csv"
  results = make_results()
  expected = make_answers(results, 0)
  write_predictions(path, results, expected)
  got = read_answers(path, results)
  assert list(got) == list(expected)
  for dataset, answers in expected.items():
    assert got[dataset].images[3] == ("a, 3.jpg", "1")
    assert list(got[dataset].correct) == list(answers.correct)
    for method, correct in answers.correct.items():
      np.testing.assert_array_equal(got[dataset].correct[method], correct)


def test_absent_or_other_files_have_no_answers(tmp_path):
  path = tmp_path / "predictions.csv"
  assert read_answers(path, make_results()) == {}
  for content in ("", "file,width,height\nx,1,2\n"):
    path.write_text(content)
    assert read_answers(path, make_results()) == {}


@pytest.mark.parametrize(
  ("content", "message"),
  [
    (HEAD + "plain,x.jpg,0\n", "6 cells in each line: line 2 has 3 cells"),
    (HEAD + 'plain,"x,0,0,0,0\n', "6 cells in each line: "),
    (HEAD + "plain,x.jpg,0,0,0,0\n", "got 1.0000 for 'class_name' on 'plain'"),
  ],
)
def test_damaged_or_strange_predictions_are_refused(tmp_path, content, message):
  path = tmp_path / "predictions.csv"
  path.write_text(content)
  with pytest.raises(ValueError, match=message) as caught:
    read_answers(path, make_results())
  assert "predictions.csv" in str(caught.value)


def test_bytes_that_are_no_text_are_refused(tmp_path):
  path = tmp_path / "predictions.csv"
  path.write_bytes(b"\xff\xfe")
  with pytest.raises(ValueError, match="must be a readable CSV"):
    read_answers(path, make_results())
