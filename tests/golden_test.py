"""What whole runs write, against files made before the modules moved.

Runs start at what users start at: the config files, `experiment.run`, the
command line. So a module may move, split or change its name, and what a run
says must stay. All golden files, or those that are named, are made again by

  python -m tests.golden_test --write [CASE ...]

which is done only where results are meant to change.
"""

import hashlib
import json
import math
import os
import pathlib
import runpy
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import numpy as np
import pytest
from PIL import Image

from s3_jax import experiment
from tests.benchmark_replicas import make_replica
from tests.pictograph_replicas import make_pictographs_small
from tests.segmentation_replicas import make_segmentation
from tests.tfds_replicas import encoded, prepare_official

ROOT = pathlib.Path(__file__).resolve().parent.parent
GOLDEN = ROOT / "tests" / "golden"
# Another processor adds in another order: its floats differ in the last of
# their 24 bits, and sums and differences of them by some more. What is counted
# or decided stays the same, and must be exactly that.
RELATIVE, ABSOLUTE = 1e-5, 1e-7
DIGITS = 7
# Results have four decimals of these, of which the last may be the next one.
ROUNDED, OF_ROUNDED = ("/own", "/other", "/sum"), 3e-4
WRITE = "S3_JAX_WRITE_GOLDEN"  # set by `write` alone, for its tests
LONG = 2500  # characters without floats from which a list is only hashed
# Times, the machine, and what depends on other runs' caches.
DROPPED = {"timings", "environment", "text_tower_batches", "cache"}
DROPPED |= {"jax", "calling_convention"}  # of an export
# The demo becomes a benchmark run, which writes more than it does.
OF_DEMO = ("methods", "comparisons", "datasets", "pruning")
METHODS = ("class_name", "s3")
CALLED = {"model": "s3_jax/pictographs", "partial": True}
FEW = (0, 1, 5, 9)
TEXTS = {
  "Forest": ["Trees from above.", "dark green"],
  "River": ["a winding line", "banks on both sides"],
}


class Case:
  """A folder to run in, and how a config of the repository is run in it."""

  def __init__(self, folder: pathlib.Path, patch: pytest.MonkeyPatch) -> None:
    self.folder = folder
    self.data = folder / "data"
    self.patch = patch

  def run(self, name: str, word: str = "", /, **changes: Any) -> Any:
    """Runs a config; returns the content of what it writes."""
    get_config = runpy.run_path(str(ROOT / "configs" / f"{name}.py"))
    config = get_config["get_config"](*([word] if word else [])).unlock()
    fields = {
      **CALLED,
      "data_dir": str(self.data),
      "cache_dir": str(self.folder / "cache"),
      "mesh": 1,
    }
    config.update({k: v for k, v in fields.items() if k in config} | changes)
    run = self.folder / f"{name}{len(list(self.folder.glob('*')))}"
    experiment.run(config, str(run))
    return self.written(run)

  def written(self, run: pathlib.Path) -> Any:
    """Reads the JSON that a run wrote, the names of its files, its tables."""
    files = sorted(path for path in run.rglob("*") if path.is_file())
    content: dict[str, Any] = {
      path.name: json.loads(path.read_text("utf-8"))
      for path in files
      if path.suffix == ".json"
    }
    tables = {"confusion.csv", "per_class.csv"}
    if "predictions.json" not in content:  # or it has the same as numbers
      tables.add("predictions.csv")
    for path in files:
      if path.name in tables:
        content[path.name] = path.read_text("utf-8").splitlines()
    content["files"] = [path.relative_to(run).as_posix() for path in files]
    return self.plain(json.loads(json.dumps(content)))

  def plain(self, value: Any) -> Any:
    """Leaves out what is of this run alone, and shortens what is long."""
    if isinstance(value, str):
      text = value.replace(str(self.folder), "FOLDER")
      return text.replace(str(ROOT), "REPOSITORY")
    if isinstance(value, float):
      return float(f"{value:.{DIGITS}g}")
    if isinstance(value, dict):
      return {k: self.plain(v) for k, v in value.items() if k not in DROPPED}
    if isinstance(value, list):
      return shortened([self.plain(item) for item in value])
    return value


def shortened(items: list[Any]) -> Any:
  """Keeps of a long list the hash without floats, and the sum of those."""
  if all(isinstance(item, dict) and "dataset" in item for item in items):
    return items  # a table of results: what one wants to see
  floats: list[float] = []

  def exact(value):
    if isinstance(value, float):
      floats.append(value)
      return None
    if isinstance(value, dict):
      return {key: exact(item) for key, item in value.items()}
    return [exact(x) for x in value] if isinstance(value, list) else value

  text = json.dumps(exact(items), sort_keys=True)
  if len(text) <= LONG:
    return items
  digest = hashlib.sha256(text.encode()).hexdigest()
  return {"length": len(items), "sha256": digest, "sum": math.fsum(floats)}


def differences(
  golden: Any, found: Any, more: bool = False, path: str = ""
) -> Iterator[str]:
  """Says where two contents differ; `more` lets the second have more keys."""
  if isinstance(golden, dict) and isinstance(found, dict):
    for key in golden.keys() | (() if more else found.keys()):
      if key not in found or key not in golden:
        yield f"{path}/{key}: only in {'golden' if key in golden else 'found'}"
      else:
        yield from differences(golden[key], found[key], more, f"{path}/{key}")
  elif isinstance(golden, list) and isinstance(found, list):
    if len(golden) != len(found):
      yield f"{path}: golden has {len(golden)} items, found {len(found)}"
    for place, pair in enumerate(zip(golden, found, strict=False)):
      yield from differences(*pair, more, f"{path}[{place}]")
  elif {type(golden), type(found)} <= {int, float} and golden != found:
    both_whole = isinstance(golden, int) and isinstance(found, int)
    near = OF_ROUNDED if path.endswith(ROUNDED) else ABSOLUTE
    close = math.isclose(golden, found, rel_tol=RELATIVE, abs_tol=near)
    if both_whole or not close:
      yield f"{path}: golden {golden!r}, found {found!r}"
  elif golden != found or isinstance(golden, bool) != isinstance(found, bool):
    yield f"{path}: golden {golden!r}, found {found!r}"


def demo(case: Case) -> Any:
  make_pictographs_small(case.patch, 2)
  run = case.run("pictographs", test_sets=("plain",), figure_classes=())
  return {key: run["results.json"][key] for key in OF_DEMO}


def coop(case: Case) -> Any:
  """A split in JSON."""
  make_replica("dtd", case.data, classes=FEW)
  return case.run("dtd", methods=METHODS)


def tpt(case: Case) -> Any:
  """TPT's folders, with every method that looks at one view."""
  make_replica("eurosat", case.data, layout="tpt", images_per_class=3)
  file = case.folder / "texts.json"
  file.write_text(json.dumps(TEXTS))
  names = "dataset_template templates_7 cupl dclip waffle random_synonym"
  names += " templates_descriptors synonyms_mean synonyms_nearest descriptors"
  names += " s3_descriptors center local_center complex"
  files = {"cupl_file": str(file), "dclip_file": str(file)}
  return case.run("eurosat", methods=(*METHODS, *names.split()), **files)


def listing(case: Case) -> Any:
  make_replica("fgvc_aircraft", case.data, classes=FEW)
  return case.run("fgvc_aircraft", methods=("class_name",))


def suite(case: Case) -> Any:
  """Folders, a table in CSV, and a data set that is not there."""
  make_suite(case)
  return case.run("suite", **fields_of_suite())


def make_suite(case: Case) -> None:
  make_replica("eurosat", case.data, layout="folders", images_per_class=2)
  make_replica("oxford_pets", case.data, layout="csv")


def fields_of_suite() -> dict[str, Any]:
  sets = ("oxford_pets", "eurosat", "ucf101")
  return {"datasets": sets, "methods": METHODS}


def imagenet(case: Case) -> Any:
  """The archive as it is downloaded, and the shift with a part of classes."""
  make_replica("imagenet", case.data, layout="tar", classes=FEW)
  make_replica("imagenet_a", case.data, classes=FEW)
  return {
    name: case.run(name, methods=("class_name",))
    for name in ("imagenet", "imagenet_a")
  }


def tfds(case: Case) -> Any:
  """Of TFDS's own builder, and as this package prepares one."""
  rows = [{"image": encoded(9 * i), "label": 3 * i} for i in range(12)]
  prepare_official(case.data, "oxford_iiit_pet", rows)
  raw = case.folder / "raw"
  make_replica("eurosat", raw)
  case.run(
    "prepare_data", dataset="eurosat", data_dir=str(raw), to=str(case.data)
  )
  sets = ("oxford_pets", "eurosat")
  return case.run("suite", datasets=sets, methods=METHODS)


def own(case: Case) -> Any:
  """A folder without a table of names, and one with a file that is bad."""
  make_replica("eurosat", case.data, layout="folders", classes=FEW)
  folder = case.folder / "pictures"
  shutil.move(case.data / "eurosat", folder)
  sorted(folder.rglob("*.jpg"))[0].with_name("bad.jpg").write_bytes(b"none")
  return case.run("own_images", data_dir=str(folder), methods=METHODS)


def views(case: Case) -> Any:
  make_replica("eurosat", case.data, layout="folders", classes=FEW)
  fields = {"views": 4, "view_seeds": (0, 3), "confident_fraction": 0.5}
  return case.run("test_time", "eurosat", **fields)


def segmentation(case: Case) -> Any:
  make_segmentation("voc21", case.data)
  return case.run(
    "voc21",
    templates=("a {}.",),
    pictures=1,
    protocol_changes={"short_side": 48, "window": 48, "stride": 24},
  )


def segment(case: Case) -> Any:
  return case.run(
    "segment",
    images=str(photographs(case.folder)),
    classes="sun,umbrella,anchor",
    templates=("a {}.",),
    protocol_changes={"short_side": 48, "window": 48, "stride": 24},
  )


def photographs(folder: pathlib.Path) -> pathlib.Path:
  """Draws pictures of a few blocks, of different sizes."""
  made = folder / "photographs"
  made.mkdir()
  for number in range(4):
    blocks = np.arange(number, number + 12).reshape(2, 2, 3) * 67 % 256
    size = (40 + 7 * number, 60 - 5 * number)
    image = Image.fromarray(blocks.astype(np.uint8))
    image.resize(size, Image.Resampling.NEAREST).save(made / f"{number}.png")
  return made


def classes(folder: pathlib.Path) -> str:
  """Writes classes with several names."""
  path = folder / "classes.csv"
  names = {"sun": "sky", "crescent moon": "sky", "rain cloud": "sky"}
  names |= {"anchor": "sea", "sailing boat": "sea", "cup of tea": "cup"}
  lines = [f"{name},{key}\n" for name, key in names.items()]
  path.write_text("name,class\n" + "".join(lines))
  return str(path)


def predict(case: Case) -> Any:
  images = str(photographs(case.folder))
  return case.run("predict", images=images, classes=classes(case.folder))


def export(case: Case) -> Any:
  """What is said of the programs, and what one computes."""
  found = case.run("export", classes=classes(case.folder), text_tower=True)
  written = found["classifier.json"]
  # Of programs and floats, which another version or processor changes.
  written["files"] = sorted(written["files"])
  (folder,) = case.folder.glob("export*")
  program = jax.export.deserialize(
    (folder / "classifier.jaxexport").read_bytes()
  )
  size = written["image"]["crop_size"]
  pixels = np.arange(2 * size * size * 3).reshape(2, size, size, 3) * 7 % 256
  with np.load(folder / "classifier.npz") as arrays:
    scores = program.call(dict(arrays), pixels.astype(np.uint8))
  return case.plain({**found, "scores": np.asarray(scores).tolist()})


def embeddings(case: Case) -> Any:
  """Every method, on whole numbers, which every processor draws the same."""
  draw = np.random.default_rng(3)
  index = np.repeat(np.arange(5), (4, 1, 3, 2, 4))
  labels = draw.integers(0, 5, 60)
  centres = draw.integers(-9, 10, (5, 12))
  files = {"images": case.folder / "i.npz", "texts": case.folder / "t.npz"}
  images = centres[labels] + draw.integers(-12, 13, (60, 12))
  np.savez(files["images"], x=images.astype(np.float32), y=labels)
  texts = centres[index] + draw.integers(-6, 7, (index.size, 12))
  names = np.array([f"class {k} name {n}" for n, k in enumerate(index)])
  np.savez(
    files["texts"], v=texts.astype(np.float32), class_index=index, names=names
  )
  given = {key: str(path) for key, path in files.items()}
  return case.run("embeddings", **given)


CASES = {
  make.__name__: make
  for make in (
    *(demo, coop, tpt, listing, suite, imagenet, tfds, own, views),
    *(segmentation, segment, predict, export, embeddings),
  )
}


def check(name: str, found: Any, golden: Any) -> None:
  """Fails with the places that differ."""
  wrong = sorted(differences(golden, found, more=name == "demo"))
  rest = f"\nand {len(wrong) - 30} more" if len(wrong) > 30 else ""
  assert not wrong, f"golden/{name}.json:\n" + "\n".join(wrong[:30]) + rest


@pytest.mark.parametrize("name", CASES)
def test_a_run_says_what_it_said(name, tmp_path, monkeypatch):
  found = CASES[name](Case(tmp_path, monkeypatch))
  file = GOLDEN / f"{name}.json"
  if WRITE in os.environ:
    text = json.dumps(found, indent=1, sort_keys=True, ensure_ascii=False)
    file.write_text(text + "\n", encoding="utf-8")
  check(name, found, json.loads(file.read_text("utf-8")))


def test_two_processes_say_what_one_says(tmp_path, monkeypatch):
  case = Case(tmp_path, monkeypatch)
  make_suite(case)
  fields = {**CALLED, "data_dir": case.data, "cache_dir": tmp_path / "cache"}
  fields |= {"model_axis": 2, **fields_of_suite()}
  given = {key: str(value).replace(" ", "") for key, value in fields.items()}
  run = tmp_path / "run"
  command = [sys.executable, "-m", "s3_jax.launch", "--processes=2"]
  command += ["--cpu_devices=2", "--", f"--workdir={run}"]
  command += [f"--config={ROOT / 'configs' / 'suite.py'}"]
  command += [f"--config.{key}={value}" for key, value in given.items()]
  subprocess.run(command, cwd=ROOT, check=True, timeout=300)
  found = case.written(run)
  golden = json.loads((GOLDEN / "suite.json").read_text("utf-8"))
  for content in (found, golden):  # devices and batches are others
    for key in ("config", "counters"):
      del content["results.json"][key]
  check("suite", found, golden)


def write(names: Sequence[str]) -> int:
  """Makes golden files with the settings of all tests, so by pytest."""
  test = f"{__file__}::test_a_run_says_what_it_said"
  command = [sys.executable, "-m", "pytest", "-q", "--durations=0"]
  command += [f"{test}[{name}]" for name in names or CASES]
  return subprocess.call(command, cwd=ROOT, env={**os.environ, WRITE: "yes"})


if __name__ == "__main__":
  sys.exit(write(sys.argv[2:]) if sys.argv[1:2] == ["--write"] else __doc__)
