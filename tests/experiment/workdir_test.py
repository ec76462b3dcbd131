"""The folder of a run: of one run, whatever ends it; and readers that go."""

import errno
import os
import subprocess
import sys

import pytest

from s3_jax import experiment, files
from s3_jax.experiment.run_log import RunLog
from s3_jax.experiment.workdir import clear_results, patient_streams
from s3_jax.files import atomic_write
from s3_jax.results.report import write_report
from tests.results.sample_results import (
  HOSTILE_NAMES,
  make_everything,
  make_results,
)

OLD = (
  "results.json",
  "results.md",
  "results.tex",
  "results.csv",
  "per_class.csv",
  "confusion.csv",
  "predictions.csv",
  "predictions.json",
  "report.html",
  "contact_sheet.html",
  "contact_sheet_2.html",
  "segments.json",
  "segments.html",
  "segments_2.html",
  "evidence.json",
  "evidence.md",
  "sweep.csv",
  "sweep.md",
  "figures/accuracy.png",
  "figures/reliability-0000-plain-0f1e2d3c.png",
  "figures/confusion-0000-plain-0f1e2d3c-0001-s3-0f1e2d3c.png",
  "figures/voc21-most-gained-12345-2008-000003-0f1e2d3c.png",
  "labels/0003-cat-0f1e2d3c.png",
  "labels/10000-cat-0f1e2d3c.png",
  "overlays/10000-cat-0f1e2d3c.png",
)
OWN = ("notes.txt", "results.xlsx", "figures/mine.png", "figures/sketch.svg")


def test_what_another_run_left_goes_and_what_is_the_user_s_stays(tmp_path):
  for name in (*OLD, *OWN):
    atomic_write(tmp_path / name, "old")
  log = RunLog(tmp_path / "log.txt")
  assert (tmp_path / "results.json").exists(), "nothing has been said yet"
  log("begins")
  left = sorted(
    str(path.relative_to(tmp_path))
    for path in tmp_path.rglob("*")
    if path.is_file()
  )
  assert left == sorted((*OWN, "log.txt"))
  atomic_write(tmp_path / "results.json", "new")
  log("goes on")
  assert (tmp_path / "results.json").read_text() == "new"
  clear_results(tmp_path / "not there")


def test_a_run_with_fewer_figures_leaves_none_of_an_earlier_one(tmp_path):
  """Whatever the data sets and the methods were called."""
  results, confusions = make_everything(
    ("dtd", "plain"), ("class_name", *HOSTILE_NAMES[:3])
  )
  options = {"baseline": "class_name", "per_class": []}
  write_report(results, tmp_path, confusion=confusions, **options)
  figures = tmp_path / "figures"
  assert len(list(figures.iterdir())) == 1 + 2 + 4
  RunLog(tmp_path / "log.txt")("begins")
  assert list(figures.iterdir()) == []
  fewer = make_results(("dtd",), ("class_name", "center"))
  write_report(fewer, tmp_path, **options)
  assert [path.name for path in figures.iterdir()] == ["accuracy.png"]


def test_a_run_that_fails_leaves_no_mixture(
  tmp_path, read_config, checkpoint, monkeypatch, make_small
):
  """The second run fails while it writes: of the first nothing is left."""
  make_small(monkeypatch)
  changes = {
    "model": str(checkpoint),
    "cache_dir": str(tmp_path / "cache"),
    "test_sets": ("plain",),
    "methods": ("class_name", "synonyms_mean"),
    "baseline": "class_name",
  }
  config = read_config("pictographs")
  for name in [name for name in changes if name not in config]:
    del changes[name]
  folder = tmp_path / "run"
  experiment.run(read_config("pictographs", **changes), str(folder))
  first = {path.name for path in folder.rglob("*") if path.is_file()}
  assert "results.json" in first
  write = files.atomic_write

  def fill_up(path, data):
    if path.name == "results.tex":
      raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
    write(path, data)

  monkeypatch.setattr("s3_jax.results.report.atomic_write", fill_up)
  with pytest.raises(OSError, match=r"No space left on device: '.*results.tex"):
    experiment.run(read_config("pictographs", **changes), str(folder))
  left = {path.name for path in folder.rglob("*") if path.is_file()}
  assert "results.json" not in left and "results.csv" not in left
  assert "results.md" in left, "of the second run"


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EFBIG])
def test_a_full_disk_names_the_file(tmp_path, number):
  path = tmp_path / "results.json"
  path.write_text("old")
  with (
    pytest.raises(OSError, match=rf"{os.strerror(number)}: '.*results\.json'"),
    files.replacing(path) as temporary,
  ):
    temporary.touch()
    raise OSError(number, os.strerror(number))
  assert path.read_text() == "old" and len(list(tmp_path.iterdir())) == 1
  # What the body says of another file is left as it is.
  with (
    pytest.raises(FileNotFoundError, match="elsewhere"),
    files.replacing(path),
  ):
    (tmp_path / "elsewhere").read_text()


SPEAKER = """
import sys
from s3_jax.experiment.workdir import patient_streams
with patient_streams():
  for number in range(20000):
    sys.stdout.write(f"line {number}\\n")
    sys.stderr.write(f"warning {number}\\n")
open(sys.argv[1], "w").write("all")
"""


def test_a_reader_that_goes_costs_nothing(repository, tmp_path):
  """As `| head -1` does, of both streams."""
  process = subprocess.Popen(
    [sys.executable, "-c", SPEAKER, str(tmp_path / "done")],
    cwd=repository,
    stdout=subprocess.PIPE,
    stderr=subprocess.STDOUT,
    text=True,
  )
  assert process.stdout is not None
  process.stdout.readline()
  process.stdout.close()
  assert process.wait(timeout=60) == 0
  assert (tmp_path / "done").read_text() == "all"


def test_streams_are_given_back(capsys):
  out = sys.stdout
  with patient_streams():
    sys.stdout.write("shown\n")
  assert sys.stdout is out
  assert capsys.readouterr().out == "shown\n"


def test_names_that_are_no_text_are_said_and_noted(tmp_path, capsys):
  log = RunLog(tmp_path / "log.txt")
  log(f"skipped {os.fsdecode(b'caf' + bytes([0xE9]))}")
  assert "caf\\udce9" in capsys.readouterr().out
  assert (tmp_path / "log.txt").read_text("utf-8") == "skipped caf\\udce9\n"


@pytest.mark.parametrize("name", ["predict", "demo", "own_images"])
def test_a_cache_that_cannot_be_written_is_named(tmp_path, read_config, name):
  (tmp_path / "file").touch()
  config = read_config(name, cache_dir=str(tmp_path / "file" / "cache"))
  with pytest.raises(
    ValueError, match=r"`config.cache_dir` must be a folder that can be written"
  ):
    experiment.run(config, str(tmp_path / "run"))
