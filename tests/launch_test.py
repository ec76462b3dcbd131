"""Starting several processes on one computer."""

import os
import socket
import sys

import pytest

from s3_jax import launch


def test_what_each_process_is_told():
  first, second = launch.command_lines(2, 1234, ["--config=x.py", "--debug"])
  assert first[:3] == second[:3] == [sys.executable, "-m", "s3_jax"]
  assert "--coordinator_address=127.0.0.1:1234" in first
  assert "--num_processes=2" in second
  assert "--process_id=0" in first and "--process_id=1" in second
  assert first[-2:] == second[-2:] == ["--config=x.py", "--debug"]


def test_what_each_process_sees(monkeypatch):
  monkeypatch.setenv("S3_JAX_OTHER", "kept")
  monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
  assert launch.environment(3) == dict(os.environ)
  third = launch.environment(2, gpus=4)
  assert third["CUDA_VISIBLE_DEVICES"] == "8,9,10,11"
  assert third["S3_JAX_OTHER"] == "kept"
  virtual = launch.environment(1, cpu_devices=4)
  assert virtual["JAX_NUM_CPU_DEVICES"] == "4"
  assert virtual["JAX_PLATFORMS"] == "cpu"


def test_gpus_are_those_that_may_be_used(monkeypatch):
  monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,5,7")
  assert launch.environment(1, gpus=1)["CUDA_VISIBLE_DEVICES"] == "5"
  with pytest.raises(ValueError, match="shows, 3, for all .* for process 1"):
    launch.environment(1, gpus=2)


def test_a_port_is_free():
  with socket.socket() as server:
    server.bind(("127.0.0.1", launch.free_port()))


@pytest.mark.parametrize(
  ("statuses", "expected"),
  [((0, 0), 0), ((0, 2), 2), ((3, 2), 3), ((0, -6), 134), ((-9, 134), 137)],
)
def test_status_is_that_of_the_first_that_failed(
  monkeypatch, capfd, statuses, expected
):
  program = (
    "import os, sys; print('line of', sys.argv[1]); sys.stdout.flush();"
    " n = int(sys.argv[2]); os.kill(os.getpid(), -n) if n < 0 else sys.exit(n)"
  )

  def commands(processes, port, flags):
    assert processes == len(statuses) and port > 0 and flags == []
    return [
      [sys.executable, "-c", program, str(number), str(status)]
      for number, status in enumerate(statuses)
    ]

  monkeypatch.setattr(launch, "command_lines", commands)
  assert launch.launch(len(statuses), []) == expected
  out, err = capfd.readouterr()
  assert out == "line of 0\n"
  assert "[1] line of 1\n" in err


@pytest.mark.parametrize(
  ("arguments", "words"),
  [
    (["--processes=0"], "must be >= 1, got 0"),
    ([], "--processes"),
    (["--processes=1", "--gpus=-1"], "--gpus must be >= 0, got -1"),
  ],
)
def test_what_is_refused(capsys, arguments, words):
  with pytest.raises(SystemExit) as stop:
    launch.main(arguments)
  assert stop.value.code == 2
  assert words in capsys.readouterr().err


def test_the_command_line(monkeypatch):
  seen = {}

  def record(processes, flags, **options):
    seen.update(processes=processes, flags=flags, **options)
    return 7

  monkeypatch.setattr(launch, "launch", record)
  arguments = ["--processes=3", "--gpus=2", "--", "--config=a.py", "--debug"]
  assert launch.main(arguments) == 7
  assert seen == {
    "processes": 3,
    "flags": ["--config=a.py", "--debug"],
    "cpu_devices": 0,
    "gpus": 2,
    "port": 0,
  }
