"""The list of tasks, their fields and examples."""

import collections
import re
import shlex
import shutil
import subprocess
from typing import Annotated, NamedTuple

import pytest

from s3_jax import __main__ as program  # defines the flags of every task
from s3_jax.command import catalog, help
from s3_jax.command.arguments import SHARED, load_config, read_request
from s3_jax.command.fields import comments_of, read_fields
from s3_jax.fields import Count

NAMES = catalog.names()


def fields_of(name):
  config = load_config(str(catalog.config_file(name)))
  assert config is not None
  return config, read_fields(config)


def test_every_config_is_listed_once(repository):
  files = {file.stem for file in (repository / "configs").glob("*.py")}
  assert len(NAMES) == len(set(NAMES)) and set(NAMES) == files


def test_the_list_has_one_line_of_each():
  text = help.task_list()
  for title in catalog.GROUPS:
    assert f"\n{title}\n" in text
  for name in NAMES:
    first = catalog.about(name).partition("\n")[0]
    assert first.endswith(".") and len(first) <= 80
    assert f" {name} {first}" in re.sub(r"\s+", " ", text)
  assert "s3-jax --completion" in text
  assert all(len(line) <= 92 for line in text.split("\n"))


@pytest.mark.parametrize("name", NAMES)
def test_every_field_has_a_line_and_a_kind(name):
  config, task = fields_of(name)
  assert config.task and task.fields and "task" not in task.fields
  for key, field in task.fields.items():
    assert field.about, f"{key} of {name} needs a comment in its record"
    assert field.kind or "." in key, key
  # What plain words fill is there, and no field hides a flag.
  for field in task.takes:
    assert field.removesuffix("...") in task.fields, name
  assert not set(task.fields) & set(SHARED)


@pytest.mark.parametrize("name", NAMES)
def test_help_shows_all_of_it(name):
  text = help.task_help(name, str(catalog.config_file(name)))
  _, task = fields_of(name)
  for key in (*task.fields, *SHARED):
    alike = key in task.fields and task.fields[key].alike
    assert f"--{alike or key}" in text
  assert text.startswith(f"usage: s3-jax {name}")
  assert text.count(f"\n  s3-jax {name}") == 3


@pytest.mark.parametrize("name", NAMES)
def test_every_example_is_understood(name):
  examples = catalog.examples(name)
  assert len(examples) == len(set(examples)) == 3
  config, _ = fields_of(name)
  for words in examples:
    request = read_request(["s3-jax", name, *shlex.split(words)])
    assert (request.name, request.wants) == (name, "run")
    for flag in request.argv[2:]:
      key, _, value = flag.lstrip("-").partition("=")
      key = key.removeprefix("config.")
      assert key in SHARED or value, flag
      if key not in SHARED:
        assert key in config, flag


def test_a_field_says_its_default_and_choices():
  text = help.task_help("predict", str(catalog.config_file("predict")))
  flat = re.sub(r"\s+", " ", text)
  assert "--top=5 classes an image (whole number >= 1)" in flat
  assert "(float32, bfloat16)" in flat
  assert "--classes=pictographs" in flat
  demo = help.task_help("demo", str(catalog.config_file("demo")))
  flat = re.sub(r"\s+", " ", demo)
  assert (
    "--methods=class_name,best_name,random_synonym,… rows of the table" in flat
  )
  assert "a,b of " in flat and "synonyms_nearest" in flat


def test_help_of_a_file_of_ones_own(tmp_path, repository):
  own = tmp_path / "mine.py"
  shutil.copy(repository / "configs" / "predict.py", own)
  text = help.task_help("", str(own))
  assert text.startswith(f"usage: s3-jax --config={own} [IMAGES...]")
  with pytest.raises(ValueError, match="get_config"):
    help.task_help("", str(tmp_path / "none.py"))


class Recorded(NamedTuple):
  first: int  # behind it
  # Above it: two lines
  # of a comment.
  second: Annotated[int, "x"] = 1
  # CLIP's, and
  third: Count = 2  # what follows
  fourth: str = ""  # inside
  fifth: str = "# no comment"


def test_a_line_is_the_comment_beside_a_field():
  assert comments_of(Recorded) == {
    "first": "behind it",
    "second": "above it: two lines of a comment",
    "third": "CLIP's, and what follows",
    "fourth": "inside",
    "fifth": "",
  }


def test_a_record_without_source_has_no_lines():
  made = collections.namedtuple("made", ("field",))
  assert comments_of(made) == {}


@pytest.mark.skipif(not shutil.which("bash"), reason="bash is not there")
@pytest.mark.parametrize(
  ("words", "found"),
  [
    (("s3-jax", "pred"), {"predict"}),
    (("s3-jax", "predict", "--cla"), {"--classes="}),
    (("s3-jax", "test_time:dtd", "--confid"), {"--confident_fraction="}),
    (("s3-jax", "imagenet", "--workd"), {"--workdir="}),
  ],
)
def test_completion_completes(tmp_path, words, found):
  script = tmp_path / "completion"
  script.write_text(help.completion())
  quoted = " ".join(map(shlex.quote, words))
  done = subprocess.run(
    [
      "bash",
      "-c",
      f'source "{script}"; COMP_WORDS=({quoted});'
      f" COMP_CWORD={len(words) - 1}; _s3_jax;"
      ' printf "%s\\n" "${COMPREPLY[@]}"',
    ],
    capture_output=True,
    text=True,
    check=True,
  )
  assert set(done.stdout.split()) == found


def test_the_flags_of_every_task_are_the_programs():
  known = program.flags.FLAGS.flags_by_module_dict()["s3_jax.__main__"]
  assert {flag.name for flag in known} - {"config"} == set(SHARED)
