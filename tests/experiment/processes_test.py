"""One run in several processes: the same results, and nothing lost.

Two processes of four devices against one process, on any mesh; runs that go on
with another number of processes; peers that never come, and that die.
"""

import contextlib
import json
import os
import pathlib
import re
import runpy
import shutil
import signal
import subprocess
import sys
import time

import pytest

from s3_jax import experiment
from s3_jax.experiment.embedder import SHARD_ROWS
from s3_jax.launch import command_lines, environment, free_port
from tests.benchmark_replicas import make_replica
from tests.segmentation_replicas import make_segmentation

IMAGES = 1021  # a prime: four shards, and nothing shares it equally
METHODS = ("class_name", "synonyms_mean", "s3", "complex", "s3_view_average")
HEARTBEAT = 10
# What a process may take to end, on a machine that is busy with other tests.
SOON = 6 * HEARTBEAT


@pytest.fixture(scope="module")
def data(tmp_path_factory):
  folder = tmp_path_factory.mktemp("processes") / "data"
  replica = make_replica(
    "eurosat", folder, layout="folders", images_per_class=IMAGES // 10 + 1
  )
  files = sorted(folder.rglob("*.jpg")) + sorted(folder.rglob("*.png"))
  for file in files[IMAGES:]:
    file.unlink()
  files[3].write_bytes(b"no image")
  files[-70].write_bytes(b"")
  return replica.data_dir


class Run:
  """The command line of one run, for any number of processes."""

  def __init__(self, repository, checkpoint, data, cache):
    self.repository = repository
    self.config = f"{repository / 'configs' / 'test_time.py'}:eurosat"
    self.options = {
      "model": checkpoint,
      "data_dir": data,
      "cache_dir": cache,
      "partial": True,
      "batch_size": 32,
      "methods": str(METHODS).replace(" ", ""),
      "views": 2,
      "augmix": "never",
    }

  def flags(self, workdir, **changes):
    options = {**self.options, **changes}
    return [
      f"--config={self.config}",
      f"--workdir={workdir}",
      *(f"--config.{name}={value}" for name, value in options.items()),
    ]

  def start(self, workdir, *, processes, devices, only=None, more=()):
    """Starts the processes, or only one of those that there should be."""
    commands = command_lines(
      processes, free_port(), [*self.flags(workdir), *more]
    )
    return [
      start(command, self.repository, environment(number, cpu_devices=devices))
      for number, command in enumerate(commands)
      if only in (None, number)
    ]


def start(command, folder, environ):
  """Starts one process, and catches what it says."""
  return subprocess.Popen(
    command,
    cwd=folder,
    env=environ,
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
  )


def finish(processes, timeout=240):
  """Waits for all; returns status and what was said of each."""
  said = []
  for process in processes:
    out, err = process.communicate(timeout=timeout)
    # A shell sees 128 + the signal that ended a process.
    status = process.returncode
    said.append((status if status >= 0 else 128 - status, out, err))
  return said


def results(folder):
  """Reads what a run found, and what it predicted for every image."""
  found = json.loads((folder / "results.json").read_text())
  assert found["methods"], found
  rows = []
  for row in found["methods"]:
    # Of confidences in float32, which differ in the last bits.
    rows.append({k: v for k, v in row.items() if k != "ece"})
  [dataset] = found["datasets"]
  del dataset["found"]  # names the folder
  predictions = (folder / "predictions.csv").read_text()
  return rows, [dataset], found["comparisons"], predictions


def counters(folder):
  return json.loads((folder / "results.json").read_text())["counters"]


@pytest.fixture(scope="module")
def undisturbed(repository, checkpoint, data, tmp_path_factory):
  """The results of one process with one device."""
  folder = tmp_path_factory.mktemp("undisturbed")
  run = Run(repository, checkpoint, data, folder / "cache")
  [(status, _, err)] = finish(run.start(folder / "run", processes=1, devices=1))
  assert status == 0, err
  found = results(folder / "run")
  [dataset] = found[1]
  assert dataset["examples"] == IMAGES
  assert len(dataset["bad_examples"]) == 2
  assert all(row["n"] == IMAGES - 2 for row in found[0])
  assert len(found[0]) == len(METHODS)
  return found


@pytest.mark.parametrize(("devices", "model"), [(8, 1), (4, 2), (2, 4)])
def test_any_mesh_gives_the_same(
  repository, checkpoint, data, undisturbed, tmp_path, devices, model
):
  run = Run(repository, checkpoint, data, tmp_path / "cache")
  module = runpy.run_path(str(repository / "configs" / "test_time.py"))
  config = module["get_config"]("eurosat").unlock()
  changes = {**run.options, "methods": METHODS}
  changes |= {"mesh": devices * model, "model_axis": model}
  for name, value in changes.items():
    config[name] = str(value) if isinstance(value, pathlib.Path) else value
  experiment.run(config, str(tmp_path / "run"))
  assert results(tmp_path / "run") == undisturbed


def test_two_processes_give_the_same(
  repository, checkpoint, data, undisturbed, tmp_path
):
  run = Run(repository, checkpoint, data, tmp_path / "cache")
  command = [
    sys.executable,
    "-m",
    "s3_jax.launch",
    "--processes=2",
    "--cpu_devices=4",
    "--",
    *run.flags(tmp_path / "run", model_axis=2),
  ]
  done = subprocess.run(
    command,
    cwd=repository,
    capture_output=True,
    text=True,
    timeout=240,
    check=False,
  )
  assert done.returncode == 0, done.stderr
  assert results(tmp_path / "run") == undisturbed
  environment = json.loads((tmp_path / "run" / "results.json").read_text())[
    "environment"
  ]
  assert environment["processes"] == 2
  assert len(environment["devices"]) == 8
  # Only the first speaks, each says where it waits.
  assert done.stdout.count("Results, report.html and figures") == 1
  assert "process 0 of 2 (from flags)" in done.stderr
  assert "[1] s3_jax: process 1 of 2 (from flags)" in done.stderr
  assert (tmp_path / "run" / "report.html").exists()


def wait_for_shards(cache, count, processes):
  """Waits until so many shards of images lie in the cache."""
  end = time.monotonic() + 120
  while time.monotonic() < end:
    if len(list(cache.rglob("*.npz"))) >= count:
      return
    assert any(process.poll() is None for process in processes), finish(
      processes
    )
    time.sleep(0.01)
  pytest.fail(f"fewer than {count} files in {cache}")


@pytest.mark.parametrize("victim", [0, 1], ids=["coordinator", "peer"])
def test_a_process_dies_and_another_number_goes_on(
  repository, checkpoint, data, undisturbed, tmp_path, victim
):
  cache = tmp_path / "cache"
  run = Run(repository, checkpoint, data, cache)
  processes = run.start(
    tmp_path / "run",
    processes=2,
    devices=2,
    more=[f"--heartbeat_timeout={HEARTBEAT}"],
  )
  # What the images are, and a file of texts, come first.
  wait_for_shards(cache, 4, processes)
  processes[victim].send_signal(signal.SIGKILL)
  killed = time.monotonic()
  said = finish(processes, timeout=SOON)
  assert time.monotonic() - killed < SOON
  status, _, err = said[1 - victim]
  assert status == 134, err
  assert re.search(
    r"Should one be lost later, the others end with status 134 within about"
    rf" {HEARTBEAT} s; finished shards stay in \S*cache, and the same command",
    err,
  )
  assert not (tmp_path / "run" / "results.json").exists()
  kept = len(list(cache.rglob("*.npz")))
  assert kept >= 4
  again = run.start(tmp_path / "run", processes=3, devices=1)
  for status, _, err in finish(again):
    assert status == 0, err
  assert results(tmp_path / "run") == undisturbed
  decoded = counters(tmp_path / "run")["images_decoded"]
  # Each image once, and its two views another time; less what was there.
  assert decoded <= 2 * IMAGES - SHARD_ROWS // 2
  # And one alone, with all in the cache.
  [(status, _, err)] = finish(run.start(tmp_path / "o", processes=1, devices=2))
  assert status == 0, err
  assert results(tmp_path / "o") == undisturbed
  assert counters(tmp_path / "o")["images_decoded"] == 0


@pytest.mark.parametrize("there", [0, 1], ids=["coordinator", "peer"])
def test_a_process_never_comes(repository, checkpoint, data, tmp_path, there):
  run = Run(repository, checkpoint, data, tmp_path / "cache")
  start = time.monotonic()
  [(status, _, err)] = finish(
    run.start(
      tmp_path / "run",
      processes=2,
      devices=1,
      only=there,
      more=["--initialization_timeout=3"],
    ),
    timeout=SOON,
  )
  assert status == 2
  assert time.monotonic() - start < SOON
  last = err.strip().splitlines()[-1]
  assert last.startswith(
    "s3_jax: `--initialization_timeout`: not all of 2 processes joined at"
    " 127.0.0.1:"
  )
  assert "Traceback" not in err


DIFFERENT = {
  "seed": (
    ["--config.seed=0"],
    ["--config.seed=5"],
    "`config.seed` must be the same in every process, got 0 in process 0 and 5",
  ),
  "workdir": (
    ["--workdir={file}/results"],
    ["--workdir={file}/results"],
    "`workdir` must be a folder that can be written",
  ),
  "programs": (
    [],
    ["--config.compilation_cache_dir={file}/x"],
    "`config.compilation_cache_dir` must be the same in every process",
  ),
}


@pytest.mark.parametrize("case", DIFFERENT)
def test_what_ends_all_processes(repository, checkpoint, data, tmp_path, case):
  run = Run(repository, checkpoint, data, tmp_path / "cache")
  (tmp_path / "file").touch()
  *more, words = DIFFERENT[case]
  commands = command_lines(2, free_port(), run.flags(tmp_path / "run"))
  processes = [
    start(
      [*command, *(flag.format(file=tmp_path / "file") for flag in flags)],
      repository,
      environment(number, cpu_devices=1),
    )
    for number, (command, flags) in enumerate(zip(commands, more, strict=True))
  ]
  for status, _, err in finish(processes):
    assert status == 2, err
    assert words in err.strip().splitlines()[-1], err
    assert "Traceback" not in err


def test_processes_have_as_many_devices(repository, checkpoint, data, tmp_path):
  run = Run(repository, checkpoint, data, tmp_path / "cache")
  commands = command_lines(2, free_port(), run.flags(tmp_path / "run"))
  processes = [
    start(command, repository, environment(number, cpu_devices=number + 1))
    for number, command in enumerate(commands)
  ]
  for number, (status, _, err) in enumerate(finish(processes)):
    assert status == 2, err
    line = err.strip().splitlines()[-1]
    assert f"as many devices each, got {number + 1} here and 3 in all 2" in line


@pytest.mark.parametrize("victim", [0, 1], ids=["coordinator", "peer"])
def test_a_process_dies_while_another_waits_for_it(
  repository, checkpoint, data, tmp_path, victim
):
  """Stopped first, so that the other one gets to where they meet."""
  cache = tmp_path / "cache"
  run = Run(repository, checkpoint, data, cache)
  processes = run.start(tmp_path / "run", processes=2, devices=1)
  wait_for_shards(cache, 1, processes)
  processes[victim].send_signal(signal.SIGSTOP)
  files, since = -1, time.monotonic()
  while time.monotonic() - since < 3:
    found = len(list(cache.rglob("*.npz")))
    if found != files:
      files, since = found, time.monotonic()
    time.sleep(0.05)
  processes[victim].send_signal(signal.SIGKILL)
  killed = time.monotonic()
  said = finish(processes, timeout=SOON)
  assert time.monotonic() - killed < 30  # half a heartbeat, and no shutdown
  status, _, err = said[1 - victim]
  assert status == 134, err
  if victim == 1:
    line = err.strip().splitlines()[-1]
    assert line.startswith("s3_jax: a peer ended or cannot be reached"), err
    assert line.endswith("cache; the same command goes on from them."), err


def test_files_that_one_host_lacks(repository, checkpoint, data, tmp_path):
  """The data set lies in one process's working folder only."""
  (tmp_path / "here").mkdir()
  (tmp_path / "there").mkdir()
  (tmp_path / "here" / "data").symlink_to(data)
  run = Run(repository, checkpoint, "data", tmp_path / "cache")
  commands = command_lines(2, free_port(), run.flags(tmp_path / "run"))
  processes = [
    start(
      command,
      tmp_path / folder,
      environment(number, cpu_devices=1) | {"PYTHONPATH": str(repository)},
    )
    for number, (command, folder) in enumerate(
      zip(commands, ("here", "there"), strict=True)
    )
  ]
  for number, (status, _, err) in enumerate(finish(processes)):
    assert status == 2, err
    line = err.strip().splitlines()[-1]
    assert "`data_dir` must be the folder" in line, err
    assert line.startswith("s3_jax: process 1 of 2: ") == (number == 0)


def test_pictures_that_are_others_on_one_host(
  repository, checkpoint, data, tmp_path
):
  """Copies whose names, labels, sizes and times agree, and one picture not."""
  for host in ("here", "there"):
    shutil.copytree(data, tmp_path / host / "data")
  image = sorted((tmp_path / "there").rglob("*.png"))
  image += sorted((tmp_path / "there").rglob("*.jpg"))
  content = bytearray(image[5].read_bytes())
  content[-20] ^= 1
  times = image[5].stat()
  image[5].write_bytes(content)
  os.utime(image[5], ns=(times.st_atime_ns, times.st_mtime_ns))
  run = Run(repository, checkpoint, "data", tmp_path / "cache")
  commands = command_lines(2, free_port(), run.flags(tmp_path / "run"))
  processes = [
    start(
      command,
      tmp_path / folder,
      environment(number, cpu_devices=1) | {"PYTHONPATH": str(repository)},
    )
    for number, (command, folder) in enumerate(
      zip(commands, ("here", "there"), strict=True)
    )
  ]
  for status, _, err in finish(processes):
    assert status == 2, err
    line = err.strip().splitlines()[-1]
    assert f"{image[5].name} must be the same in every process" in line, err
    assert "Traceback" not in err and len(line) <= 300
  assert not (tmp_path / "run" / "results.json").exists()


def test_launched_by_slurm(repository, tmp_path):
  """As srun starts a step of two tasks, here both on this computer."""
  processes = []
  job = 4096 + free_port() % 4096
  for number in (0, 1):
    slurm = {
      "SLURM_JOB_ID": str(job),
      "SLURM_STEP_NODELIST": "127.0.0.1",
      "SLURM_STEP_NUM_TASKS": "2",
      "SLURM_NTASKS": "2",
      "SLURM_PROCID": str(number),
      "SLURM_LOCALID": str(number),
    }
    processes.append(
      start(
        [
          sys.executable,
          "main.py",
          "--config=configs/models.py",
          f"--workdir={tmp_path}",
        ],
        repository,
        environment(number, cpu_devices=1) | slurm,
      )
    )
  for number, (status, _, err) in enumerate(finish(processes)):
    assert f"process {number} of 2 (from Slurm)" in err
    # A task that is not shared out says so.
    assert status == 2
    assert "`config.task` must be one of benchmark, embeddings, " in err


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM])
def test_launch_ends_all_processes(repository, checkpoint, data, tmp_path, end):
  run = Run(repository, checkpoint, data, tmp_path / "cache")
  launcher = start(
    [
      sys.executable,
      "-m",
      "s3_jax.launch",
      "--processes=2",
      "--cpu_devices=1",
      "--",
      *run.flags(tmp_path / "run"),
    ],
    repository,
    os.environ | {"PYTHONUNBUFFERED": "1"},
  )
  try:
    wait_for_shards(tmp_path / "cache", 2, [launcher])
    launcher.send_signal(end)
    _, err = launcher.communicate(timeout=SOON)
  finally:
    with contextlib.suppress(ProcessLookupError):
      launcher.kill()
  if end == signal.SIGINT:
    assert launcher.returncode in (130, 134), err
    assert "the same command goes on from here" in err
  else:
    assert launcher.returncode in (128 + signal.SIGTERM, 134), err
  assert not (tmp_path / "run" / "results.json").exists()


def test_each_process_has_a_cache_and_a_copy_of_its_own(
  repository, checkpoint, data, undisturbed, tmp_path
):
  """As on hosts that share no disk; one of them has been at work before."""
  run = Run(repository, checkpoint, "data", "cache")
  for host in ("0", "1"):
    (tmp_path / host).mkdir()
    # Without the times of the files.
    shutil.copytree(
      data, tmp_path / host / "data", copy_function=shutil.copyfile
    )
  one = run.flags(tmp_path / "first")
  [(status, _, err)] = finish(
    [
      start(
        [sys.executable, "-m", "s3_jax", *one],
        tmp_path / "0",
        environment(0, cpu_devices=1) | {"PYTHONPATH": str(repository)},
      )
    ]
  )
  assert status == 0, err
  stored = sorted((tmp_path / "0" / "cache").rglob("*.npz"))
  for file in stored[::2]:
    file.unlink()
  commands = command_lines(2, free_port(), run.flags(tmp_path / "run"))
  processes = [
    start(
      command,
      tmp_path / str(number),
      environment(number, cpu_devices=2) | {"PYTHONPATH": str(repository)},
    )
    for number, command in enumerate(commands)
  ]
  for status, _, err in finish(processes):
    assert status == 0, err
  assert results(tmp_path / "run") == undisturbed
  assert list((tmp_path / "1" / "cache").rglob("*.npz"))
  assert 0 < counters(tmp_path / "run")["images_decoded"] < 2 * IMAGES


@pytest.fixture(scope="module")
def masked(tmp_path_factory):
  """A data set of 72 images with masks, three shards; one image is broken."""
  folder = tmp_path_factory.mktemp("masked")
  make_segmentation("ade20k", folder)
  files = [file for file in sorted(folder.rglob("*")) if file.is_file()]
  for file in files:
    for copy in range(1, 24):
      shutil.copy(file, file.with_stem(f"{file.stem}_{copy}"))
  next(folder.rglob("*_7.jpg")).write_bytes(b"no image")
  return folder


def test_segmentation_in_two_processes(
  repository, checkpoint, masked, tmp_path
):
  found = []
  for processes in (1, 2):
    run = Run(repository, checkpoint, masked, tmp_path / f"cache{processes}")
    run.options = {
      "model": checkpoint,
      "data_dir": masked,
      "cache_dir": tmp_path / f"cache{processes}",
      "partial": True,
      "pictures": 0,
      "methods": "('names_max','s3')",
      "templates": "('a {}.',)",
      "protocol_changes.short_side": 32,
      "protocol_changes.window": 16,
      "protocol_changes.stride": 8,
    }
    run.config = f"{repository / 'configs' / 'ade20k.py'}"
    folder = tmp_path / f"run{processes}"
    for status, _, err in finish(
      run.start(folder, processes=processes, devices=1)
    ):
      assert status == 0, err
    results = json.loads((folder / "results.json").read_text())
    assert results["counters"]["images_decoded"] == 72
    [dataset] = results["datasets"]
    assert len(dataset["bad_examples"]) == 1
    parts = ("methods", "datasets", "comparisons", "confusions", "counters")
    # Each process fills batches with its own share of the texts.
    assert results["counters"].pop("text_tower_batches") > 0
    found.append({part: results[part] for part in parts})
  assert found[0] == found[1]
  assert all(row["n"] == 71 for row in found[0]["methods"])
