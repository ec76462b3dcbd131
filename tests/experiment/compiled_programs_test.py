"""Compiled programs are kept where a config says so, and nowhere else."""

import json
import os
import subprocess
import sys
from typing import NamedTuple

import jax
import jax.numpy as jnp
import ml_collections
import pytest

from s3_jax import experiment

# A run in a process of its own; says how often JAX found a program.
SCRIPT = """
import json, sys
import jax
import ml_collections
from s3_jax import experiment

counts = {"cache_hits": 0, "cache_misses": 0}

def listen(event, **_):
  name = event.rpartition("/")[2]
  if name in counts:
    counts[name] += 1

jax.monitoring.register_event_listener(listen)
fields = json.loads(sys.argv[1])
experiment.run(ml_collections.ConfigDict(fields), sys.argv[2])
print(json.dumps(counts))
"""


def test_a_second_process_reads_what_the_first_one_kept(
  read_config, checkpoint, repository, tmp_path
):
  programs = tmp_path / "programs"
  fields = {
    **read_config("predict").to_dict(),
    "images": str(repository / "docs" / "figures" / "airplane.png"),
    "classes": "sun,moon",
    "model": str(checkpoint),
    "cache_dir": str(tmp_path / "cache"),
    "contact_sheet": False,
    "batch_size": 1,
    "compilation_cache_dir": str(programs),
  }
  counts, scores = [], []
  for name in ("first", "second"):
    done = subprocess.run(
      [sys.executable, "-c", SCRIPT, json.dumps(fields), tmp_path / name],
      cwd=repository,
      env={**os.environ, "JAX_DISABLE_MOST_OPTIMIZATIONS": "1"},
      capture_output=True,
      text=True,
      timeout=120,
    )
    assert not done.returncode, done.stderr
    counts.append(json.loads(done.stdout.splitlines()[-1]))
    document = json.loads((tmp_path / name / "predictions.json").read_text())
    scores.append([row["predictions"] for row in document["images"]])
    if name == "first":
      kept = {path.name for path in programs.iterdir()}
  assert counts[0]["cache_misses"] > 5
  assert counts[1]["cache_misses"] == 0 and counts[1]["cache_hits"] > 5
  assert {path.name for path in programs.iterdir()} == kept
  assert scores[0] == scores[1]


class Shift(NamedTuple):
  shift: float


@pytest.fixture
def compiling(monkeypatch):
  """A task that compiles a program which no other test has."""

  def read_settings(settings):
    (shift,) = settings.read(Shift)

    def work(folder):
      del folder
      return jax.jit(lambda x: jnp.sin(x) + shift)(jnp.ones((3, 5)))

    return work

  monkeypatch.setitem(
    experiment.TASKS, "compile", experiment.Task(read_settings)
  )

  def config(shift, **fields):
    return ml_collections.ConfigDict(
      {"task": "compile", "shift": shift, **fields}
    )

  return config


def settings_of_jax():
  return (
    jax.config.jax_compilation_cache_dir,
    jax.config.jax_persistent_cache_min_compile_time_secs,
    jax.config.jax_persistent_cache_min_entry_size_bytes,
  )


def test_only_that_run_keeps_programs(compiling, tmp_path):
  before = settings_of_jax()
  folder = tmp_path / "new" / "programs"
  kept = {"compilation_cache_dir": str(folder)}
  experiment.run(compiling(0.25), str(tmp_path / "a"))
  assert not folder.exists()
  experiment.run(compiling(0.375, **kept), str(tmp_path / "b"))
  assert settings_of_jax() == before
  names = {path.name for path in folder.iterdir()}
  assert any(name.startswith("jit_") for name in names)
  experiment.run(compiling(0.625, compilation_cache_dir=""), str(tmp_path))
  jax.jit(lambda x: jnp.cos(x) - 3)(jnp.ones((3, 5)))
  assert {path.name for path in folder.iterdir()} == names


def test_jax_is_as_before_after_a_failure(compiling, monkeypatch, tmp_path):
  def fail(settings):
    del settings

    def work(folder):
      raise ValueError(f"no {folder.name}")

    return work

  monkeypatch.setitem(experiment.TASKS, "fail", experiment.Task(fail))
  before = settings_of_jax()
  config = ml_collections.ConfigDict(
    {"task": "fail", "compilation_cache_dir": str(tmp_path / "programs")}
  )
  with pytest.raises(ValueError, match="no run"):
    experiment.run(config, str(tmp_path / "run"))
  assert settings_of_jax() == before


def test_a_folder_that_cannot_be_written(compiling, tmp_path):
  (tmp_path / "file").write_text("mine")
  kept = {"compilation_cache_dir": str(tmp_path / "file" / "programs")}
  with pytest.raises(
    ValueError, match="`config.compilation_cache_dir` must be"
  ):
    experiment.run(compiling(0.5, **kept), str(tmp_path / "run"))


@pytest.mark.parametrize(
  ("value", "words"), [(3, "of type str"), ("gs://bucket", "this machine")]
)
def test_bad_values(compiling, value, words):
  config = compiling(0.5, compilation_cache_dir=value)
  with pytest.raises(ValueError, match=f"`config.compilation_cache.*{words}"):
    experiment.dry_run(config)
