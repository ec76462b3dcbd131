"""Keeps compiled programs in a folder, for the next run to start faster."""

import contextlib
import pathlib
from collections.abc import Iterator
from typing import Annotated

import jax
from jax.experimental.compilation_cache import compilation_cache

from s3_jax.experiment.settings import require_writable
from s3_jax.fields import Rule, Where

_FIELD = "compilation_cache_dir"

# Runs have hundreds of programs that compile in less than JAX's own threshold,
# one second; on CPU they are most of what is to be saved.
_OPTIONS = {
  "jax_persistent_cache_min_compile_time_secs": 0.0,
  "jax_persistent_cache_min_entry_size_bytes": -1,
}


def _read_folder(folder: str, where: Where) -> str:
  if "://" in folder:
    raise ValueError(
      f"`{where.path}` must be a folder of this machine, got {folder!r}: set"
      " JAX_COMPILATION_CACHE_DIR for a bucket."
    )
  return folder


ProgramFolder = Annotated[str, Rule(read=_read_folder)]


@contextlib.contextmanager
def kept_programs(folder: str) -> Iterator[None]:
  """Lets JAX read and write compiled programs in a folder.

  JAX's own settings, such as JAX_COMPILATION_CACHE_DIR, are what they were
  again afterwards, and stay as they are where no folder is given.
  """
  if not folder:
    yield
    return
  require_writable(pathlib.Path(folder), f"config.{_FIELD}")
  options = {"jax_compilation_cache_dir": folder, **_OPTIONS}
  before = {name: getattr(jax.config, name) for name in options}
  _set(options)
  try:
    yield
  finally:
    _set(before)


def _set(options: dict[str, str | float | int | None]) -> None:
  for name, value in options.items():
    jax.config.update(name, value)
  # JAX looks once a process whether there is a cache, and where.
  compilation_cache.reset_cache()
