"""A config's fields that name a checkpoint, and what results say of it."""

import json
import pathlib
from typing import Annotated, Any, NamedTuple

from s3_jax import hosts
from s3_jax.clip import ZOO, Clip, load_clip
from s3_jax.fields import Rule

ModelSpecName = Annotated[str, Rule(choices=ZOO)]


class CheckpointSource(NamedTuple):
  """Which checkpoint a config asks for; "" leaves a choice to `load_clip`."""

  model: str  # a name of the zoo, a folder or a file
  model_spec: ModelSpecName = ""  # of the zoo, for a bare file
  tokenizer: str = ""  # a file; default: the one beside the weights
  revision: str = ""  # of a hub repository; default: the zoo's or the newest
  cache_dir: str = ""  # of fetched files; default: the hub's own cache


def load_checkpoint(source: CheckpointSource) -> Clip:
  """Loads what a config asks for."""
  with hosts.step(f"load {pathlib.Path(source.model).name}"):
    return load_clip(
      source.model,
      spec=source.model_spec or None,
      tokenizer=source.tokenizer or None,
      cache_dir=pathlib.Path(source.cache_dir) if source.cache_dir else None,
      revision=source.revision or None,
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
