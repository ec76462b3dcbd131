"""The task "embeddings_sweep": the choices of a sweep, without any tower."""

import pathlib
from collections.abc import Callable
from typing import Any, NamedTuple

from s3_jax import hosts
from s3_jax.experiment.methods.images import MethodPlan
from s3_jax.experiment.methods.prompts import concepts
from s3_jax.experiment.session import Session
from s3_jax.experiment.settings import Settings
from s3_jax.experiment.tasks.embeddings import read_logit_scale
from s3_jax.experiment.tasks.embeddings.input import (
  EmbeddingSource,
  load_input,
  read_source,
)
from s3_jax.experiment.tasks.sweep.spaces import (
  Row,
  read_choices,
  score_choices,
  write_rows,
)


class EmbeddingSweep(NamedTuple):
  """The settings of a sweep over embeddings, read and checked."""

  source: EmbeddingSource
  choices: dict[str, Row]
  logit_scale: float  # natural logarithm
  config: dict[str, Any]  # as given


def read_settings(settings: Settings) -> Callable[[pathlib.Path], Any]:
  """Reads the settings of a sweep over embeddings."""
  sweep = EmbeddingSweep(
    config=settings.everything,
    source=read_source(settings),
    choices=read_choices(settings, ("texts",)),
    logit_scale=read_logit_scale(settings),
  )
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
  rows = score_choices(
    sweep.choices,
    [
      MethodPlan(key, row.method(concepts), (), (), ())
      for key, row in sweep.choices.items()
    ],
    {concepts: given.table},
    given.test_set,
    right=[len(of_class) for of_class in given.rows],
    logit_scale=sweep.logit_scale,
    mesh=session.devices,
    timings=session.timings,
  )
  return write_rows(session, rows, str(given.test_set.labels.size))
