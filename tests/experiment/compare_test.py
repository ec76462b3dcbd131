"""The task "compare", from a config to its files."""

import csv
import io
import json
import runpy
import sys

import pytest
from absl import flags
from ml_collections import config_flags

from s3_jax import experiment
from s3_jax.experiment.settings import Settings
from s3_jax.experiment.tasks import compare
from tests.results.sample_results import make_results


def put(folder, results, name="results.json"):
  folder.mkdir(parents=True, exist_ok=True)
  path = folder / name
  path.write_text(json.dumps(results), "utf-8")
  return path


def run(folder, *results, **fields):
  settings = Settings({"results": [str(path) for path in results], **fields})
  task = compare.read_settings(settings)
  settings.finish()
  return task(folder)


def put_predictions(folder, results):
  """Writes images that give the accuracies of the results."""
  methods = list(dict.fromkeys(e["name"] for e in results["methods"]))
  lines = [",".join(["dataset", "file", "label", *methods])]
  for dataset in (entry["name"] for entry in results["datasets"]):
    top1 = {
      e["name"]: e["top1"]
      for e in results["methods"]
      if e["dataset"] == dataset
    }
    for i in range(1000):
      row = [str(int(i >= 1000 * top1[method])) for method in methods]
      lines.append(",".join([dataset, f"{i}.jpg", "0", *row]))
  (folder / "predictions.csv").write_text("\n".join(lines) + "\n")


def test_folders_and_files_side_by_side(tmp_path, capsys):
  first, second = make_results(), make_results()
  for entry in second["methods"]:
    entry["top1"] += 0.02
  second["texts"]["sha256"] = "ef"
  put(tmp_path / "a" / "run", first)
  path = put(tmp_path / "b" / "run", second)
  out = tmp_path / "out"
  out.mkdir()
  comparison = run(out, tmp_path / "a" / "run", path)
  assert [each.label for each in comparison.runs] == ["run (1)", "run (2)"]
  assert comparison.changes["plain", "center", "run (2)"].p_value is None
  names = ["compare.csv", "compare.html", "compare.md", "compare.tex"]
  assert sorted(path.name for path in out.iterdir()) == names
  said = capsys.readouterr().out
  assert "center, run (2) − run (1)" in said
  assert "texts.sha256: – | ef" in said
  text = (out / "compare.csv").read_text("utf-8")
  assert len(list(csv.DictReader(io.StringIO(text)))) == 12
  assert "run (2)" in (out / "compare.md").read_text("utf-8")
  page = (out / "compare.html").read_text("utf-8")
  assert "<td>center, run (2) − run (1)</td>" in page
  assert (
    '<td>texts.sha256</td><td class="t">–</td><td class="t">ef</td>' in page
  )
  assert r"\begin{tabular}" in (out / "compare.tex").read_text("utf-8")


def test_predictions_beside_the_results_are_paired(tmp_path):
  for name in "ab":
    results = make_results()
    put(tmp_path / name, results)
    put_predictions(tmp_path / name, results)
  comparison = run(tmp_path, tmp_path / "a", tmp_path / "b")
  assert {c.delta for c in comparison.changes.values()} == {0.0}
  assert {c.p_value for c in comparison.changes.values()} == {1.0}


def test_a_file_of_another_name_is_called_by_it(tmp_path):
  put(tmp_path, make_results(), "before.json")
  put(tmp_path, make_results(), "after.json")
  put_predictions(tmp_path, make_results())
  comparison = run(tmp_path, tmp_path / "before.json", tmp_path / "after.json")
  assert [each.label for each in comparison.runs] == ["before", "after"]
  # The predictions belong to neither of the two for sure.
  assert {c.p_value for c in comparison.changes.values()} == {None}


@pytest.mark.parametrize("form", ["{},{}", "({}, {})", "('{}', '{}')"])
def test_a_list_with_commas_is_a_list(tmp_path, form):
  paths = [put(tmp_path / name, make_results()) for name in "ab"]
  comparison = run(tmp_path, form.format(*paths))
  assert [each.label for each in comparison.runs] == ["a", "b"]


def test_the_command_line_takes_any_paths(tmp_path, monkeypatch):
  """Such as the folders that are made without a workdir: no Python literals."""
  paths = [
    put(tmp_path / name, make_results())
    for name in ("benchmark-20261125-092000", "1st run")
  ]
  config = runpy.run_path("configs/compare.py")["get_config"]()
  argv = ["main.py", f"--config.results={paths[0]},{paths[1]}"]
  # The overrides are found there when the flag is defined.
  monkeypatch.setattr(sys, "argv", argv)
  values = flags.FlagValues()
  config_flags.DEFINE_config_dict("config", config, flag_values=values)
  values(argv)
  comparison = experiment.run(config, str(tmp_path / "out"))
  assert [each.label for each in comparison.runs] == [
    "benchmark-20261125-092000",
    "1st run",
  ]


@pytest.mark.parametrize(
  ("results", "message"),
  [
    ([], "`config.results` must hold at least one entry"),
    (["a"], "at least two runs, such as a/results.json.*, got a."),
    ([","], "got none."),
    (["a", "a"], "must not repeat 'a'"),
    ([3], "must hold strings, got 3"),
  ],
)
def test_settings_that_are_refused(results, message):
  with pytest.raises(ValueError, match=message):
    compare.read_settings(Settings({"results": results}))


def test_files_that_are_refused(tmp_path):
  good = put(tmp_path / "good", make_results())
  bad = put(tmp_path / "bad", {"schema": 1})
  old = put(tmp_path / "old", {**make_results(), "schema": 1})
  for path, message in (
    (bad, "must hold the results of a run"),
    (old, "schema` must be 2, got 1: .* run the experiment again"),
    (tmp_path / "none", "No such file"),
    (tmp_path, "No such file"),
  ):
    with pytest.raises(ValueError, match=message) as caught:
      run(tmp_path / "good", good, path)
    assert "\n" not in str(caught.value)
  assert [path.name for path in (tmp_path / "good").iterdir()] == [
    "results.json"
  ]
