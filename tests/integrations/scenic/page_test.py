"""The code of docs/SCENIC.md, run, on a data set of 20 images."""

import re
from typing import Any, NamedTuple

import flax
import numpy as np
import pytest

import s3_jax
from s3_jax.data import datasets
from s3_jax.integrations import scenic

pytestmark = pytest.mark.usefixtures("no_scenic")


class State(NamedTuple):
  """What is read of Scenic's TrainState."""

  params: Any
  model_state: Any


class Writer:
  """Keeps what it is given."""

  def __init__(self):
    self.written = {}

  def write_scalars(self, step, scalars):
    self.written[step] = dict(scalars)

  def flush(self):
    pass


@pytest.fixture
def blocks(repository) -> list[str]:
  text = (repository / "docs" / "SCENIC.md").read_text("utf-8")
  return re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)


def needs_scenic(block: str) -> bool:
  return "from scenic." in block


def test_the_page_runs_as_printed(blocks, world, monkeypatch):
  made = world(20, size=48, classes=90)
  monkeypatch.setattr(datasets, "open_dataset", lambda row, folder: made.opened)
  clip = s3_jax.load_clip("s3_jax/pictographs")
  writer = Writer()
  variables = scenic.to_variables(clip.params, clip.spec)
  state = State(variables["params"], {})
  # What a trainer has at hand.
  names = {
    "train_state": flax.jax_utils.replicate(state),
    "writer": writer,
  }
  run = [block for block in blocks if not needs_scenic(block)]
  assert len(run) == 5
  for block in run:
    exec(compile(block, "docs/SCENIC.md", "exec"), names)
  images = s3_jax.embed_images(clip.spec, clip.params, made.pixels)
  space = flax.jax_utils.unreplicate(names["space"])
  scores = np.asarray(s3_jax.point_to_local_center(images, space))
  right = np.argmax(scores, axis=1) == made.labels
  summary = names["summary"]
  assert summary["valid_s3_n"] == 20
  assert summary["valid_s3_accuracy"] == right.mean()
  assert writer.written == {1000: summary}
  assert names["bad"] == {}


def test_what_needs_scenic_compiles(blocks):
  needing = [block for block in blocks if needs_scenic(block)]
  assert len(needing) == 3
  for block in needing:
    compile(block, "docs/SCENIC.md", "exec")


def test_the_evaluator_takes_about_twenty_lines(blocks):
  (function,) = (block for block in blocks if "def evaluate(" in block)
  lines = function.split("\n\n\n")[0].splitlines()
  (before,) = (block for block in blocks if "jax.pmap" in block)
  lines += before[before.index("space = flax") :].splitlines()
  assert len(lines) <= 22
