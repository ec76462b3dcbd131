"""A person's words as absl's flags."""

import pytest

import s3_jax.__main__  # noqa: F401  (defines the flags of every task)
from s3_jax.command.arguments import Request, read_request
from s3_jax.command.catalog import config_file


def asked(*words: str, default: str = "") -> Request:
  return read_request(["s3-jax", *words], default=default)


def flags_of(*words: str) -> list[str]:
  """The flags behind the config's."""
  program, config, *rest = asked(*words).argv
  assert program == "s3-jax" and config.startswith("--config=")
  return rest


def test_a_task_is_a_packaged_config():
  request = asked("predict")
  assert request.argv == ["s3-jax", f"--config={config_file('predict')}"]
  assert (request.name, request.wants) == ("predict", "run")


def test_what_follows_a_colon_stays():
  request = asked("test_time:imagenet_a")
  assert request.config == f"{config_file('test_time')}:imagenet_a"


@pytest.mark.parametrize("form", ["--config=predict", "-config=predict"])
def test_config_finds_a_packaged_one_from_any_folder(
  form, tmp_path, monkeypatch
):
  monkeypatch.chdir(tmp_path)
  assert asked(form).config == str(config_file("predict"))
  assert asked("--config", "predict").config == str(config_file("predict"))


def test_a_file_of_that_name_comes_first(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  (tmp_path / "predict").write_text("")
  assert asked("--config=predict").config == "predict"


def test_the_old_form_is_passed_on_as_it_is(repository, monkeypatch):
  monkeypatch.chdir(repository)
  words = [
    "--config=configs/demo.py",
    "--workdir=x",
    "--config.batch_size=7",
    "--config.methods=('class_name',)",
    "--config.nonsense=1",
    "--no-such-flag=1",
  ]
  with pytest.raises(ValueError, match="no-such-flag"):
    asked(*words)
  assert asked(*words[:-1]).argv == ["s3-jax", *words[:-1]]


def test_without_words_the_tasks_are_listed():
  assert asked().wants == "list"
  assert asked("--help").wants == "list"
  assert asked(default="demo").name == "demo"
  assert asked("--help", default="demo").wants == "list"
  assert asked("demo", "--help", default="demo").wants == "help"


def test_fields_need_no_prefix():
  assert flags_of("predict", "--top=3", "--config.mesh=1") == [
    "--config.top=3",
    "--config.mesh=1",
  ]


def test_a_value_may_be_the_next_word():
  assert flags_of("predict", "--top", "3", "--workdir", "runs/x") == [
    "--config.top=3",
    "--workdir",
    "runs/x",
  ]


@pytest.mark.parametrize(
  ("word", "flag"),
  [
    ("--strict", "--config.strict=True"),
    ("--nostrict", "--config.strict=False"),
    ("--strict=False", "--config.strict=False"),
    ("--debug", "--debug"),
    ("--nodebug", "--nodebug"),
  ],
)
def test_switches_take_no_word(word, flag):
  # The picture behind it is no value of the switch.
  assert flags_of("predict", word, "cat.jpg") == [
    flag,
    "--config.images=cat.jpg",
  ]


@pytest.mark.parametrize(
  ("task", "field", "given", "value"),
  [
    ("imagenet", "methods", "class_name,s3", ("class_name", "s3")),
    ("imagenet", "methods", "class_name, s3,", ("class_name", "s3")),
    ("imagenet", "methods", "s3", ("s3",)),
    ("gallery", "labels", "0,10,17", (0, 10, 17)),
    ("sweep", "scales", "gap,0.5,None", ("gap", 0.5, None)),
    ("view_sweep", "learning_rates", "0.001,0.01", (0.001, 0.01)),
    ("demo", "templates", "a {}.,the {}.", ("a {}.", "the {}.")),
    # A comma inside a template parts nothing.
    ("demo", "templates", "a {}, a pet.", ("a {}, a pet.",)),
    ("check_data", "datasets", "dtd,eurosat", ("dtd", "eurosat")),
  ],
)
def test_a_list_is_written_with_commas(task, field, given, value):
  assert flags_of(task, f"--{field}={given}") == [f"--config.{field}={value}"]


@pytest.mark.parametrize("given", ["('a', 'b')", '["a", "b"]', "()"])
def test_a_list_as_python_writes_it_is_left_to_absl(given):
  assert flags_of("demo", f"--methods={given}") == [f"--config.methods={given}"]


def test_a_text_with_commas_is_no_list():
  assert flags_of("predict", "--classes=cat, dog") == [
    "--config.classes=cat, dog"
  ]


def test_one_plain_word_is_a_flag_and_several_are_kept_apart():
  assert flags_of("predict", "photos/") == ["--config.images=photos/"]
  request = asked("predict", "a,b.jpg", "--top=1", "c.jpg")
  assert request.several == {"images": ("a,b.jpg", "c.jpg")}
  assert flags_of("convert", "here", "there") == [
    "--config.source=here",
    "--config.to=there",
  ]


def test_words_behind_two_dashes_are_plain():
  request = asked("predict", "--", "--odd.jpg", "-h")
  assert request.wants == "run"
  assert request.several == {"images": ("--odd.jpg", "-h")}


@pytest.mark.parametrize(
  ("words", "says"),
  [
    (("predcit",), ("predict", "got 'predcit'", "lists them")),
    (("imagenet", "--data_dri=x"), ("imagenet has no", "may be data_dir")),
    (("predict", "--clases=x"), ("may be classes",)),
    (("imagenet", "one", "two"), ("takes DATA_DIR", "got 'two'")),
    (("models", "a", "b"), ("takes CONTAINS", "got 'b'")),
    (("--config",), ("`--config` must name", "got nothing")),
    (("predict", "--config="), ("`--config` must name", "got nothing")),
    (("predict", "--classes"), ("`--classes` must have", "got nothing")),
    (("predict", "--classes", "--top=3"), ("`--classes`", "got '--top=3'")),
    (("predict", "--workdir", "--top=3"), ("`--workdir`", "got '--top=3'")),
    (
      ("predict", "a.jpg", "--images=b.jpg"),
      ("`--images` must be given once", "got 'a.jpg'"),
    ),
    (("--workdir=x",), ("a task must come first", "--workdir=x")),
  ],
)
def test_what_is_mistyped_is_named_with_what_was_meant(words, says):
  with pytest.raises(ValueError) as refused:
    asked(*words)
  assert all(word in str(refused.value) for word in says)
  assert len(str(refused.value)) <= 300


def test_the_last_config_counts():
  for first in (("--config=demo",), ("--config", "demo")):
    for last in (("--config=predict",), ("--config", "predict")):
      request = asked(*first, *last, "--top=3")
      assert request.name == "predict"
      assert request.argv[1:] == [
        f"--config={config_file('predict')}",
        "--config.top=3",
      ]


def test_flags_of_every_task_may_come_before_it():
  request = asked("--platform", "cpu", "--debug", "predict", "a.jpg")
  assert request.name == "predict"
  assert request.argv[2:] == [
    "--platform",
    "cpu",
    "--debug",
    "--config.images=a.jpg",
  ]


def test_a_file_whose_name_has_a_comma_is_one(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  word = "cats, dogs.json"
  assert flags_of("lexicon_report", word) == [
    "--config.tables=('cats', 'dogs.json')"
  ]
  (tmp_path / word).write_text("{}")
  for given in (word, f"--tables={word}", f"--config.tables={word}"):
    assert flags_of("lexicon_report", given) == [
      "--config.tables=('cats, dogs.json',)"
    ]


@pytest.mark.parametrize("word", ["-h", "--help", "-help", "-?"])
def test_help_may_stand_anywhere(word):
  for words in ((word, "predict"), ("predict", "--top=1", word)):
    request = asked(*words)
    assert (request.name, request.wants) == ("predict", "help")
