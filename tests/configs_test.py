"""Every experiment in configs/ can be run, and says how."""

import importlib.util
import pathlib
import re
import types
from collections.abc import Iterator

import ml_collections
import pytest

from s3_jax import experiment

ROOT = pathlib.Path(__file__).resolve().parent.parent
FILES = sorted((ROOT / "configs").glob("*.py"))


def _load(file: pathlib.Path) -> types.ModuleType:
  """Imports a config from its path, as `--config=FILE` does."""
  spec = importlib.util.spec_from_file_location(f"config_{file.stem}", file)
  assert spec is not None and spec.loader is not None
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  return module


def test_the_default_experiment_is_there():
  assert "demo.py" in [file.name for file in FILES]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_docstring_holds_the_command(file):
  command = f"python main.py --config=configs/{file.name}"
  assert command in (_load(file).__doc__ or "")


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_config_is_locked_and_new_each_time(file):
  module = _load(file)
  config = module.get_config()
  assert isinstance(config, ml_collections.ConfigDict)
  assert config.is_locked
  with pytest.raises(AttributeError):
    config.no_such_field = 1
  again = module.get_config()
  assert again is not config
  assert again.to_json() == config.to_json()


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_dry_run_passes(file):
  experiment.dry_run(_load(file).get_config())


def _names(config: ml_collections.ConfigDict) -> Iterator[str]:
  for name, value in config.items():
    yield name
    if isinstance(value, ml_collections.ConfigDict):
      yield from _names(value)


@pytest.mark.parametrize(
  "page",
  sorted({*(ROOT / "docs").glob("*.md"), ROOT / "README.md"}),
  ids=lambda page: page.name,
)
def test_a_page_speaks_of_fields_that_exist(page):
  configs = [_load(file).get_config() for file in FILES]
  known = {name for config in configs for name in _names(config)}
  text = page.read_text("utf-8").replace("config.json", "")
  found = re.findall(r"config\.([a-z_]+(?:\.[a-z_0-9]+)*)", text)
  named = {part for name in found for part in name.split(".")}
  # That page speaks of Scenic's configs, too.
  scenic = {"dataset_name", "data_dtype_str"} if page.stem == "SCENIC" else {}
  assert named <= {*known, *scenic}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_the_record_of_the_fields_is_where_the_file_says(file):
  found = re.findall(r"^Fields: `(\w+)` in (\S+)\.$", file.read_text(), re.M)
  for record, module in found:
    assert f"class {record}(NamedTuple)" in (ROOT / module).read_text("utf-8")
