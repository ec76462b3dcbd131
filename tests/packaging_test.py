"""The wheel holds all that the package needs, and works away from here."""

import email
import itertools
import json
import os
import pathlib
import runpy
import shutil
import subprocess
import sys
import tomllib
import zipfile

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import s3_jax

DIST_INFO = f"s3_jax-{s3_jax.__version__}.dist-info"
SOURCES = (
  "s3_jax",
  "configs",
  "LICENSE",
  "NOTICE",
  "README.md",
  "pyproject.toml",
)


def _run(*command, cwd, **environment) -> subprocess.CompletedProcess:
  return subprocess.run(
    [sys.executable, *command],
    cwd=cwd,
    env={**os.environ, **environment},
    capture_output=True,
    text=True,
    timeout=300,
    check=False,
  )


@pytest.fixture(scope="module")
def wheel(repository, tmp_path_factory) -> pathlib.Path:
  """Builds the wheel from a copy, so that the checkout stays clean."""
  source = tmp_path_factory.mktemp("source")
  for name in SOURCES:
    if (repository / name).is_dir():
      ignore = shutil.ignore_patterns("__pycache__")
      shutil.copytree(repository / name, source / name, ignore=ignore)
    else:
      shutil.copy(repository / name, source / name)
  done = _run("-m", "build", "--wheel", "--no-isolation", cwd=source)
  assert not done.returncode, done.stdout + done.stderr
  (file,) = (source / "dist").glob("*.whl")
  return file


@pytest.fixture(scope="module")
def contents(wheel) -> set[str]:
  with zipfile.ZipFile(wheel) as archive:
    return set(archive.namelist())


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory) -> pathlib.Path:
  """Installs the wheel alone into a folder of its own."""
  target = tmp_path_factory.mktemp("installed")
  options = ["--no-deps", "--no-index", "--quiet", "--target", str(target)]
  done = _run("-m", "pip", "install", *options, str(wheel), cwd=target)
  assert not done.returncode, done.stdout + done.stderr
  return target


def test_every_source_file_is_inside(repository, contents):
  for folder, inside in (("s3_jax", "s3_jax"), ("configs", "s3_jax/configs")):
    for file in (repository / folder).rglob("*"):
      if file.is_file() and "__pycache__" not in file.parts:
        name = file.relative_to(repository / folder).as_posix()
        assert f"{inside}/{name}" in contents


def test_package_data_is_inside(contents):
  assert "s3_jax/py.typed" in contents
  assert "s3_jax/configs/demo.py" in contents
  assert "s3_jax/lexicon/tables/pictographs.json" in contents
  checkpoints = {pathlib.PurePath(n) for n in contents if "/checkpoints/" in n}
  for name in (
    "config.json",
    "model.safetensors",
    "preprocessor_config.json",
    "tokenizer.json",
  ):
    assert name in {path.name for path in checkpoints}


def test_licences_are_inside(contents):
  assert f"{DIST_INFO}/licenses/LICENSE" in contents
  assert f"{DIST_INFO}/licenses/NOTICE" in contents


def test_nothing_else_is_inside(contents):
  roots = {name.split("/")[0] for name in contents}
  assert roots == {"s3_jax", DIST_INFO}


def test_metadata(wheel):
  with zipfile.ZipFile(wheel) as archive:
    text = archive.read(f"{DIST_INFO}/METADATA").decode()
  metadata = email.message_from_string(text)
  assert metadata["Name"] == "s3_jax"
  assert metadata["Requires-Python"] == ">=3.11"
  assert metadata["License-Expression"] == "Apache-2.0"


def test_import_away_from_the_checkout(installed, tmp_path):
  done = _run(
    "-c",
    "import s3_jax; print(s3_jax.__file__)",
    cwd=tmp_path,
    PYTHONPATH=str(installed),
  )
  assert not done.returncode, done.stderr
  assert pathlib.Path(done.stdout.strip()).is_relative_to(installed)


def test_help_away_from_the_checkout(installed, tmp_path):
  done = _run("-m", "s3_jax", "--help", cwd=tmp_path, PYTHONPATH=str(installed))
  assert not done.returncode, done.stderr
  for word in ("usage: s3-jax TASK", "predict", "imagenet_sketch"):
    assert word in done.stdout
  assert "Traceback" not in done.stderr
  assert not list(tmp_path.iterdir())


def test_demo_away_from_the_checkout(installed, tmp_path):
  # The whole road, on one of the five test sets, twice.
  workdirs = []
  for attempt in ("cold", "warm"):
    workdirs.append(tmp_path / attempt)
    done = _run(
      "-m",
      "s3_jax",
      "demo",
      f"--workdir={workdirs[-1]}",
      "--test_sets=fxemoji",
      cwd=tmp_path,
      PYTHONPATH=str(installed),
      XDG_CACHE_HOME=str(tmp_path / "cache"),
    )
    assert not done.returncode, done.stderr
    assert "local_center" in done.stdout
  cold, warm = (
    json.loads((workdir / "results.json").read_text()) for workdir in workdirs
  )
  assert cold["counters"]["images_decoded"] == 295
  assert cold["counters"]["tower_batches"] == 3
  assert warm["counters"] == {
    "images_decoded": 0,
    "tower_batches": 0,
    "text_tower_batches": 0,
    "cache": "warm",
  }
  for results in (cold, warm):
    del results["timings"], results["counters"]
  assert warm == cold
  top1 = {row["name"]: row["top1"] for row in cold["methods"]}
  assert len(top1) == 10
  assert top1["best_name"] > 0.6  # the aim for artists that are unseen
  for workdir in workdirs:
    names = {path.name for path in workdir.iterdir()}
    assert names >= {
      "results.json",
      "results.md",
      "results.csv",
      "results.tex",
      "report.html",
      "per_class.csv",
      "log.txt",
      "figures",
    }


def _requirements(file: pathlib.Path) -> dict[str, Requirement]:
  text = file.read_text(encoding="utf-8")
  lines = [line.split("#")[0].strip() for line in text.splitlines()]
  pins = [
    Requirement(line) for line in lines if line and not line.startswith("-r")
  ]
  return {canonicalize_name(pin.name): pin for pin in pins}


def test_the_lowest_versions_are_read_off_the_bounds(repository):
  project = tomllib.loads((repository / "pyproject.toml").read_text("utf-8"))[
    "project"
  ]
  script = runpy.run_path(str(repository / "tools" / "lower_bounds.py"))
  bounds = script["lower_bounds"](project)
  extras = project["optional-dependencies"]
  rows = [rows for name, rows in extras.items() if name != "dev"]
  wanted = [
    requirement
    for requirement in map(
      Requirement, itertools.chain(project["dependencies"], *rows)
    )
    if canonicalize_name(requirement.name) != "s3-jax"
  ]
  assert {(r.name, f">={bounds[r.name]}") for r in wanted} == {
    (r.name, str(r.specifier)) for r in wanted
  }
  assert len(bounds) == len(wanted)


def test_pins_satisfy_the_declared_bounds(repository):
  project = tomllib.loads(
    (repository / "pyproject.toml").read_text(encoding="utf-8")
  )["project"]
  run_time = _requirements(repository / "requirements.txt")
  development = run_time | _requirements(repository / "requirements-dev.txt")
  extras = project["optional-dependencies"]
  # Synonyms are asked for by those who want them, and by the tests.
  on_demand = ("dev", "generate")
  whole = [rows for name, rows in extras.items() if name not in on_demand]
  for declared, pins in (
    (project["dependencies"], run_time),
    (itertools.chain(*whole), run_time),
    (itertools.chain(*(extras[name] for name in on_demand)), development),
  ):
    for requirement in map(Requirement, declared):
      if canonicalize_name(requirement.name) == "s3-jax":
        continue  # an extra made of others
      pin = pins[canonicalize_name(requirement.name)]
      (specifier,) = pin.specifier
      assert specifier.operator == "=="
      assert requirement.specifier.contains(specifier.version), requirement
  assert "scenic" not in development  # on PyPI: an unrelated project
