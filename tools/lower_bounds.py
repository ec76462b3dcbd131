"""Installs the lowest versions that pyproject.toml allows, and runs the tests.

Command:
  python tools/lower_bounds.py FOLDER

Makes a virtual environment in FOLDER with the lower bound of each declared
dependency, those of the extras too, and the tools of the tests, and runs the
tests marked `fast` there. What these need themselves is pip's choice, the
newest, as for a user. Prints the versions, and ends with pytest's exit code.
It takes some minutes and a network; docs/INSTALL.md notes what was found.
"""

import pathlib
import re
import subprocess
import sys
import tomllib
import venv

ROOT = pathlib.Path(__file__).resolve().parent.parent
OWN = "s3_jax["  # an extra that is made of others
# Oracles and tools of the tests, at their pins. The lower bounds of `dev` are
# these pins; transformers' belongs to another range of the Hub's client, and
# none of the tests marked `fast` needs it.
TOOLS = (
  *("beartype", "build", "gudhi", "hypothesis", "pytest", "pytest-xdist"),
  *("ripser", "scikit-learn", "setuptools", "torch"),
)


def lower_bounds(project: dict) -> dict[str, str]:
  """Lists the lowest version of each dependency, those of the extras too."""
  extras = project["optional-dependencies"]
  rows = [*project["dependencies"]]
  for extra in extras.keys() - {"dev", "all"}:
    rows += [row for row in extras[extra] if not row.startswith(OWN)]
  bounds = {}
  for row in rows:
    found = re.fullmatch(r"([\w-]+)>=([\w.]+)( *;.*)?", row)
    if found is None:
      raise ValueError(f"a dependency must be NAME>=VERSION, got {row!r}.")
    bounds[found[1]] = found[2]
  return bounds


def main(folder: pathlib.Path) -> int:
  """Installs and tests; returns pytest's exit code."""
  text = (ROOT / "pyproject.toml").read_text("utf-8")
  bounds = lower_bounds(tomllib.loads(text)["project"])
  pins = (ROOT / "requirements-dev.txt").read_text("utf-8")
  tools = [
    line.split("#")[0].strip()
    for line in pins.splitlines()
    if line.partition("==")[0] in TOOLS
  ]
  venv.create(folder, with_pip=True)
  python = str(folder / "bin" / "python")

  def run(*command: str) -> int:
    return subprocess.run([python, "-m", *command], cwd=ROOT).returncode

  lowest = [f"{name}=={version}" for name, version in bounds.items()]
  if run("pip", "install", "-q", *lowest, *tools) or run("pip", "check"):
    return 1
  run("pip", "list", "--format=freeze")
  # An old library warns of its newer neighbours, which is no fault of ours.
  return run("pytest", "-q", "-m", "fast", "-o", "filterwarnings=default")


if __name__ == "__main__":
  if len(sys.argv) != 2:
    sys.exit(__doc__)
  sys.exit(main(pathlib.Path(sys.argv[1])))
