"""The composition root: settings are read whole before anything happens."""

import json
import math
import os
import pathlib
from typing import NamedTuple

import ml_collections
import pytest

from s3_jax import experiment
from s3_jax.experiment.methods.spaces import SpaceOptions
from s3_jax.fields import read

# A config, what is changed in it, and what the message must say.
FAULTS = [
  (
    "pictographs",
    {"task": "nosuch"},
    "`config.task` must be one of .*benchmark.*nosuch",
  ),
  ("pictographs", {"task": 3}, "`config.task` must be of type str, got 3"),
  ("pictographs", {"stray": 1}, "`config.stray`: unknown field"),
  ("pictographs", {"model": 3}, "`config.model` must be of type str"),
  (
    "pictographs",
    {"test_sets": ()},
    "`config.test_sets` must hold at least one",
  ),
  (
    "pictographs",
    {"test_sets": ("real",)},
    "`config.test_sets` .*plain.*got 'real'",
  ),
  (
    "pictographs",
    {"methods": ("templates", "magic")},
    "`config.methods` .*got 'magic'",
  ),
  (
    "pictographs",
    {"methods": ("templates",)},
    "must hold the baseline 'class_name'",
  ),
  (
    "pictographs",
    {"methods": ("templates",) * 2},
    "must not repeat 'templates'",
  ),
  ("pictographs", {"baseline": "best"}, "must hold the baseline 'best'"),
  ("pictographs", {"template": "a photo"}, "`template` must hold exactly one"),
  (
    "pictographs",
    {"templates": ("{}", "{} {}")},
    "`template` must hold .*'{} {}'",
  ),
  (
    "pictographs",
    {"templates": ()},
    "`config.templates` must hold at least one",
  ),
  (
    "pictographs",
    {"metric": "hull"},
    "`config.metric` must be one of .*got 'hull'",
  ),
  ("pictographs", {"neighbors": 0}, "`config.neighbors` must be >= 1, got 0"),
  (
    "pictographs",
    {"neighbors": True},
    "`config.neighbors` must be of type int",
  ),
  ("pictographs", {"neighbors": 2.0}, "`config.neighbors` must be of type int"),
  ("pictographs", {"scale": "wide"}, "`config.scale` must be .*got 'wide'"),
  ("pictographs", {"scale": -0.1}, "`config.scale` must be .*got -0.1"),
  ("pictographs", {"scale": "-1"}, "`config.scale` must be .*got '-1'"),
  ("pictographs", {"scale": math.nan}, "`config.scale` must be .*got nan"),
  ("pictographs", {"scale": math.inf}, "`config.scale` must be .*got inf"),
  ("pictographs", {"scale": True}, "`config.scale` must be .*got True"),
  (
    "pictographs",
    {"keep": "core"},
    "`config.keep` must be one of .*got 'core'",
  ),
  (
    "pictographs",
    {"min_fraction": 0.0},
    r"`config.min_fraction` must be .*got 0\.0",
  ),
  (
    "pictographs",
    {"min_fraction": 1.1},
    r"`config.min_fraction` must be .*got 1\.1",
  ),
  (
    "pictographs",
    {"min_gap": -0.1},
    "`config.min_gap` must be >= 0.0, got -0.1",
  ),
  ("pictographs", {"min_gap": math.nan}, "`config.min_gap` must be .*got nan"),
  (
    "pictographs",
    {"dtype": "float16"},
    "`config.dtype` must be one of float32, bfl",
  ),
  ("pictographs", {"batch_size": 0}, "`config.batch_size` must be >= 1, got 0"),
  ("pictographs", {"mesh": -1}, "`config.mesh` must be >= 0, got -1"),
  (
    "pictographs",
    {"cache_dir": None},
    "`config.cache_dir` must be of type str",
  ),
  (
    "pictographs",
    {"figure_classes": 3},
    "`config.figure_classes` must be of type",
  ),
  ("pictographs", {"seed": -1}, "`config.seed` must be >= 0, got -1"),
  ("sweep", {"stray": 1}, "`config.stray`: unknown field"),
  ("sweep", {"dataset": "test"}, "`config.dataset` must be one of .*imagenet"),
  ("sweep", {"neighbors": ()}, "`config.neighbors` and .*at least one"),
  ("sweep", {"neighbors": (0,)}, "`config.neighbors` .*>= 1, got"),
  ("sweep", {"neighbors": ("2",)}, "`config.neighbors` .*>= 1, got"),
  ("sweep", {"neighbors": (2.5,)}, "`config.neighbors` .*>= 1, got"),
  ("sweep", {"neighbors": (True,)}, "`config.neighbors` .*>= 1, got"),
  ("sweep", {"scales": ()}, "`config.scales` must hold at least one"),
  ("sweep", {"scales": ("wide",)}, "`config.scales` must hold .*'wide'"),
  ("sweep", {"scales": (True,)}, "`config.scales` must hold .*True"),
  ("sweep", {"scales": (-1.0,)}, "`config.scales` must hold .*-1.0"),
  ("sweep", {"scales": (math.nan,)}, "`config.scales` must hold .*nan"),
  ("sweep", {"min_gaps": ("a",)}, "`config.min_gaps` must hold .*'a'"),
  ("sweep", {"min_gaps": (-0.1,)}, "`config.min_gaps` must hold .*-0.1"),
  ("sweep", {"templates": ("{} {}",)}, "`template` must hold exactly one"),
  ("sweep", {"texts": ("names",)}, "`config.texts` must hold .*'names'"),
  ("sweep", {"batch_size": 0}, "`config.batch_size` must be >= 1"),
  ("sweep", {"dtype": "f32"}, "`config.dtype` must be one of"),
  ("train_pictographs", {"stray": 1}, "`config.stray`: unknown field"),
  ("train_pictographs", {"spec.stray": 1}, "`config.spec.stray`: unknown"),
  (
    "train_pictographs",
    {"lexicon": "nosuch"},
    "`config.lexicon` must be one of",
  ),
  ("train_pictographs", {"spec": 3}, "`config.spec` must be of type dict"),
  ("train_pictographs", {"spec.patch_size": 7}, "multiple of `patch_size`"),
  ("train_pictographs", {"spec.image_heads": 5}, "multiple of `image_heads`"),
  ("train_pictographs", {"spec.text_heads": 3}, "multiple of `text_heads`"),
  ("train_pictographs", {"spec.embed_dim": 0}, "`config.spec.embed_dim` must"),
  ("train_pictographs", {"optimizer": "sgd"}, "`config.optimizer` must be one"),
  ("train_pictographs", {"learning_rate": -1.0}, "`config.learning_rate` must"),
  ("train_pictographs", {"learning_rate": math.inf}, "`config.learning_rate`"),
  ("train_pictographs", {"steps": 0}, "`config.steps` must be >= 1"),
  ("train_pictographs", {"steps": 50}, "`config.warmup_steps` must be less"),
  ("train_pictographs", {"save_every": 70}, "`config.save_every` must be a mu"),
  ("train_pictographs", {"auxiliary_share": 0.0}, "`config.auxiliary_share`"),
  ("train_pictographs", {"dtype": "float64"}, "`config.dtype` must be one of"),
  ("gallery", {"labels": (374,)}, "`config.labels` must be class indices"),
  ("gallery", {"labels": ()}, "`config.labels` must name at least one"),
]


def _name(value):
  if isinstance(value, dict):
    ((field, content),) = value.items()
    return f"{field}={content}"
  return value if value in ("pictographs", "sweep", "gallery") else ""


@pytest.mark.parametrize(("name", "changes", "rule"), FAULTS, ids=_name)
def test_a_faulty_config_is_refused_before_anything_is_written(
  read_config, tmp_path, name, changes, rule
):
  config = read_config(name)
  for path, value in changes.items():
    *parents, field = path.split(".")
    section = config
    for parent in parents:
      section = section[parent]
    with section.ignore_type():
      section[field] = value
  with pytest.raises(ValueError, match=rule) as caught:
    experiment.dry_run(config)
  assert "\n" not in str(caught.value)
  with pytest.raises(ValueError, match=rule):
    experiment.run(config, str(tmp_path / "run"))
  assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
  "field",
  ["task", "model", "methods", "metric"],
)
def test_a_required_field_is_named(read_config, field):
  config = read_config("pictographs")
  del config[field]
  with pytest.raises(ValueError, match=f"`config.{field}` must be set"):
    experiment.dry_run(config)


@pytest.mark.parametrize(
  ("given", "expected"),
  [
    ("gap", "gap"),
    (None, None),
    ("None", None),
    (0.7, 0.7),
    (1, 1.0),
    (0, 0.0),
    ("0.7", 0.7),
  ],
)
def test_scales_are_read_as_the_command_line_gives_them(given, expected):
  options = read(SpaceOptions, {"metric": "center", "scale": given})
  assert options.scale == expected
  assert type(options.scale) is type(expected)


def test_a_dry_run_writes_nothing(read_config, tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  experiment.dry_run(
    read_config("pictographs", cache_dir=str(tmp_path / "cache"))
  )
  assert list(tmp_path.iterdir()) == []


class Note(NamedTuple):
  note: str


@pytest.fixture
def noted(monkeypatch):
  """A task that only notes its folder and settings."""

  def read_settings(settings):
    (note,) = settings.read(Note)
    return lambda folder: (folder / "note.txt").write_text(note) and folder

  row = experiment.Task(read_settings)  # with its file, all that a task is
  monkeypatch.setitem(experiment.TASKS, "note", row)
  return ml_collections.ConfigDict({"task": "note", "note": "hello"})


def test_a_task_gets_the_workdir(noted, tmp_path):
  folder = tmp_path / "new" / "workdir"
  assert experiment.run(noted, str(folder)) == folder
  assert [path.name for path in folder.iterdir()] == ["note.txt"]
  # An existing folder will do, and keeps what it has.
  (folder / "mine.txt").write_text("kept")
  experiment.run(noted, str(folder))
  assert {path.name for path in folder.iterdir()} == {"note.txt", "mine.txt"}


def test_without_a_workdir_a_new_one_is_made(noted, tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  folder = experiment.run(noted)
  (made,) = (tmp_path / "runs").iterdir()
  assert made.name.startswith("note-") and folder == pathlib.Path(
    "runs", made.name
  )
  assert (made / "note.txt").read_text() == "hello"


def test_a_workdir_must_be_a_folder(noted, tmp_path):
  (tmp_path / "file").write_text("mine")
  for path in (tmp_path / "file", tmp_path / "file" / "below"):
    with pytest.raises(ValueError, match="`workdir` must be a folder that can"):
      experiment.run(noted, str(path))
  assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.skipif(
  not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write all"
)
def test_a_workdir_must_be_writable(noted, tmp_path):
  tmp_path.chmod(0o500)
  try:
    with pytest.raises(ValueError, match="`workdir` .*Permission denied"):
      experiment.run(noted, str(tmp_path))
  finally:
    tmp_path.chmod(0o700)


def test_the_environment_is_described():
  from s3_jax.experiment.machine.environment import (
    CompileClock,
    describe_environment,
  )

  described = describe_environment("bfloat16")
  json.dumps(described, allow_nan=False)
  assert described["tower_matmul"] == "bfloat16"
  assert described["platform"] == "cpu" and len(described["devices"]) == 8
  assert {"jax", "numpy", "flax"} <= set(described["versions"])

  import jax
  import jax.numpy as jnp

  clock = CompileClock()
  assert clock.seconds() == 0
  jax.jit(lambda x: jnp.sin(x) @ jnp.cos(x))(jnp.ones((3, 3)))
  first = clock.seconds()
  assert first > 0
  assert CompileClock().seconds() == 0


def test_tasks_that_leave_the_devices_alone(read_config):
  assert not experiment.computes(read_config("models"))
  assert experiment.computes(read_config("pictographs"))
  for task in experiment.TASKS.values():
    assert task.computes or not task.shared
