"""The core works without the libraries of the extras, and says which is absent.

A process of its own cannot import them, as after `pip install s3_jax`.
"""

import importlib.metadata
import json
import subprocess
import sys
import tomllib

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from PIL import Image

from s3_jax.experiment import TASKS
from s3_jax.extras import EXTRAS, require

ABSENT = sorted({module for extra in EXTRAS.values() for module in extra})

# What an import of these finds from here on is that there are none.
BLOCK = f"""
import sys
ABSENT = {ABSENT}
sys.modules.update(dict.fromkeys(ABSENT))
"""

SCRIPT = (
  BLOCK
  + """
import json, pathlib
import jax, numpy as np
jax.config.update("jax_platforms", "cpu")

import s3_jax
from s3_jax import experiment
from s3_jax.data import glyphs, input_pipeline, drawn_sets
from s3_jax.data.datasets import DATASETS
from s3_jax.data.readers import prepared_masks, tfds
from s3_jax.data.segmentation_sets import SEGMENTATION_SETS
from s3_jax.data.video_frames import read_videos
from s3_jax.experiment.settings import make_config
from s3_jax.experiment.tasks.predict.settings import Prediction
from s3_jax.results.drawing import open_figure
from s3_jax.segmentation.windows import resize_image

folder = pathlib.Path(sys.argv[1])

def said(function, *arguments, **options):
  try:
    function(*arguments, **options)
  except ValueError as error:
    return str(error)

def draw():
  with open_figure(folder / "figure.png", (1.0, 1.0)):
    pass

source = tfds.own_source(DATASETS["food101"])
prepared = folder.joinpath(source.builder, source.config, source.version)
prepared.mkdir(parents=True)
masks = prepared_masks.own_mask_source(SEGMENTATION_SETS["voc21"])
stored = folder.joinpath(masks.builder, masks.config, masks.version)
stored.mkdir(parents=True)
videos = DATASETS["ucf101"]
videos_folder = folder / videos.folders[0] / "UCF-101"
videos_folder.mkdir(parents=True)

labels = []
for classes in ("cat,dog", str(folder / "classes.yaml"), "pictographs"):
  config = make_config(
    "predict",
    Prediction,
    model="s3_jax/pictographs",
    metric="soft_local_center",
    images=str(folder / "photo.png"),
    classes=classes,
  )
  path = experiment.run(config, str(folder / "run"))
  (row,) = json.loads(path.read_text())["images"]
  labels.append(row["predictions"][0]["class"])

print(json.dumps({
  "labels": labels,
  "sheet": (folder / "run" / "contact_sheet.html").is_file(),
  "loaded": [
    name for name, module in sys.modules.items()
    if module is not None and name.split(".")[0] in ABSENT
  ],
  "places": {
    "cv2": said(
      resize_image, np.zeros((9, 8, 3), np.uint8), short_side=4, long_side=9
    ),
    "videos": said(read_videos, videos, folder),
    "figure": said(draw),
    "font": said(glyphs.glyph_fields, (65,)),
    "grain": said(
      lambda: next(
        input_pipeline.padded_batches([{}], np.asarray, batch_size=1)
      )
    ),
    "prepared": said(tfds.read, DATASETS["food101"], folder),
    "masks": said(prepared_masks.read, SEGMENTATION_SETS["voc21"], folder),
    "drawn": said(
      drawn_sets.open_drawn, DATASETS["plain"], folder
    ),
  },
}))
"""
)


def _process(script, *arguments, cwd):
  return subprocess.run(
    [sys.executable, "-c", script, *map(str, arguments)],
    cwd=cwd,
    capture_output=True,
    text=True,
    timeout=300,
    check=False,
  )


@pytest.fixture(scope="module")
def core(repository, tmp_path_factory):
  """What the core alone does with a picture, and where it needs more."""
  folder = tmp_path_factory.mktemp("core")
  source = repository / "docs" / "figures" / "airplane.png"
  with Image.open(source) as image:
    image.save(folder / "photo.png")
  (folder / "classes.yaml").write_text("plane: [airplane, jet]\ndog: [dog]\n")
  done = _process(SCRIPT, folder, cwd=repository)
  assert not done.returncode, done.stderr
  return json.loads(done.stdout.splitlines()[-1])


def test_the_core_predicts(core):
  assert core["labels"][1:] == ["plane", "jet"]
  assert core["labels"][0] in ("cat", "dog")
  assert core["sheet"]
  assert core["loaded"] == []


@pytest.mark.parametrize(
  ("place", "library", "extra"),
  [
    ("cv2", "OpenCV", "segmentation"),
    ("videos", "OpenCV", "segmentation"),
    ("figure", "matplotlib", "figures"),
    ("font", "matplotlib", "figures"),
    ("grain", "Grain", "data"),
    ("prepared", "TensorFlow Datasets", "data"),
    ("masks", "TensorFlow Datasets", "data"),
    ("drawn", "TensorFlow Datasets", "data"),
  ],
)
def test_each_place_names_library_and_command(core, place, library, extra):
  _, needs, rest = core["places"][place].partition(" needs ")
  assert needs
  assert rest == (
    f"{library}, which is not installed: pip install 's3_jax[{extra}]'."
  )


@pytest.mark.parametrize(
  "config, extra",
  [("demo", "data"), ("segment", "segmentation"), ("export", "export")],
)
def test_a_task_ends_in_one_line_before_it_begins(
  repository, tmp_path, config, extra
):
  workdir = tmp_path / "run"
  script = BLOCK + (
    "import runpy\n"
    "sys.argv[0] = 'main.py'\n"
    "runpy.run_path('main.py', run_name='__main__')\n"
  )
  done = _process(
    script,
    f"--config=configs/{config}.py",
    f"--workdir={workdir}",
    cwd=repository,
  )
  assert done.returncode == 2
  (line,) = done.stderr.splitlines()
  assert line.startswith("s3_jax: The task '")
  assert line.endswith(
    f", which is not installed: pip install 's3_jax[{extra}]'."
  )
  assert not workdir.exists()


@pytest.fixture(scope="module")
def declared(repository) -> dict[str, list[Requirement]]:
  text = (repository / "pyproject.toml").read_text("utf-8")
  project = tomllib.loads(text)["project"]["optional-dependencies"]
  return {
    extra: list(map(Requirement, rows)) for extra, rows in project.items()
  }


def _libraries(declared, extra: str) -> set[str]:
  """Lists the distributions of an extra and of the extras inside it."""
  found = set()
  for requirement in declared[extra]:
    if canonicalize_name(requirement.name) == "s3-jax":
      for inner in requirement.extras:
        found |= _libraries(declared, inner)
    else:
      found.add(canonicalize_name(requirement.name))
  return found


@pytest.mark.parametrize("extra", EXTRAS)
def test_the_table_is_that_of_the_package(declared, extra):
  distributions = importlib.metadata.packages_distributions()
  assert _libraries(declared, extra) == {
    canonicalize_name(distributions[module][0]) for module in EXTRAS[extra]
  }


def test_all_is_every_extra(declared):
  every = declared.keys() - {"all", "dev"}
  assert every >= EXTRAS.keys()
  assert _libraries(declared, "all") == set().union(
    *(_libraries(declared, extra) for extra in every)
  )


def test_the_core_needs_no_library_of_an_extra(repository, declared):
  text = (repository / "pyproject.toml").read_text("utf-8")
  core = tomllib.loads(text)["project"]["dependencies"]
  names = {canonicalize_name(Requirement(row).name) for row in core}
  assert not names & _libraries(declared, "all")


def test_tasks_name_extras_that_there_are():
  assert {task.extra for task in TASKS.values()} - {""} <= EXTRAS.keys()


def test_what_is_installed_is_no_error(monkeypatch):
  require("figures", by="A figure")
  monkeypatch.setitem(sys.modules, "matplotlib", None)
  require("segmentation", "cv2", by="A resize")  # asks for no more than it says
  with pytest.raises(ValueError, match=r"^A figure needs matplotlib, which "):
    require("figures", by="A figure")


def test_installing_is_explained(repository):
  page = (repository / "docs" / "INSTALL.md").read_text("utf-8")
  for extra in EXTRAS:
    assert f"s3_jax[{extra}]" in page
