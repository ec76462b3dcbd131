"""Runs that are killed, and runs that share a cache: the same results."""

import json
import os
import random
import signal
import subprocess
import sys
import time

import pytest

from tests.benchmark_replicas import make_replica

KILLS = 3
IMAGES = 3000  # three shards


class Command:
  """`main.py` on one replica with the tiny checkpoint."""

  def __init__(self, repository, checkpoint, data, cache):
    self.repository = repository
    self.options = {
      "model": checkpoint,
      "data_dir": data,
      "cache_dir": cache,
      "partial": True,
      "batch_size": 32,
      "methods": "('class_name','synonyms_mean','s3')",
    }

  def start(self, workdir):
    flags = [f"--config.{name}={v}" for name, v in self.options.items()]
    return subprocess.Popen(
      [
        sys.executable,
        "main.py",
        "--config=configs/eurosat.py",
        f"--workdir={workdir}",
        *flags,
      ],
      cwd=self.repository,
      env={**os.environ, "JAX_PLATFORMS": "cpu"},
      stdout=subprocess.PIPE,
      stderr=subprocess.PIPE,
      text=True,
    )

  def finish(self, process):
    out, err = process.communicate(timeout=240)
    assert process.returncode == 0, err + out
    return out


def results(folder):
  """Reads what a run found; what it cost differs from run to run."""
  found = json.loads((folder / "results.json").read_text())
  for key in ("timings", "counters"):
    del found[key]
  del found["config"]["cache_dir"]
  return found


@pytest.fixture(scope="module")
def data(tmp_path_factory):
  folder = tmp_path_factory.mktemp("killed") / "data"
  replica = make_replica(
    "eurosat", folder, layout="folders", images_per_class=IMAGES // 10
  )
  return replica.data_dir


@pytest.fixture(scope="module")
def undisturbed(repository, checkpoint, data, tmp_path_factory):
  folder = tmp_path_factory.mktemp("undisturbed")
  command = Command(repository, checkpoint, data, folder / "cache")
  command.finish(command.start(folder / "run"))
  return results(folder / "run")


def test_killed_again_and_again(
  repository, checkpoint, data, undisturbed, tmp_path
):
  """SIGKILL at a random moment after each further file of the cache."""
  draw = random.Random(5)
  cache = tmp_path / "cache"
  command = Command(repository, checkpoint, data, cache)
  kills = 0
  for _ in range(KILLS):
    before = len(list(cache.rglob("*.npz")))
    process = command.start(tmp_path / "run")
    while process.poll() is None:
      if len(list(cache.rglob("*.npz"))) > before:
        time.sleep(draw.uniform(0, 0.3))
        process.send_signal(signal.SIGKILL)
        break
      time.sleep(0.01)
    process.communicate()
    kills += process.returncode == -signal.SIGKILL
  assert kills
  stored = len(list(cache.rglob("*.npz")))
  assert stored
  said = command.finish(command.start(tmp_path / "run"))
  assert results(tmp_path / "run") == undisturbed
  counters = json.loads((tmp_path / "run" / "results.json").read_text())[
    "counters"
  ]
  assert counters["images_decoded"] < IMAGES, said


def test_two_runs_at_once_on_one_cache(
  repository, checkpoint, data, undisturbed, tmp_path
):
  command = Command(repository, checkpoint, data, tmp_path / "cache")
  both = [command.start(tmp_path / name) for name in ("one", "two")]
  for process in both:
    command.finish(process)
  for name in ("one", "two"):
    assert results(tmp_path / name) == undisturbed
  assert not list((tmp_path / "cache").rglob("*.tmp"))
