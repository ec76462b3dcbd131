"""Words without a key: looked up, asked for by hand, pasted, filled in."""

import io
import json
import re
import sys

import numpy as np
import pytest
from PIL import Image

from s3_jax import experiment
from s3_jax.experiment import Common
from s3_jax.experiment.settings import Settings
from s3_jax.experiment.tasks import predict, segment
from s3_jax.experiment.tasks.benchmark.sets import find_sets
from s3_jax.experiment.tasks.export import Export
from s3_jax.lexicon.synonyms import load_lexicon
from tests.model_server import good, serve

NAMES = ("cat", "sofa", "gray whale", "crane", "frobnicator")


@pytest.fixture(autouse=True)
def alone(monkeypatch):
  """There is neither a client nor a key."""
  monkeypatch.setitem(sys.modules, "openai", None)
  monkeypatch.delenv("OPENAI_API_KEY", raising=False)


@pytest.fixture
def run(read_config, tmp_path):
  """Runs the config in one folder, again and again."""

  def run(**changes):
    config = read_config("synonyms")
    with config.ignore_type():
      config.update({"classes": ", ".join(NAMES), **changes})
    return experiment.run(config, str(tmp_path / "run"))

  return run


@pytest.fixture
def table(tmp_path):
  """Reads the table as it stands."""
  return lambda: load_lexicon(tmp_path / "run/classes.json").classes


@pytest.fixture
def report(tmp_path):
  return lambda: json.loads((tmp_path / "run/report.json").read_text("utf-8"))


def answer(*rows):
  records = [
    {"index": i, "name": name, "synonyms": list(texts), "descriptors": ["d"]}
    for i, name, *texts in rows
  ]
  return json.dumps({"classes": records})


@pytest.fixture
def paste(run, tmp_path):
  """Pastes answers from a file."""

  def paste(text, **changes):
    (tmp_path / "answer.txt").write_text(text, "utf-8")
    return run(paste=str(tmp_path / "answer.txt"), **changes)

  return paste


def prompted(text):
  """Lists the classes that prompts ask about, prompt by prompt."""
  asked = re.findall(r"Classes to answer:\n(\[.*?\])\n\n", text, re.DOTALL)
  return [[row["name"] for row in json.loads(rows)] for rows in asked]


def test_names_are_looked_up(run, table, report, capsys, tmp_path):
  assert run(offline=True) == tmp_path / "run/classes.json"
  cat, sofa, whale, crane, nothing = table()
  voc, imagenet = load_lexicon("voc"), load_lexicon("imagenet")
  assert (cat.names, cat.descriptors) == (
    voc.classes[8].names,
    voc.classes[8].descriptors,
  )
  assert sofa.source == {
    "how": "table",
    "table": "voc",
    "index": 18,
    "name": "sofa",
    "match": "official name",
  }
  assert whale.source["match"] == "official name, spelled otherwise"
  others = [text for text in imagenet.classes[147].names if text != whale.name]
  assert whale.names == ("gray whale", *others)
  assert whale.by_kind["common"][0] == "grey whale"
  for gap in (crane, nothing):
    assert (gap.synonyms, gap.descriptors) == ((), ())
    assert gap.source == {"how": "none"}
  origin = json.loads(load_lexicon(tmp_path / "run/classes.json").provenance)
  assert origin["tables"] == {"voc": voc.sha256, "imagenet": imagenet.sha256}
  found = report()
  assert [row["label"] for row in found["found"]] == [0, 1, 2]
  assert [row["index"] for row in found["fallback"]] == [3, 4]
  out, err = capsys.readouterr()
  assert err == "" and "3 of 5 names found" in out
  assert re.search(r"  sofa: couch, .*  \[voc\]\n", out)
  assert "[imagenet 'grey whale', official name, spelled otherwise]" in out
  assert "  crane  ('crane bird' of imagenet, 'construction crane'" in out
  assert "2 classes without synonyms: crane, frobnicator." in out
  assert f"--classes={tmp_path / 'run/classes.json'}" in out
  page = (tmp_path / "run/report.md").read_text("utf-8")
  assert (
    "- 2 `gray whale`: imagenet 147 `grey whale`, official name, sp" in page
  )
  assert "- 3 `crane`: `'crane bird' of imagenet," in page


def test_two_meanings_are_said(run, table, report, capsys):
  run(classes="tank, drum", offline=True)
  assert "battle tank" in table()[0].synonyms
  assert "storage tank" not in table()[0].synonyms
  (other,) = [row for row in report()["others"] if row["label"] == 0]
  assert (other["table"], other["name"]) == ("ade20k", "tank")
  out = capsys.readouterr().out
  assert "Another meaning?" in out
  assert "  tank: in ade20k also storage tank" in out


def test_tables_are_chosen(run, table):
  run(classes="tank,", offline=True, tables=("ade20k", "imagenet"))
  assert "storage tank" in table()[0].synonyms


def test_a_packaged_table_gives_itself(run, tmp_path):
  path = run(classes="oxford_pets", offline=True, tables=("oxford_pets",))
  assert path == tmp_path / "run/oxford_pets.json"
  for entry, own in zip(
    load_lexicon(path).classes, load_lexicon("oxford_pets").classes, strict=True
  ):
    assert entry._replace(source=None) == own._replace(captioned=())


def test_names_of_the_list_are_no_synonyms(run, table, report):
  run(classes="sofa, settees, loveseat", offline=True)
  assert "settee" not in table()[0].synonyms, "in no spelling"
  assert "loveseat" not in table()[0].synonyms
  assert [drop["reason"] for drop in report()["drops"]] == [
    "another class's name"
  ] * 2
  assert [row["index"] for row in report()["fallback"]] == [1, 2]
  assert report()["hints"]["1"] == "means 'sofa' of voc, as 'sofa' does"


def test_a_prompt_is_all_of_stdout(run, capsys, tmp_path):
  run(prompt=True, domain="a {thing}")
  out, err = capsys.readouterr()
  assert out.startswith("You name the classes") and prompted(out) == [[*NAMES]]
  assert out.rstrip().endswith('"descriptors": ["...", "..."]}]}')
  assert "Every class is a {thing}." in out
  assert "1 text to paste into a chat, about 5 classes" in err
  assert f"--workdir={tmp_path / 'run'}" in err
  assert list((tmp_path / "run").iterdir()) == []


def test_long_lists_are_several_texts_of_one_size(run, capsys):
  run(classes=",".join(f"name {n}" for n in range(31)), prompt=True)
  out = capsys.readouterr().out
  assert list(map(len, prompted(out))) == [15, 16]
  assert re.findall("^--- .*", out, re.M) == [
    "--- paste 1 of 2 ---",
    "--- paste 2 of 2 ---",
  ]
  run(prompt=True, paste_size=2)
  assert list(map(len, prompted(capsys.readouterr().out))) == [1, 2, 2]


def test_look_up_then_ask_then_paste(run, paste, table, report, capsys):
  run(offline=True)
  capsys.readouterr()
  run(prompt=True)
  assert prompted(capsys.readouterr().out) == [["crane", "frobnicator"]]
  before = table()
  paste(f"Sure!\n```json\n{answer((3, 'crane', 'sarus', 'Cat'))}\n```\n")
  after = table()
  assert after[:3] == before[:3]
  assert after[3].names == ("crane", "sarus")
  assert after[3].source["how"] == "pasted"
  assert re.fullmatch(r"\d{4}-\d\d-\d\d", after[3].source["date"])
  out = capsys.readouterr().out
  assert "1 class taken from the pasted text." in out
  assert "1 text not taken: 1 another class's name." in out
  assert "1 class without synonyms: frobnicator." in out
  run(prompt=True)
  assert prompted(capsys.readouterr().out) == [["frobnicator"]]
  paste(answer((4, "frobnicator", "frob")))
  capsys.readouterr()
  run(prompt=True)
  out, err = capsys.readouterr()
  assert out == "" and "Every class has synonyms" in err
  assert report()["fallback"] == []


def test_what_is_refused_is_counted_and_listed(paste, table, report, capsys):
  paste(answer((0, "cat", "mouser"), (1, "lion", "x"), (9, "yak", "y")))
  assert table()[0].synonyms == ("mouser",)
  assert report()["problems"] == {
    "class that was not asked about": 1,
    "index and name disagree": 1,
  }
  assert [row["name"] for row in report()["refused"]] == ["lion", "yak"]
  out = capsys.readouterr().out
  assert "  refused: index 1, 'lion': index and name disagree\n" in out
  assert "4 classes without synonyms: sofa, gray whale, crane, frobn" in out


def test_what_is_there_stays(run, paste, table, report, capsys):
  run(offline=True)
  before = table()
  assert paste(answer((0, "cat", "mouser"), (3, "crane", "sarus")))
  assert table()[:3] == before[:3] and report()["kept"] == [0]
  assert "1 class kept: synonyms were there." in capsys.readouterr().out
  # A text that a class of the table has is nobody else's.
  paste(answer((4, "frobnicator", "Sarus", "frob")))
  assert table()[3].synonyms == ("sarus",)
  assert table()[4].synonyms == ("frob",)
  assert [drop["reason"] for drop in report()["drops"]] == [
    "claimed by several classes"
  ]


def fill(path, label, **fields):
  value = json.loads(path.read_text("utf-8"))
  value["classes"][label].update(fields)
  path.write_text(json.dumps(value), "utf-8")


def test_what_a_person_fills_in_stays(run, table, tmp_path):
  path = run(offline=True)
  fill(path, 4, synonyms=["frob"])
  run(offline=True)
  assert table()[4].synonyms == ("frob",)
  assert table()[4].source == {"how": "hand"}
  assert table()[3].source == {"how": "none"}


def test_descriptors_of_a_class_stay_beside_new_synonyms(paste, table):
  paste(answer((4, "frobnicator")))
  assert (table()[4].synonyms, table()[4].descriptors) == ((), ("d",))
  text = answer((4, "frobnicator", "frob")).replace('"d"', '"other"')
  paste(text)
  assert (table()[4].synonyms, table()[4].descriptors) == (("frob",), ("d",))


def test_a_class_that_loses_all_texts_is_a_gap(run, paste, table, tmp_path):
  text = answer((0, "cat", "pet"), (1, "sofa", "pet"))
  paste(text.replace('"d"', ""))
  assert all(entry.source == {"how": "none"} for entry in table())
  fill(tmp_path / "run/classes.json", 0, synonyms=["mouser"])
  run(offline=True)
  assert table()[0].source == {"how": "hand"}
  assert table()[1].source["how"] == "table"


def test_what_is_no_unicode_is_refused_like_the_rest(paste, report):
  """JSON can spell half of a character, which no file can hold."""
  wrong = {"index": "\ud800x", "name": "\udfff", "synonyms": ["y"]}
  right = {"index": 0, "name": "cat", "synonyms": ["mouser\ud800"]}
  paste(json.dumps({"classes": [wrong, right]}))
  (refused,) = report()["refused"]
  assert (refused["class_index"], refused["name"]) == ("x", "")
  assert report()["synonyms"] == 1


def test_an_endpoint_is_asked_for_the_rest_alone(run, table, tmp_path):
  path = run(offline=True)
  fill(path, 4, synonyms=["frob"])
  before = table()
  sys.modules.pop("openai")
  with serve() as server:
    server.behave = good
    run(base_url=server.url, model="tiny")
    assert [sent.labels for sent in server.sent] == [[3]]
  after = table()
  assert after[3].names == ("crane", "other 3", "second 3")
  assert [entry._replace(source=None) for entry in after[:3]] == [
    entry._replace(source=None) for entry in before[:3]
  ]
  assert [entry.source["how"] for entry in after if entry.source] == [
    *("table", "table", "table", "hand")
  ]
  origin = json.loads(load_lexicon(path).provenance)
  assert origin["model"] == "tiny" and "voc" in origin["earlier"][0]["tables"]


def test_standard_input_is_a_file(run, table, monkeypatch, tmp_path):
  data = answer((0, "cat", "mouser")).encode()
  monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
  run(paste="-")
  assert table()[0].synonyms == ("mouser",)
  (kept,) = (tmp_path / "run/answers").iterdir()
  assert kept.read_bytes() == data


@pytest.mark.parametrize(
  ("changes", "words"),
  [
    (
      {"offline": True, "prompt": True},
      ("`config.prompt` must be left out beside `config.offline`",),
    ),
    (
      {"dry_run": True, "paste": "x"},
      ("`config.paste` must be left out beside `config.dry_run`",),
    ),
    ({"tables": ("voc",)}, ("`config.tables` must be left out without",)),
    (
      {"tables": ("vok",), "offline": True},
      ("config.tables", "'vok'", "voc"),
    ),
    ({"paste_size": 0, "prompt": True}, ("config.paste_size", ">= 1")),
    ({"paste": "no/such"}, ("`config.paste`", "'no/such'", "No such file")),
    ({"paste": "{folder}"}, ("`config.paste`", "Is a directory")),
    ({"paste": "{folder}/empty"}, ("`config.paste`", "--config.prompt=True")),
    ({"paste": "{folder}/latin"}, ("`config.paste` must be UTF-8",)),
    ({"paste": "{folder}/large"}, ("`config.paste`", "at most 2 MiB")),
    ({"paste": "{folder}/other"}, ("can take none", "'lion'", "disagree")),
  ],
)
def test_what_is_refused(run, tmp_path, changes, words):
  for name, data in (
    ("empty", b"\n"),
    ("latin", b"caf\xe9"),
    ("large", b" " * ((1 << 21) + 1)),
    ("other", answer((0, "lion", "x")).encode()),
  ):
    (tmp_path / name).write_bytes(data)
  if isinstance(changes.get("paste"), str):
    changes = {
      **changes,
      "paste": changes["paste"].replace("{folder}", str(tmp_path)),
    }
  with pytest.raises(ValueError) as error:
    run(**changes)
  message = str(error.value)
  assert all(word in message for word in words) and len(message) < 400
  assert not list(tmp_path.rglob("*.json")), "nothing is half written"


def test_a_table_of_other_classes_is_not_written_over(run, table, paste):
  run(offline=True)
  before = table()
  for changes in ({"offline": True}, {"prompt": True}):
    with pytest.raises(ValueError, match="classes.json must be of the classes"):
      run(classes="a, b", **changes)
  assert table() == before
  run(classes="dog, cat", offline=True, name="pets")
  assert table() == before


def test_an_interrupt_leaves_the_table_as_it_was(run, table, monkeypatch):
  run(offline=True)
  before = table()

  class Interrupted:
    def isatty(self):
      return False

    @property
    def buffer(self):
      raise KeyboardInterrupt

  monkeypatch.setattr(sys, "stdin", Interrupted())
  with pytest.raises(KeyboardInterrupt):
    run(paste="-")
  assert table() == before


EVIL = ("\x1b[2J", "a\nTable: x", "<img src=x>", "`]|(http://x.example)")


def test_evil_names_and_texts_stay_text(run, paste, table, capsys, tmp_path):
  run(classes=EVIL, offline=True)
  paste(answer((2, "<img src=x>", "**b** | c", "\u202ed")), classes=EVIL)
  out = capsys.readouterr().out
  assert "\x1b" not in out and "\nTable: x" not in out
  assert table()[2].synonyms == ("**b** | c", "d")
  page = (tmp_path / "run/report.md").read_text("utf-8")
  outside = re.sub(r"`[^`\n]*`", "", page)
  assert not any(mark in outside for mark in ("<", "example", "**", "\x1b"))


class TestDoors:
  """One table, made here, gives the same classes wherever classes are taken."""

  @pytest.fixture
  def made(self, run):
    path = run(classes="cat, sofa, frobnicator", offline=True)
    classes = load_lexicon(path).only().classes
    return path, [list(entry.names) for entry in classes]

  @pytest.fixture
  def fields(self, read_config, made, checkpoint, tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    Image.new("RGB", (24, 20), (200, 30, 30)).save(folder / "a.png")

    def fields(name):
      return read_config(name).to_dict() | {
        "images": str(folder),
        "classes": str(made[0]),
        "model": str(checkpoint),
        "cache_dir": str(tmp_path / "cache"),
      }

    return fields

  def test_predictions_and_segmentation(self, made, fields, tmp_path):
    for task, name, extra in (
      (predict, "predict", {}),
      (segment, "segment", {"templates": ("a {}.",)}),
    ):
      settings = Settings({**fields(name), **extra})
      settings.read(Common)
      work = task.read_settings(settings)
      settings.finish()
      (tmp_path / name).mkdir()
      document = json.loads(work(tmp_path / name).read_text("utf-8"))
      rows = document["classes"]
      assert [row["name"] for row in rows] == ["cat", "sofa", "frobnicator"]
      for row, texts in zip(rows, made[1], strict=True):
        shown = row.get("texts") or row["core"]
        assert sorted([*shown, *row["left_out"]]) == sorted(texts)

  def test_an_export(self, made, fields):
    settings = Settings(fields("export") | {"classes": str(made[0])})
    assert list(map(list, settings.read(Export).classes.texts)) == made[1]

  def test_images_of_ones_own(self, made, tmp_path):
    for name in ("cat", "sofa", "frobnicator"):
      (tmp_path / "own" / name).mkdir(parents=True)
      Image.new("RGB", (8, 8)).save(tmp_path / "own" / name / "a.png")
    ((own,), _) = find_sets(
      tmp_path,
      ("own",),
      data_dir=tmp_path / "own",
      layout="auto",
      lexicon=str(made[0]),
      partial=False,
      skip_absent=False,
    )
    assert [list(entry.names) for entry in own.classes] == made[1]

  def test_embeddings(self, made, read_config, tmp_path):
    names = [text for texts in made[1] for text in texts]
    owner = [label for label, texts in enumerate(made[1]) for _ in texts]
    vectors = np.eye(8)[owner] + 0.1 * np.eye(8)[3 + np.arange(len(names)) % 5]
    np.savez(tmp_path / "t.npz", v=vectors, names=np.array(names))
    np.savez(tmp_path / "i.npz", x=np.eye(8)[[0, 1, 2, 2]], y=[0, 1, 2, 2])
    config = read_config(
      "embeddings",
      images=str(tmp_path / "i.npz"),
      texts=str(tmp_path / "t.npz"),
      classes=str(made[0]),
      methods=("class_name", "synonyms_mean"),
      baseline="class_name",
      mesh=1,
    )
    results = experiment.run(config, str(tmp_path / "embeddings"))
    texts = results["texts"]["datasets"]["i"]
    assert texts["unused_vectors"] == texts["names_without_vector"] == []
    log = (tmp_path / "embeddings/log.txt").read_text("utf-8")
    most = max(map(len, made[1]))
    assert f"Classes: 3, with {len(names)} texts, 1 to {most} each." in log
