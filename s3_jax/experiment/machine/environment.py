"""What a result depends on beside its config: versions and devices."""

import importlib.metadata
import os
import pathlib
import platform
import subprocess
from typing import Any

import jax

import s3_jax

_PACKAGES = ("jax", "jaxlib", "flax", "numpy", "pillow", "tokenizers")
# What `clip.transformer.contract` does, which all products of the towers go
# through, but for those of a ResNet's convolutions, which do the same.
_TOWER_PRECISION = {
  "float32": "products of float32 at precision HIGHEST, sums in float32",
  "bfloat16": "products of bfloat16, sums in float32",
}
_DEFAULT = "jax_default_matmul_precision"
_COMPILE_EVENT = "/jax/core/compile/backend_compile_duration"


def describe_environment(dtype: str | None) -> dict[str, Any]:
  """Lists versions, devices and numerical settings."""
  return {
    "s3_jax": s3_jax.__version__,
    "git": git_commit(),
    "python": platform.python_version(),
    "versions": {name: importlib.metadata.version(name) for name in _PACKAGES},
    "platform": jax.default_backend(),
    "devices": [str(device.device_kind) for device in jax.devices()],
    "processes": jax.process_count(),
    **_tower_precision(dtype),
    "core_matmul": "float32, precision HIGHEST",
    # Of products that state no precision; towers and core have none.
    "default_matmul_precision": getattr(jax.config, _DEFAULT),
    "xla_flags": os.environ.get("XLA_FLAGS") or None,
  }


def _tower_precision(dtype: str | None) -> dict[str, str]:
  if dtype is None:
    return {}
  return {"tower_matmul": dtype, "tower_precision": _TOWER_PRECISION[dtype]}


def git_commit() -> str | None:
  """Returns the commit of a checkout, marked if it was changed, or None."""
  root = pathlib.Path(__file__).resolve().parents[3]
  if not (root / ".git").exists():
    return None
  try:
    done = subprocess.run(
      ["git", "describe", "--always", "--dirty", "--abbrev=12"],
      cwd=root,
      capture_output=True,
      text=True,
      timeout=10,
      check=True,
    )
  except (OSError, subprocess.SubprocessError):
    return None
  return done.stdout.strip()


class CompileClock:
  """Adds up the seconds that XLA compiles from its making on."""

  def __init__(self):
    self._total = 0.0

    def listen(event: str, duration_secs: float, **_: str | int) -> None:
      if event == _COMPILE_EVENT:
        self._total += duration_secs

    jax.monitoring.register_event_duration_secs_listener(listen)

  def seconds(self) -> float:
    """Returns the seconds so far."""
    return self._total
