"""Runs one experiment: `python main.py --config=configs/demo.py`.

Exit codes: 0 when every asked result exists; 2 for bad input, with one line on
stderr; anything else is a bug.
"""

import os
import pathlib
import sys

from absl import app, flags
from ml_collections import config_flags

_DEMO = pathlib.Path(__file__).resolve().parent / "configs" / "demo.py"

_CONFIG = config_flags.DEFINE_config_file(
  "config", str(_DEMO), "File of the experiment.", lock_config=True
)
_WORKDIR = flags.DEFINE_string(
  "workdir", None, "Folder for the results; a new one under runs/ by default."
)
_DEBUG = flags.DEFINE_bool("debug", False, "Show tracebacks of bad input.")
_PLATFORM = flags.DEFINE_enum(
  "platform",
  None,
  ["cpu", "gpu", "tpu"],
  "Platform that must be used; JAX's choice by default.",
)


def main(argv: list[str]) -> None:
  """Runs the experiment that the flags describe."""
  if len(argv) > 1:
    _refuse(f"arguments must be --flags, got {argv[1]!r}.")
  if _PLATFORM.value:
    # Read by JAX when it is imported, so it is imported below.
    os.environ["JAX_PLATFORMS"] = {"gpu": "cuda"}.get(
      _PLATFORM.value, _PLATFORM.value
    )
  from s3_jax import experiment

  try:
    experiment.run(_CONFIG.value, _WORKDIR.value)
  except (ValueError, OSError) as error:
    if _DEBUG.value:
      raise
    _refuse(str(error))


def _parse_flags(argv: list[str]) -> list[str]:
  try:
    return flags.FLAGS(argv)
  except (flags.Error, OSError, AttributeError, KeyError) as error:
    _refuse(str(error))


def _refuse(reason: str) -> "NoReturn":  # noqa: F821
  sys.stderr.write(f"s3_jax: {' '.join(reason.split())}\n")
  sys.exit(2)


def run_main() -> None:
  """Parses the flags and runs; the entry point of `python -m s3_jax` too."""
  app.run(main, flags_parser=_parse_flags)


if __name__ == "__main__":
  run_main()
