"""Which platform a run gets: the one that was asked for, or none.

JAX falls back to the CPU where an accelerator cannot be started, for example
because another process holds it, and says so in its log at most. Nobody wants
hours on the wrong platform, so that is an error here.
"""

import importlib.metadata
import importlib.util
import os
import pathlib
import warnings
from collections.abc import Mapping
from typing import NamedTuple

import jax

PLATFORMS = ("cpu", "gpu", "tpu")
"""The words of `--platform`, which are JAX's for its backends."""


class Accelerator(NamedTuple):
  """A kind of accelerator, and how to tell that it is there.

  Attributes:
    title: in messages.
    modules: of JAX's support for it; one of them is enough.
    files: pattern of the device files that its driver makes.
    hidden_by: environment variables that may hide all its devices.
    install: what to install for JAX to support it.
  """

  title: str
  modules: tuple[str, ...]
  files: str
  hidden_by: tuple[str, ...]
  install: str


# By JAX's names. A TPU that has files under /dev/vfio alone, as any device of a
# virtual machine may, is left to JAX, which warns of it.
ACCELERATORS = {
  "cuda": Accelerator(
    "an NVIDIA GPU",
    ("jax_cuda13_plugin", "jax_cuda12_plugin"),
    "dev/nvidia[0-9]*",
    ("CUDA_VISIBLE_DEVICES",),
    "jax[cuda13], or jax[cuda12] for older drivers",
  ),
  "rocm": Accelerator(
    "an AMD GPU",
    ("jax_rocm7_plugin",),
    "dev/kfd",
    ("ROCR_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES"),
    "jax[rocm7-local], if ROCm supports it",
  ),
  "tpu": Accelerator("a TPU", ("libtpu",), "dev/accel[0-9]*", (), "jax[tpu]"),
}
_SETTING = "jax_platforms"  # JAX_PLATFORMS in the environment
_HIDING = ("", "-1", "NoDevFiles")


class Machine(NamedTuple):
  """What can be known of a machine without starting an accelerator.

  Attributes:
    asked: the platforms that JAX was told to use; "" for its own choice.
    installed: keys of ACCELERATORS that JAX's support is installed for.
    present: keys of ACCELERATORS whose device files are there, and not hidden,
      with the first of these files.
  """

  asked: str
  installed: frozenset[str]
  present: Mapping[str, str]


def describe_machine(
  root: pathlib.Path = pathlib.Path("/"),
  environment: Mapping[str, str] = os.environ,
) -> Machine:
  """Looks for accelerators and for JAX's support of them."""
  plugins = importlib.metadata.entry_points(group="jax_plugins").names
  installed, present = set(), {}
  for key, accelerator in ACCELERATORS.items():
    modules = map(importlib.util.find_spec, accelerator.modules)
    if any(modules) or any(key in plugin for plugin in plugins):
      installed.add(key)
    if any(environment.get(v, "all") in _HIDING for v in accelerator.hidden_by):
      continue
    for file in sorted(root.glob(accelerator.files))[:1]:
      present[key] = f"/{file.relative_to(root)}"
  asked = getattr(jax.config, _SETTING) or ""
  return Machine(asked, frozenset(installed), present)


def require_platform(name: str) -> None:
  """Makes JAX run on a platform, or refuses."""
  if name not in PLATFORMS:
    raise ValueError(
      f"`--platform` must be one of {', '.join(PLATFORMS)}, got {name!r}."
    )
  platform = name
  if name == "gpu":
    installed = describe_machine().installed
    rocm = "rocm" in installed and "cuda" not in installed
    platform = "rocm" if rocm else "cuda"
  jax.config.update(_SETTING, platform)
  try:
    found = jax.default_backend()
  # JAX 0.10 asserts where no device file of a GPU is there.
  except (RuntimeError, AssertionError) as error:
    raise ValueError(
      f"`--platform` must be a platform that JAX finds here, got {name!r}:"
      f" {str(error) or 'there is no such device.'}"
    ) from error
  if found != name:
    raise ValueError(
      f"`--platform` must be set before JAX starts another one, got {name!r}"
      f" after {found!r}."
    )


def check_fallback() -> None:
  """Refuses the CPU where an accelerator is there that JAX was to use.

  Looks at nothing if the user named a platform, by `--platform` or by
  JAX_PLATFORMS. Starts JAX's backends otherwise.
  """
  machine = describe_machine()
  if machine.asked:
    return
  try:
    backend = jax.default_backend()
  except RuntimeError as error:
    raise ValueError(
      f"JAX must be able to start its platforms, got: {error}; `--platform=cpu`"
      " runs on the CPU."
    ) from error
  check_backend(machine, backend)


def check_backend(machine: Machine, backend: str) -> None:
  """Compares the backend that JAX chose with what the machine has.

  An accelerator without JAX's support for it is a warning.
  """
  if machine.asked or backend != "cpu":
    return
  for key, file in machine.present.items():
    accelerator = ACCELERATORS[key]
    if key in machine.installed:
      raise ValueError(
        f"JAX must run on {accelerator.title}, which is there ({file}) and"
        " which the installed JAX supports, got the CPU: another process may"
        " hold it, or its driver be too old; `--platform=cpu` runs on the CPU."
      )
    warnings.warn(
      f"{accelerator.title} seems to be there ({file}), and JAX has no support"
      f" for it installed: this run uses the CPU; {accelerator.install},"
      " installs it, and `--platform=cpu` ends this notice.",
      stacklevel=2,
    )
