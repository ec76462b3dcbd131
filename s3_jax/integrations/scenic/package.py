"""Google's Scenic where it is installed, and never its namesake."""

from typing import Any

_WRONG = (
  "`scenic` must be Google's Scenic, github.com/google-research/scenic, and the"
  " one that is installed has no {missing}: PyPI's package of that name is"
  " another project. Uninstall it and install Scenic from its repository, as"
  " docs/SCENIC.md shows."
)


def find_dataset_class() -> Any:
  """Finds Scenic's `Dataset`; None without Scenic or a library it imports."""
  try:
    from scenic.dataset_lib import (  # pyright: ignore[reportMissingImports]
      dataset_utils,
    )
  except ImportError as error:
    _refuse_namesake(error)
    if not isinstance(error, ModuleNotFoundError):
      raise  # there, and broken
    return None
  return _attribute(dataset_utils, "Dataset")


def find_registry() -> Any:
  """Finds the module that Scenic's data sets are registered with."""
  try:
    from scenic.dataset_lib import (  # pyright: ignore[reportMissingImports]
      datasets,
    )
  except ImportError as error:
    _refuse_namesake(error)
    raise ValueError(
      "`register_dataset` must find Google's Scenic and all that it imports,"
      f" got: {error}. docs/SCENIC.md shows how to install it."
    ) from error
  _attribute(datasets, "add_dataset")
  return datasets


def _refuse_namesake(error: ImportError) -> None:
  """Raises if a package `scenic` is there that lacks Scenic's modules."""
  name = error.name or ""
  if name.startswith("scenic."):
    raise ValueError(_WRONG.format(missing=name)) from error


def _attribute(module: Any, name: str) -> Any:
  if not hasattr(module, name):
    missing = f"{module.__name__}.{name}"
    raise ValueError(_WRONG.format(missing=missing))
  return getattr(module, name)
