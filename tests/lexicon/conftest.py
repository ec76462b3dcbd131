"""A misbehaving endpoint for the tests of the generator, and files of words."""

import json

import pytest

from s3_jax.lexicon.endpoint import open_endpoint
from tests.generator_runs import KEY, Run
from tests.model_server import good, serve


@pytest.fixture(scope="module")
def running():
  with serve() as server:
    yield server


@pytest.fixture(scope="module")
def ask(running):
  with open_endpoint(running.url, key=KEY, timeout=60.0) as ask:
    yield ask


@pytest.fixture(scope="module")
def hasty(running):
  """Waits little: what a busy machine delays may time out as well."""
  with open_endpoint(running.url, key=KEY, timeout=0.3) as ask:
    yield ask


@pytest.fixture
def server(running):
  running.sent.clear()
  running.plan.clear()
  running.behave = good
  return running


@pytest.fixture
def run(ask, server):
  return Run(ask)


@pytest.fixture
def write(tmp_path):
  """Writes a file of a text, or of a value as JSON."""

  def write(name, content):
    path = tmp_path / name
    if not isinstance(content, str):
      content = json.dumps(content)
    path.write_text(content, encoding="utf-8")
    return path

  return write
