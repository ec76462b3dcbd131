"""Synonymous spaces: built from texts, pruned, reported on and stored."""

from s3_jax.space.build import SynonymousSpace, build_space
from s3_jax.space.complex import attach_complex
from s3_jax.space.report import (
  KeptRow,
  SharedRow,
  kept_report,
  shared_report,
)
from s3_jax.space.shared import exclude_shared
from s3_jax.space.storage import load_space, save_space
from s3_jax.space.weighing import Evidence
from s3_jax.space.witnesses import two_witnesses, weigh_texts

__all__ = [
  "Evidence",
  "KeptRow",
  "SharedRow",
  "SynonymousSpace",
  "attach_complex",
  "build_space",
  "exclude_shared",
  "kept_report",
  "load_space",
  "save_space",
  "shared_report",
  "two_witnesses",
  "weigh_texts",
]
