"""Runs one experiment: `python -m s3_jax`, or `python main.py` in a checkout.

Exit codes: 0 when every asked result exists; 2 for bad input, with one line on
stderr; anything else is a bug.
"""

import pathlib
import sys
import warnings
from typing import NoReturn

from absl import app, flags, logging
from ml_collections import config_flags

_PACKAGE = pathlib.Path(__file__).resolve().parent
# In a wheel the experiments lie inside the package, in a checkout beside it.
_CONFIGS = (_PACKAGE / "configs", _PACKAGE.parent / "configs")
_DEMO = next(
  (str(folder / "demo.py") for folder in _CONFIGS if folder.is_dir()), None
)

_CONFIG = config_flags.DEFINE_config_file(
  "config",
  None,  # the demo: `_parse_flags` sets it, where it can refuse a field
  "File of the experiment; its fields are set with --config.x.y=value.",
  lock_config=True,
)
_WORKDIR = flags.DEFINE_string(
  "workdir", None, "Folder for the results; a new one under runs/ by default."
)
_DEBUG = flags.DEFINE_bool("debug", False, "Show the traceback of bad input.")
_PLATFORM = flags.DEFINE_enum(
  "platform",
  None,
  ["cpu", "gpu", "tpu"],
  "Platform that must be there; JAX's choice by default.",
)


def main(argv: list[str]) -> None:
  """Runs the experiment that the flags describe."""
  if len(argv) > 1:
    _refuse(f"arguments must be --flags, got {argv[1]!r}.")
  import jax

  from s3_jax import experiment

  logging.set_verbosity(logging.WARNING)
  warnings.showwarning = _show_warning
  try:
    if _PLATFORM.value:
      _require_platform(jax, _PLATFORM.value)
    experiment.run(_CONFIG.value, _WORKDIR.value)
  except (ValueError, OSError) as error:
    if _DEBUG.value:
      raise
    _refuse(str(error))
  except KeyboardInterrupt:
    sys.stderr.write("\ns3_jax: stopped; the same command goes on from here.\n")
    sys.exit(130)


def _require_platform(jax, platform: str) -> None:
  jax.config.update("jax_platforms", {"gpu": "cuda"}.get(platform, platform))
  try:
    jax.devices()
  except RuntimeError as error:
    raise ValueError(
      f"`--platform` must be a platform that JAX finds here, got {platform!r}:"
      f" {error}"
    ) from error


def _show_warning(message, category, filename, lineno, file=None, line=None):
  del category, filename, lineno, file, line
  sys.stderr.write(f"s3_jax: {message}\n")


def _parse_flags(argv: list[str]) -> list[str]:
  try:
    flags.set_default(_CONFIG, _DEMO)
    return flags.FLAGS(argv)
  except flags.Error as error:
    _refuse(str(error))
  except Exception as error:  # a config is the user's own program
    if "--debug" in argv:
      raise
    _refuse(
      "`--config` must be a file that can be run, and `--config.x` one of its"
      f" fields, got {type(error).__name__}: {error}"
    )


def _refuse(reason: str) -> NoReturn:
  sys.stderr.write(f"s3_jax: {' '.join(reason.split())}\n")
  sys.exit(2)


def run_main() -> None:
  """Parses the flags and runs."""
  app.run(main, flags_parser=_parse_flags)


if __name__ == "__main__":
  run_main()
