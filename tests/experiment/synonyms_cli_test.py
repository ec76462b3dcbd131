"""The generator as a process: killed half-way, and refused by an endpoint."""

import os
import re
import signal
import subprocess
import sys

import pytest

from s3_jax.lexicon.synonyms import load_lexicon
from tests.model_server import Response, good, refusal, serve

KEY = "sk-test-0123456789abcdef"


@pytest.fixture
def server():
  with serve() as server:
    yield server


def files(folder):
  return sorted(
    path.relative_to(folder).as_posix()
    for path in folder.rglob("*")
    if path.is_file()
  )


def command(repository, *flags):
  return [sys.executable, str(repository / "main.py"), *flags]


@pytest.fixture
def environment(tmp_path):
  return {**os.environ, "OPENAI_API_KEY": KEY, "HOME": str(tmp_path)}


def test_a_killed_process_goes_on(repository, server, tmp_path, environment):
  flags = [
    f"--config={repository}/configs/synonyms.py",
    "--config.classes=boxer,killer whale,tench,pug,crane",
    "--config.model=tiny",
    f"--config.base_url={server.url}",
    "--config.batch=2",
    f"--workdir={tmp_path / 'run'}",
  ]
  # Killed while the third request is under way, which is never answered.
  server.plan = [good, good, lambda sent: Response(silent=True)]
  first = subprocess.Popen(
    command(repository, *flags),
    cwd=tmp_path,
    env=environment,
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
  )
  arrived = server.wait_for(3, 120)
  first.send_signal(signal.SIGKILL)
  out, err = first.communicate(timeout=60)
  assert arrived, err
  left = files(tmp_path / "run")
  assert len(left) == 2 and all(n.startswith("answers/") for n in left)
  second = subprocess.run(
    command(repository, *flags),
    cwd=tmp_path,
    env=environment,
    capture_output=True,
    text=True,
    timeout=120,
    check=False,
  )
  assert second.returncode == 0, second.stderr
  assert [s.labels for s in server.sent] == [[0, 1], [2, 3], [4], [4]]
  assert server.sent[2].body == server.sent[3].body
  path = tmp_path / "run" / "classes.json"
  assert len(load_lexicon(path).classes) == 5
  assert str(path) in second.stdout and second.stderr == ""
  for text in (out, err, second.stdout):
    assert KEY not in text
  for name in files(tmp_path):
    assert KEY.encode() not in (tmp_path / name).read_bytes()


def test_a_refused_key_is_one_line(repository, server, tmp_path, environment):
  server.behave = lambda sent: refusal(401, f"Incorrect API key: {KEY}")
  done = subprocess.run(
    command(
      repository,
      f"--config={repository}/configs/synonyms.py",
      "--config.classes=eurosat",
      "--config.model=tiny",
      f"--config.base_url={server.url}",
      f"--workdir={tmp_path / 'run'}",
    ),
    cwd=tmp_path,
    env={**environment, "OPENAI_LOG": "debug"},
    capture_output=True,
    text=True,
    timeout=120,
    check=False,
  )
  assert done.returncode == 2 and done.stdout == ""
  assert KEY not in done.stderr
  lines = done.stderr.splitlines()
  # Beside what the library was asked to log.
  (line,) = [line for line in lines if not re.match(r"[A-Z]\d{4} ", line)]
  assert line.startswith("s3_jax: ") and "OPENAI_API_KEY" in line
  assert "10 of 10" in line
