"""The task "embeddings_sweep": the choices of a sweep, without any tower."""

import pathlib
from collections.abc import Callable
from typing import Any, NamedTuple

from s3_jax import hosts
from s3_jax.experiment.methods.images import MethodPlan
from s3_jax.experiment.methods.prompts import concepts
from s3_jax.experiment.session import Session
from s3_jax.experiment.settings import Settings
from s3_jax.experiment.tasks.embeddings import LogitScale
from s3_jax.experiment.tasks.embeddings.input import (
  EmbeddingSource,
  load_input,
)
from s3_jax.experiment.tasks.sweep.spaces import (
  Choices,
  Row,
  score_choices,
  write_rows,
)
from s3_jax.fields import Given, Inline, raw


class EmbeddingSweep(NamedTuple):
  """The settings of a sweep over embeddings."""

  config: Given
  source: Inline[EmbeddingSource]
  choices: Inline[Choices]
  logit_scale: LogitScale = raw(100.0)  # CLIP's, not its logarithm


def read_settings(settings: Settings) -> Callable[[pathlib.Path], Any]:
  """Reads the settings of a sweep over embeddings."""
  sweep = settings.read(EmbeddingSweep)
  return lambda folder: run_sweep(sweep, folder)


def run_sweep(sweep: EmbeddingSweep, folder: pathlib.Path) -> list[Row]:
  """Scores every choice on embeddings that lie in files."""
  session = Session(folder, config=sweep.config)
  given = hosts.raise_on_all(lambda: load_input(sweep.source))
  hosts.agree({"the sha256 of the embeddings": given.model["sha256"]})
  for line in given.lines:
    session.log(line)
  session.log(
    "If these are test images, the numbers describe the choices, and must not"
    " make them."
  )
  choices = sweep.choices.rows("texts")
  rows = score_choices(
    session,
    choices,
    [
      MethodPlan(key, row.method(concepts), (), (), ())
      for key, row in choices.items()
    ],
    {concepts: given.table},
    given.test_set,
    right=[len(of_class) for of_class in given.rows],
    logit_scale=sweep.logit_scale,
  )
  return write_rows(session, rows, str(given.test_set.labels.size))
