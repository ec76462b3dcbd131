"""The task "convert": any checkpoint as one folder of safetensors."""

import os
import pathlib
import secrets
import shutil
from collections.abc import Callable
from typing import Annotated, Any, NamedTuple

from s3_jax.clip import Clip, locations, save_clip
from s3_jax.clip.agreement import require_agreement
from s3_jax.experiment.checkpoint import (
  CheckpointSource,
  ModelSpecName,
  describe_model,
  load_checkpoint,
)
from s3_jax.experiment.run_log import tell
from s3_jax.experiment.settings import Settings
from s3_jax.fields import Rule
from s3_jax.files import file_sha256, write_json

_DTYPES = ("float32", "float16", "bfloat16")


class Conversion(NamedTuple):
  """The settings of a conversion; of the source as in `CheckpointSource`."""

  source: str  # a name of the zoo, a folder or a file
  to: str  # the new folder
  model_spec: ModelSpecName = ""  # of the zoo, for a bare file
  tokenizer: str = ""  # a file; default: the one beside the weights
  revision: str = ""  # of a hub repository; default: the zoo's or the newest
  # Of the written weights.
  dtype: Annotated[str, Rule(choices=_DTYPES)] = "float32"
  cache_dir: str = ""  # of fetched files; default: the hub's own cache

  @property
  def checkpoint(self) -> CheckpointSource:
    """What is converted."""
    settings = (self.model_spec, self.tokenizer, self.revision, self.cache_dir)
    return CheckpointSource(self.source, *settings)


def read_settings(settings: Settings) -> Callable[[pathlib.Path], Any]:
  """Reads the settings of a conversion."""
  conversion = settings.read(Conversion)
  return lambda folder: convert(conversion, folder)


def convert(conversion: Conversion, folder: pathlib.Path) -> pathlib.Path:
  """Writes a checkpoint as a folder that `load_clip` reads.

  The folder appears under its name when it is whole. Its settings are read
  again before that and must be those of the source.
  """
  to = pathlib.Path(conversion.to)
  if to.exists() and (not to.is_dir() or any(to.iterdir())):
    raise ValueError(
      f"`config.to` must be a new or empty folder, got {str(to)!r}."
    )
  clip = load_checkpoint(conversion.checkpoint)
  model = describe_model(clip)
  to.parent.mkdir(parents=True, exist_ok=True)
  temporary = to.parent / f".{secrets.token_hex(8)}.tmp"
  try:
    save_clip(
      temporary,
      clip.spec,
      clip.params,
      clip.tokenize.tokenizer,
      dtype=conversion.dtype,
      origin=_origin(model),
    )
    _require_same_settings(clip, temporary)
    os.replace(temporary, to)
  finally:
    shutil.rmtree(temporary, ignore_errors=True)
  files = {path.name: file_sha256(path) for path in sorted(to.iterdir())}
  document = {"schema": 1, "model": model, "to": str(to), "files": files}
  write_json(folder / "conversion.json", document)
  lines = [f"{sha256}  {to / name}\n" for name, sha256 in files.items()]
  tell("".join(lines))
  return to


def _origin(model: dict[str, Any]) -> dict[str, str]:
  notes = {"source_name": model["name"], "source_sha256": model["sha256"]}
  if model["revision"]:
    notes["source_revision"] = model["revision"]
  return notes


def _require_same_settings(clip: Clip, folder: pathlib.Path) -> None:
  found = locations.find_location(folder)
  settings = locations.read_settings(found, locations.find_vocabulary(found))
  require_agreement(settings, clip.spec, where=found.config)
