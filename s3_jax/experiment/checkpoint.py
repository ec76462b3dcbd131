"""A config's fields that name a checkpoint, and what results say of it."""

import json
import pathlib
from typing import Any, NamedTuple

from s3_jax.clip import ZOO, Clip, load_clip
from s3_jax.experiment.settings import Settings
from s3_jax.messages import nearest


class CheckpointSource(NamedTuple):
  """What `load_clip` needs, read and checked."""

  source: str
  spec: str | None
  tokenizer: str | None
  revision: str | None
  cache_dir: pathlib.Path | None  # None for the hub's own cache


def read_checkpoint(settings: Settings, field: str) -> CheckpointSource:
  """Reads which checkpoint a config asks for; nothing is fetched yet.

  Beside the field itself these may be set: `model_spec`, a name of the zoo,
  which a bare file needs; `tokenizer`, a file; and `revision`, of a hub
  repository. Fetched files go to the config's `cache_dir` where it has one.
  """
  source = settings.take(field, str)
  spec = settings.take("model_spec", str, default="")
  if spec and spec not in ZOO:
    raise ValueError(
      f"`config.model_spec` must be one of {nearest(ZOO, spec)}; got"
      f" {spec!r:.80}."
    )
  cache_dir = settings.everything.get("cache_dir")
  return CheckpointSource(
    source,
    spec or None,
    settings.take("tokenizer", str, default="") or None,
    settings.take("revision", str, default="") or None,
    pathlib.Path(cache_dir) if cache_dir else None,
  )


def load_checkpoint(source: CheckpointSource) -> Clip:
  """Loads what a config asks for."""
  return load_clip(
    source.source,
    spec=source.spec,
    tokenizer=source.tokenizer,
    cache_dir=source.cache_dir,
    revision=source.revision,
  )


def checkpoint_facts(clip: Clip) -> dict[str, str]:
  """Lists what processes of one run must have in common."""
  return {
    "the checkpoint's sha256": clip.sha256,
    "the tokenizer's sha256": clip.tokenizer_sha256,
  }


def describe_model(clip: Clip) -> dict[str, Any]:
  """Says in results which checkpoint gave them."""
  spec = {**clip.spec._asdict(), "source": clip.spec.source._asdict()}
  return {
    "name": clip.spec.name,
    "spec": json.loads(json.dumps(spec)),
    "sha256": clip.sha256,
    "tokenizer_sha256": clip.tokenizer_sha256,
    "revision": clip.revision,
  }
