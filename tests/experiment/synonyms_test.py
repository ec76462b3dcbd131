"""The task "synonyms": from class names to a table that can be loaded."""

import json
import pathlib
import re
import sys
import tomllib

import pytest
from packaging.requirements import Requirement

from s3_jax import experiment
from s3_jax.experiment.tasks.synonyms.answer_files import (
  answer_writer,
  read_answers,
)
from s3_jax.lexicon.synonyms import load_lexicon
from tests.model_server import (
  answer,
  completion,
  good,
  good_records,
  refusal,
  serve,
)

KEY = "sk-test-0123456789abcdef"
NOBODY = "http://127.0.0.1:9/v1"


@pytest.fixture(scope="module")
def running():
  with serve() as server:
    yield server


@pytest.fixture
def server(running):
  running.sent.clear()
  running.plan.clear()
  running.behave = good
  return running


@pytest.fixture(autouse=True)
def key(monkeypatch):
  monkeypatch.setenv("OPENAI_API_KEY", KEY)


@pytest.fixture
def run(server, read_config, tmp_path):
  """Runs the config in one folder, again and again."""

  def run(**changes):
    fields = {
      "classes": "boxer, killer_whale ,tench",
      "base_url": server.url,
      "model": "tiny",
      "batch": 2,
      **changes,
    }
    config = read_config("synonyms")
    with config.ignore_type():  # as in a config of one's own
      config.update(fields)
    return experiment.run(config, str(tmp_path / "run"))

  return run


def files(folder):
  return sorted(
    path.relative_to(folder).as_posix()
    for path in folder.rglob("*")
    if path.is_file()
  )


def report(tmp_path):
  return json.loads((tmp_path / "run/report.json").read_text("utf-8"))


def test_a_table_with_its_origin(run, server, tmp_path, capsys):
  path = run(name="zoo", domain="an animal")
  assert path == tmp_path / "run" / "zoo.json"
  lexicon = load_lexicon(path)
  assert lexicon.dataset == "zoo"
  assert [entry.name for entry in lexicon.classes] == [
    "boxer",
    "killer_whale",
    "tench",
  ]
  assert lexicon.classes[1].names == ("killer whale", "other 1", "second 1")
  assert lexicon.classes[2].descriptors == ("looks like number 2",)
  origin = json.loads(lexicon.provenance)
  assert re.fullmatch(r"\d{4}-\d\d-\d\d", origin.pop("date"))
  del origin["how"], origin["author"]
  assert origin == {
    "model": "tiny",
    "model_reported": ["tiny-1.0"],
    "endpoint": [server.url[7:-3]],
    "temperature": 0.7,
    "seed": 0,
    "domain": "an animal",
    "prompt_version": 1,
  }
  names = files(tmp_path / "run")
  assert names[2:] == ["report.json", "report.md", "zoo.json"]
  for number, name in enumerate(names[:2]):
    assert re.fullmatch(rf"answers/000{number}-[a-z0-9-]+\.json", name)
  out, err = capsys.readouterr()
  assert str(path) in out and "3 of 3 classes" in out and err == ""
  assert report(tmp_path)["run"]["requests"] == 2


def test_a_report_counts_and_lists_what_was_dropped(run, server, tmp_path):
  def behave(sent):
    records = [
      {**r, "synonyms": [*r["synonyms"], "shared", "tench", "a b c d e f"]}
      for r in good_records(sent)
    ]
    return answer(records[1:] if len(server.sent) == 1 else records)

  server.behave = behave
  run()
  found = report(tmp_path)
  assert found["table"] == "classes.json"
  assert (found["classes"], found["answered"]) == (3, 3)
  assert found["dropped"] == {
    "another class's name": 2,
    "claimed by several classes": 3,
    "the name itself": 1,
    "too long": 3,
  }
  assert len(found["drops"]) == 9
  assert found["problems"] == {"class left out": 1}
  assert (found["synonyms"], found["descriptors"]) == (6, 3)
  assert found["fallback"] == found["without_synonyms"] == []
  page = (tmp_path / "run/report.md").read_text("utf-8")
  assert "| too long | 3 |" in page and "`a b c d e f`, too long" in page


@pytest.mark.parametrize(
  ("source", "names", "title"),
  [
    ("boxer,killer whale", ["boxer", "killer whale"], "classes"),
    ("boxer,", ["boxer"], "classes"),
    (("a, b", "c"), ["a, b", "c"], "classes"),
    ("eurosat", ["Annual Crop Land", "Forest"], "eurosat"),
    ("{folder}/Two Pets.txt", ["Siamese cat", "pug"], "two-pets"),
    ("{folder}/coop.txt", ["tench", "goldfish"], "coop"),
    ("{folder}/report.json", ["a,b", "ü"], "classes"),
  ],
  ids=["commas", "one", "tuple", "table", "lines", "coop", "json"],
)
def test_classes_come_from_anywhere(
  run, server, tmp_path, source, names, title
):
  (tmp_path / "Two Pets.txt").write_text("Siamese cat\npug\n", "utf-8")
  (tmp_path / "coop.txt").write_text("n01440764 tench\nn01443537 goldfish\n")
  (tmp_path / "report.json").write_text('["a,b", "ü"]', "utf-8")
  if isinstance(source, str):
    source = source.format(folder=tmp_path)
  path = run(classes=source, batch=20)
  assert path.name == f"{title}.json"
  assert [e.name for e in load_lexicon(path).classes][:2] == names
  assert len(server.sent) == 1


@pytest.mark.parametrize(
  ("changes", "words"),
  [
    ({"classes": "euro"}, ("config.classes", "'euro'", "eurosat")),
    ({"classes": "no/such.txt"}, ("config.classes", "'no/such.txt'")),
    ({"classes": ""}, ("config.classes",)),
    ({"classes": "a,,b"}, ("config.classes", "'' as class 1")),
    ({"classes": ","}, ("config.classes", "''")),
    ({"classes": "a,\u200b"}, ("config.classes", "as class 1")),
    ({"classes": "a,___"}, ("config.classes", "'___'")),
    ({"classes": "a,\udce9"}, ("config.classes", "'\\udce9'")),
    ({"classes": ("a", 1)}, ("config.classes", "1 as class 1")),
    ({"classes": ()}, ("config.classes", "at least one")),
    ({"name": "../up"}, ("config.name", "'../up'")),
    ({"name": "report"}, ("config.name", "'report'")),
    ({"name": "a" * 61}, ("config.name", "60")),
    ({"base_url": "localhost"}, ("`base_url`",)),
    ({"batch": 0}, ("config.batch", ">= 1")),
    ({"temperature": -1.0}, ("config.temperature", ">= 0")),
    ({"model": ""}, ("config.model", "--config.model")),
    ({"domain": "\ud800"}, ("config.domain",)),
    ({"api_key": KEY}, ("config.api_key", "unknown field")),
  ],
)
def test_a_bad_setting_is_refused(run, server, tmp_path, changes, words):
  with pytest.raises(ValueError) as error:
    run(**changes)
  assert all(word in str(error.value) for word in words)
  assert KEY not in str(error.value)
  assert not server.sent and files(tmp_path) == []


def test_classes_of_a_table_are_asked_about(run, tmp_path, capsys):
  """Its lines, commas and all, were the names."""
  path = tmp_path / "pets.csv"
  path.write_text("breed,bin\ntabby,cat\nsiamese,cat\npuppy,dog\n")
  assert run(classes=str(path), dry_run=True) is None
  out = capsys.readouterr().out
  said = (
    "Classes of pets.csv: 2 classes, 3 texts; first line taken as a header."
  )
  assert out.startswith(f"{said}\n")
  assert '{"index": 1, "name": "dog"}' in out and "tabby" not in out


def test_a_dry_run_shows_the_prompts_and_asks_nothing(
  run, server, tmp_path, capsys, monkeypatch
):
  monkeypatch.setitem(sys.modules, "openai", None)
  assert run(dry_run=True, model="", domain="a {kind} of fish") is None
  out = capsys.readouterr().out
  assert out.count("--- request ") == 2
  assert '{"index": 1, "name": "killer whale"}' in out
  assert "Every class is a {kind} of fish." in out
  (tokens,) = re.findall(r"2 requests and about (\d+) tokens for 3 cl", out)
  assert 500 < int(tokens) < 3000
  assert not server.sent and files(tmp_path) == []


def silent_about(label):
  return lambda sent: answer(
    [r for r in good_records(sent) if r["index"] != label]
  )


def test_without_an_answer_for_every_class_there_is_no_table(
  run, server, tmp_path
):
  server.behave = silent_about(1)
  with pytest.raises(ValueError) as error:
    run(attempts=2)
  words = ("none for 1 of 3 ('killer_whale')", "2 tries", "--workdir=")
  assert all(word in str(error.value) for word in words)
  assert "boxer.json" not in files(tmp_path / "run")
  assert len(files(tmp_path / "run")) == 5, "three answers, two reports"
  found = report(tmp_path)
  assert found["table"] is None
  assert found["fallback"] == [{"index": 1, "name": "killer_whale"}]


def test_plain_names_where_they_are_allowed(run, server, tmp_path):
  server.behave = silent_about(1)
  path = run(allow_fallback=True)
  classes = load_lexicon(path).classes
  assert classes[1].names == ("killer whale",)
  assert len(classes[0].names) == 3
  page = (tmp_path / "run/report.md").read_text("utf-8")
  assert "- 1 `killer_whale`" in page and "2 of 3" in page


def test_a_spent_budget_stops_and_the_next_run_goes_on(run, server, tmp_path):
  with pytest.raises(ValueError, match=r"`max_requests` = 1 is spent"):
    run(max_requests=1)
  assert report(tmp_path)["stopped"] == "budget"
  run(max_requests=1)
  assert [sent.labels for sent in server.sent] == [[0, 1], [2]]
  assert report(tmp_path)["stopped"] is None
  path = run(max_requests=0, batch=1)
  assert len(server.sent) == 2 and len(load_lexicon(path).classes) == 3


def test_a_failed_endpoint_is_no_reason_for_plain_names(run, server, tmp_path):
  server.behave = lambda sent: refusal(401, KEY)
  with pytest.raises(ValueError, match="OPENAI_API_KEY") as error:
    run(allow_fallback=True)
  assert KEY not in str(error.value)
  assert files(tmp_path / "run") == ["report.json", "report.md"]


def test_a_replay_gives_the_same_bytes(run, server, tmp_path, monkeypatch):
  server.plan = [silent_about(0), lambda sent: completion("sorry")]
  table = run().read_bytes()
  asked = len(server.sent)
  monkeypatch.setitem(sys.modules, "openai", None)
  monkeypatch.delenv("OPENAI_API_KEY")
  for changes in ({}, {"max_requests": 0}, {"base_url": NOBODY, "batch": 7}):
    assert run(**changes).read_bytes() == table
  assert len(server.sent) == asked
  assert report(tmp_path)["run"] == {"requests": 0, "tokens": 0, "failures": {}}


@pytest.mark.parametrize(
  "damage",
  [
    lambda data: data[: len(data) // 2],
    lambda data: data.replace(b"other 0", b"other 9"),
    lambda data: data.replace(b'"schema": 1', b'"schema": 2'),
    lambda data: b"[]",
    lambda data: b"\xff",
    lambda data: b"",
  ],
  ids=["cut", "altered", "version", "list", "bytes", "empty"],
)
def test_a_damaged_answer_is_asked_for_again(run, server, tmp_path, damage):
  table = run().read_bytes()
  first = sorted((tmp_path / "run/answers").iterdir())[0]
  first.write_bytes(damage(first.read_bytes()))
  with pytest.warns(UserWarning, match=first.name):
    assert run().read_bytes() == table
  assert [sent.labels for sent in server.sent] == [[0, 1], [2], [0, 1]]


EVIL = (
  "../../x",
  "/etc/passwd",
  "CON",
  "x" * 300,
  "baluster / handrail",
  "\u202eevil\u2066",
  "<img src=x onerror=alert(1)>",
  "`]|(http://x.example)",
  "=1+1",
  "\x1b[2J{0.__class__}\n# head",
)


def test_evil_names_and_texts_stay_text(run, server, tmp_path):
  texts = ["<b>x</b>", "[a](http://y.example)", "**b** | c", "`d` \u202ee"]

  def behave(sent):
    long = [f"{text} one two three four five six" for text in texts]
    return answer(
      [
        {**r, "synonyms": [f"{r['index']} {t}" for t in texts] + long}
        for r in good_records(sent)
      ]
    )

  server.behave = behave
  path = run(classes=EVIL)
  lexicon = load_lexicon(path)
  assert tuple(entry.name for entry in lexicon.classes) == EVIL
  assert lexicon.classes[0].synonyms[0] == "0 <b>x</b>"
  everything = files(tmp_path)
  assert len(everything) == 5 + 3
  for name in everything:
    assert re.fullmatch(r"run/(answers/)?[a-z0-9-]+\.(json|md)", name)
  page = (tmp_path / "run/report.md").read_text("utf-8")
  assert all(c.isprintable() or c == "\n" for c in page)
  outside = re.sub(r"`[^`\n]*`", "", page)
  for mark in ("<", "example", "`", "**", "\x1b", "# head", "](", "{"):
    assert mark not in outside


def test_same_names_are_reported(run, tmp_path):
  run(classes=("missile", "crane", "Missile"))
  assert report(tmp_path)["same_names"] == [[0, 2]]
  assert "0 `missile`, 2 `Missile`" in (tmp_path / "run/report.md").read_text(
    "utf-8"
  )


def test_the_key_is_in_no_file_and_no_output(run, server, tmp_path, capsys):
  server.plan = [
    lambda sent: refusal(429, f"key {KEY}", Retry_After="0"),
    lambda sent: refusal(400, KEY),
    lambda sent: completion(f"Bearer {KEY}", model=KEY),
  ]
  run()
  out, err = capsys.readouterr()
  assert KEY not in out + err
  assert server.sent[0].headers["authorization"] == f"Bearer {KEY}"
  names = files(tmp_path)
  assert len(names) == 4 + 3, "answers, table, reports"
  for name in names:
    assert KEY not in (tmp_path / name).read_text("utf-8")


def test_answers_are_numbered_on_and_read_in_order(tmp_path):
  record = {
    "key": "k" * 64,
    "job": "j",
    "labels": [0],
    "names": ["boxer"],
    "request": {},
    "reply": {"text": "\ud800 é", "model": "", "problem": ""},
    "date": "2026-01-01",
  }
  (tmp_path / "9999-x.json").write_text("{}")
  write = answer_writer(tmp_path, host="h")
  kept = [write({**record, "labels": [number]}) for number in range(3)]
  assert kept[0]["host"] == "h"
  with pytest.warns(UserWarning, match="9999-x"):
    assert read_answers(tmp_path) == kept
  assert read_answers(tmp_path / "absent") == []


def test_the_extra_is_pinned_for_the_tests(repository):
  text = (repository / "pyproject.toml").read_text("utf-8")
  extras = tomllib.loads(text)["project"]["optional-dependencies"]
  (declared,) = map(Requirement, extras["generate"])
  pins = pathlib.Path(repository / "requirements-dev.txt").read_text("utf-8")
  (pin,) = re.findall(r"^openai==(\S+)$", pins, re.MULTILINE)
  assert declared.name == "openai" and declared.specifier.contains(pin)
