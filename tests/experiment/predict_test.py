"""Predictions on one's own images: numbers, files, and what goes wrong."""

import csv
import html.parser
import io
import json
import os
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

import s3_jax
from s3_jax.clip import embed_images, embed_texts, load_clip
from s3_jax.experiment import Common, tower_batches
from s3_jax.experiment.settings import Settings
from s3_jax.experiment.tasks import predict
from s3_jax.point_to_space import POINT_TO_SPACE
from s3_jax.results import contact_sheet
from s3_jax.space import attach_complex, build_space

BINS = (
  "name,class\nsun,sky\ncrescent moon,sky\nrain cloud,sky\nanchor,sea\n"
  "sailing boat,sea\ncup of tea,cup\n"
)
PNG = [f"image{number}.png" for number in range(5)]


@pytest.fixture(scope="module")
def clip(checkpoint):
  return load_clip(checkpoint)


@pytest.fixture(scope="module")
def images(tmp_path_factory):
  """Five pictures of different sizes that the tiny tower tells apart."""
  folder = tmp_path_factory.mktemp("images")
  generator = np.random.default_rng(3)
  for number, name in enumerate(PNG):
    blocks = generator.integers(0, 255, (2, 2, 3), dtype="u1")
    picture = Image.fromarray(blocks)
    size = (20 + 7 * number, 40 - 3 * number)
    picture.resize(size, Image.Resampling.NEAREST).save(folder / name)
  return folder


@pytest.fixture
def bins(tmp_path):
  path = tmp_path / "bins.csv"
  path.write_text(BINS, encoding="utf-8")
  return path


@pytest.fixture
def run(read_config, checkpoint, bins, images, tmp_path, capsys):
  """Runs the task; returns the JSON file's content and what was printed."""

  def call(folder="run", **changes):
    fields = {
      "model": str(checkpoint),
      "images": str(images),
      "classes": str(bins),
      "cache_dir": str(tmp_path / "cache"),
      "batch_size": 8,
      **changes,
    }
    workdir = tmp_path / folder
    workdir.mkdir(exist_ok=True)
    settings = Settings({**read_config("predict").to_dict(), **fields})
    settings.read(Common)
    work = predict.read_settings(settings)
    settings.finish()
    capsys.readouterr()
    path = work(workdir)
    assert path == workdir / "predictions.json"
    return json.loads(path.read_text("utf-8")), capsys.readouterr().out

  return call


class Reader(html.parser.HTMLParser):
  """Collects tags, links, sources and text; entities are resolved."""

  def __init__(self):
    super().__init__()
    self.tags, self.links, self.sources, self.text = [], [], [], ""

  def handle_starttag(self, tag, attrs):
    self.tags.append(tag)
    self.links += [value for name, value in attrs if name == "href"]
    self.sources += [value for name, value in attrs if name == "src"]

  def handle_data(self, data):
    self.text += data


def read_page(path):
  reader = Reader()
  reader.feed(path.read_text("utf-8"))
  return reader


def read_rows(path):
  with open(path, encoding="utf-8", newline="") as file:
    return list(csv.DictReader(file))


def score_by_loops(clip, folder, document, neighbors):
  """The local-center scores in float64, one image and class at a time."""
  pixels = np.stack(
    [clip.preprocess(Image.open(folder / name)) for name in PNG]
  )
  x = np.asarray(embed_images(clip.spec, clip.params, pixels), np.float64)
  scores, nearest = [], []
  for entry in document["classes"]:
    prompts = [f"a photo of a {text}." for text in entry["core"]]
    ids = clip.tokenize(prompts)
    z = np.asarray(embed_texts(clip.spec, clip.params, ids), np.float64)
    similar = x @ z.T
    row = []
    for image in similar:
      chosen = np.argsort(-image, kind="stable")[:neighbors]
      center = z[chosen].mean(axis=0)
      row.append(image[chosen].mean() / np.linalg.norm(center))
    scores.append(row)
    best = similar.argmax(axis=1)
    nearest.append(
      [(entry["core"][b], similar[i, b]) for i, b in enumerate(best)]
    )
  return np.array(scores).T, nearest


def test_numbers_are_those_of_a_double_loop(run, clip, images):
  document, _ = run(metric="local_center", neighbors=2, scale=None, top=2)
  scores, nearest = score_by_loops(clip, images, document, 2)
  assert np.ptp(scores, axis=0).min() > 1e-3  # the images differ
  factor = np.exp(float(clip.params["logit_scale"]))
  shares = np.exp(factor * (scores - scores.max(axis=1, keepdims=True)))
  shares /= shares.sum(axis=1, keepdims=True)
  assert [row["file"] for row in document["images"]] == [
    str(images / name) for name in PNG
  ]
  for index, row in enumerate(document["images"]):
    order = np.argsort(-scores[index])[:2].tolist()
    found = row["predictions"]
    assert [entry["label"] for entry in found] == order
    assert [entry["rank"] for entry in found] == [1, 2]
    for entry in found:
      label = entry["label"]
      text, cosine = nearest[label][index]
      assert entry["class"] == ("sky", "sea", "cup")[label]
      assert entry["score"] == pytest.approx(scores[index, label], abs=1e-5)
      assert entry["probability"] == pytest.approx(
        shares[index, label], rel=1e-3
      )
      assert entry["nearest_text"] == text
      assert entry["nearest_cosine"] == pytest.approx(cosine, abs=1e-5)
    with Image.open(images / PNG[index]) as image:
      assert (row["width"], row["height"]) == image.size
    assert row["bytes"] == (images / PNG[index]).stat().st_size


def test_the_file_says_how_it_was_made(run, clip, images):
  document, out = run()
  assert (document["schema"], document["kind"]) == (1, "predictions")
  assert document["model"]["sha256"] == clip.sha256
  assert document["config"]["images"] == str(images)
  assert document["probability"].startswith("softmax of exp(logit_scale)")
  assert "sigmoid" not in document["probability"]
  assert document["texts"]["distinct"] == 6
  assert document["texts"]["template"] == "a photo of a {}."
  assert [entry["name"] for entry in document["classes"]] == [
    "sky",
    "sea",
    "cup",
  ]
  texts = [entry["core"] + entry["left_out"] for entry in document["classes"]]
  assert [len(of_class) for of_class in texts] == [3, 2, 1]
  assert document["files"] == {
    "found": 5,
    "good": 5,
    "bad": 0,
    "hidden": [],
    "other": [],
    "links": [],
    "closed": [],
  }
  assert document["timings"]["images_per_second"] > 0
  assert out.count("image") >= 5 and "5 of 5 files good" in out


def test_what_a_core_leaves_out_decides_nothing(run):
  document, _ = run(scale=0.0, keep="label")  # the first text of each class
  assert [entry["core"] for entry in document["classes"]] == [
    ["sun"],
    ["anchor"],
    ["cup of tea"],
  ]
  for row in document["images"]:
    for entry in row["predictions"]:
      assert entry["nearest_text"] in ("sun", "anchor", "cup of tea")
      assert entry["score"] == pytest.approx(entry["nearest_cosine"], abs=1e-5)


def test_one_class_of_one_name(run):
  document, _ = run(classes="sun,", top=5)
  for row in document["images"]:
    (entry,) = row["predictions"]
    assert (entry["class"], entry["probability"]) == ("sun", 1.0)


def test_equal_scores_go_to_the_first_class(run):
  document, out = run(classes=("anchor", "sun", "Sun", "sun"), template="{}")
  for row in document["images"]:
    labels = [entry["label"] for entry in row["predictions"]]
    assert labels.index(1) < labels.index(3)
  (shared,) = document["texts"]["shared"]
  assert shared == {"text": "sun", "classes": [1, 2, 3]}
  assert "several classes share: 1, such as 'sun' of 1, 2, 3" in out


def test_devices_and_batches_change_nothing(run):
  assert len(jax.devices()) == 8
  first, _ = run("one", mesh=1, batch_size=2)
  for folder, changes in (("all", {"mesh": 8}), ("three", {"mesh": 3})):
    other, _ = run(folder, **changes)
    for one, two in zip(first["images"], other["images"], strict=True):
      assert one["file"] == two["file"]
      for a, b in zip(one["predictions"], two["predictions"], strict=True):
        assert a["nearest_text"] == b["nearest_text"]
        assert a["label"] == b["label"]
        assert a["score"] == pytest.approx(b["score"], abs=1e-5)


def test_the_same_run_gives_the_same_files(run, tmp_path):
  documents = []
  for folder in ("a", "b"):
    document, _ = run(folder)
    documents.append({**document, "timings": {}})
  assert documents[0] == documents[1]
  for name in ("predictions.csv", "contact_sheet.html"):
    pair = [(tmp_path / folder / name).read_bytes() for folder in "ab"]
    assert pair[0] == pair[1]


def test_a_sigmoid_model_gets_a_softmax_and_says_so(run, clip, monkeypatch):
  params = {**clip.params, "logit_bias": jnp.asarray(-10.0)}
  monkeypatch.setattr(
    predict, "load_checkpoint", lambda source: clip._replace(params=params)
  )
  document, _ = run()
  assert "sigmoid" in document["probability"]
  for row in document["images"]:
    total = sum(entry["probability"] for entry in row["predictions"])
    assert total == pytest.approx(1.0, abs=1e-4)


@pytest.fixture
def mixed(images, tmp_path):
  """Two good files, and others that are not, behind hostile names."""
  folder = tmp_path / "mixed"
  folder.mkdir()
  good = (images / "image1.png").read_bytes()
  for name in (
    "<script>alert(1)<\u2215script>.png",
    "line\nbreak \x1b[31m\u202egnp.jpg",
    "=1+1.png",
  ):
    (folder / name).write_bytes(good)
  (folder / "empty.png").write_bytes(b"")
  (folder / "cut.png").write_bytes(good[:60])
  (folder / "words.jpg").write_text("no picture")
  (folder / "notes.txt").write_text("no picture")
  (folder / ".hidden.png").write_bytes(good)
  return folder


def test_bad_files_are_listed_and_nothing_stops(run, mixed, tmp_path):
  document, out = run(images=str(mixed), batch_size=2)
  assert [entry["file"] for entry in document["bad_files"]] == [
    str(mixed / name) for name in ("cut.png", "empty.png", "words.jpg")
  ]
  reasons = [entry["reason"] for entry in document["bad_files"]]
  assert reasons[1] == "empty file" and all(reasons)
  assert document["files"]["found"] == 6
  assert (document["files"]["good"], document["files"]["bad"]) == (3, 3)
  assert document["files"]["hidden"] == [str(mixed / ".hidden.png")]
  assert document["files"]["other"] == [str(mixed / "notes.txt")]
  assert len(document["images"]) == 3
  assert "3 of 6 files good; bad: 3; hidden, not looked at: 1; no im" in out
  rows = read_rows(tmp_path / "run" / "predictions.csv")
  assert [row["problem"] for row in rows if not row["rank"]] == reasons
  page = read_page(tmp_path / "run" / "contact_sheet.html")
  assert "3 of them could not be used" in page.text
  for reason in reasons:
    assert reason in page.text and reason in out


def test_hostile_names_are_shown_and_never_obeyed(run, mixed, tmp_path):
  document, out = run(images=str(mixed), classes="<b>sun</b>,=cmd|x,a\tb")
  files = [row["file"] for row in document["images"]]
  assert str(mixed / "line\nbreak \x1b[31m\u202egnp.jpg") in files  # exact
  shown = r"line\nbreak \x1b[31m\u202egnp.jpg"
  page = read_page(tmp_path / "run" / "contact_sheet.html")
  for text in (out, page.text):
    assert "\x1b" not in text and "\u202e" not in text
    assert shown in text and "<script>alert(1)" in text
  assert not {"script", "b", "iframe", "link"} & set(page.tags)
  assert all(
    each.startswith("data:image/jpeg;base64,") for each in page.sources
  )
  assert page.links == []
  rows = read_rows(tmp_path / "run" / "predictions.csv")
  assert len(rows) == 3 * 3 + 3
  assert {row["class"] for row in rows} == {
    "<b>sun</b>",
    "'=cmd|x",
    r"a\tb",
    "",
  }
  assert all(len(row) == 11 for row in rows)
  assert sorted(os.listdir(tmp_path / "run")) == [
    "contact_sheet.html",
    "log.txt",
    "predictions.csv",
    "predictions.json",
  ]


def test_names_that_are_no_text(run, images, tmp_path):
  folder = tmp_path / "bytes"
  folder.mkdir()
  name = os.fsencode(folder) + b"/caf\xe9.png"
  with open(name, "wb") as file:
    file.write((images / "image0.png").read_bytes())
  document, out = run(images=os.fsdecode(name))
  (row,) = document["images"]
  assert row["file"] == str(folder / "caf\\udce9.png")
  assert "caf\\udce9.png" in out
  assert "caf\\udce9.png" in read_page(tmp_path / "run/contact_sheet.html").text
  assert document["config"]["images"] == os.fsdecode(name)


def test_strict_fails_when_everything_is_written(run, mixed, tmp_path):
  with pytest.raises(
    ValueError, match="`config.strict` allows no bad"
  ) as error:
    run(images=str(mixed), strict=True)
  assert "\n" not in str(error.value)
  assert "3 bad of 6" in str(error.value) and "cut.png" in str(error.value)
  document = json.loads((tmp_path / "run/predictions.json").read_text())
  assert len(document["images"]) == 3
  assert (tmp_path / "run" / "contact_sheet.html").is_file()
  run(strict=True)  # all are good


def test_only_bad_files_are_an_error_too(run, mixed, tmp_path):
  with pytest.raises(ValueError, match="must hold an image that can be used"):
    run(images=(str(mixed / "cut.png"), str(mixed / "empty.png")))
  document = json.loads((tmp_path / "run/predictions.json").read_text())
  assert document["images"] == [] and len(document["bad_files"]) == 2


def test_an_embedding_that_is_not_finite_is_a_bad_file(run, monkeypatch):
  def broken(spec, params, images, *, dtype, gather):
    rows = jnp.ones((images.shape[0], spec.embed_dim)) / spec.embed_dim**0.5
    return rows.at[1].set(jnp.nan).at[3].set(0.0)

  tower_batches.image_tower.cache_clear()
  monkeypatch.setattr(tower_batches, "embed_images", broken)
  document, _ = run()
  tower_batches.image_tower.cache_clear()
  assert [entry["reason"] for entry in document["bad_files"]] == [
    "no finite embedding"
  ] * 2
  assert len(document["images"]) == 3


def test_many_images_fill_several_pages(run, images, tmp_path, monkeypatch):
  monkeypatch.setattr(contact_sheet, "CARDS", 2)
  document, out = run()
  names = ["contact_sheet.html", "contact_sheet_2.html", "contact_sheet_3.html"]
  assert document["pages"] == names
  pages = [read_page(tmp_path / "run" / name) for name in names]
  assert [page.tags.count("article") for page in pages] == [2, 2, 1]
  assert "Images 5 to 5 of 5" in pages[2].text
  for page, name in zip(pages, names, strict=True):
    assert page.links == 2 * [other for other in names if other != name]
  assert "contact_sheet.html and 2 more pages" in out
  # A smaller run in the same folder leaves no page of the larger one.
  mine = tmp_path / "run" / "contact_sheet_mine.html"
  mine.write_text("mine")
  document, _ = run(images=str(images / "image0.png"))
  assert document["pages"] == names[:1]
  left = sorted(path.name for path in (tmp_path / "run").glob("*.html"))
  assert left == ["contact_sheet.html", mine.name]
  document, _ = run(contact_sheet=False)
  assert document["pages"] == []
  assert document["images"][0]["width"] == 20
  assert [path.name for path in (tmp_path / "run").glob("*.html")] == [
    mine.name
  ]


def test_pictures_of_the_page_are_the_files(run, images, tmp_path):
  import base64

  run()
  page = read_page(tmp_path / "run" / "contact_sheet.html")
  for source, name in zip(page.sources, PNG, strict=True):
    data = base64.b64decode(source.partition(",")[2])
    shown, original = Image.open(io.BytesIO(data)), Image.open(images / name)
    assert shown.size == original.size
    difference = np.abs(
      np.asarray(shown, int) - np.asarray(original.convert("RGB"), int)
    )
    assert np.median(difference) < 12


def test_more_than_twenty_images_are_shortened(run, images, tmp_path):
  folder = tmp_path / "many"
  folder.mkdir()
  for number in range(23):
    name = f"{'x' * 60}{number:02d}.png"
    (folder / name).write_bytes((images / PNG[number % 5]).read_bytes())
  document, out = run(images=str(folder))
  assert len(document["images"]) == 23
  assert "... and 3 more in the files" in out
  table = [line for line in out.splitlines() if line.startswith("…")]
  assert len(table) == 20 and table[19][:44].endswith("19.png")
  assert (tmp_path / "run" / "log.txt").read_text("utf-8") == out


def test_a_run_that_dies_leaves_the_old_files(run, tmp_path, monkeypatch):
  run()
  before = {
    path.name: path.read_bytes()
    for path in (tmp_path / "run").iterdir()
    if path.name != "log.txt"
  }

  def die(*_, **__):
    raise RuntimeError("power cut")

  monkeypatch.setattr(contact_sheet, "CARDS", 2)
  monkeypatch.setattr(predict, "write_csv", die)
  with pytest.raises(RuntimeError, match="power cut"):
    run(top=1)
  after = {
    path.name: path.read_bytes()
    for path in (tmp_path / "run").iterdir()
    if path.name != "log.txt"
  }
  assert after == before


def test_photographs_are_turned_as_their_tag_says(run, images, tmp_path):
  picture = Image.open(images / "image2.png").convert("RGB")
  upright, turned = tmp_path / "upright.png", tmp_path / "turned.png"
  picture.save(upright)
  exif = picture.getexif()
  exif[0x0112] = 6  # to be turned by 90 degrees clockwise
  picture.transpose(Image.Transpose.ROTATE_90).save(turned, exif=exif)
  document, _ = run(images=(str(upright), str(turned)))
  one, two = document["images"]
  assert one["predictions"] == two["predictions"]
  assert (one["width"], one["height"]) == (two["height"], two["width"])
  document, _ = run(images=(str(upright), str(turned)), exif_orientation=False)
  one, two = document["images"]
  assert one["predictions"] != two["predictions"]


@pytest.mark.parametrize("metric", ["nearest_point", "complex"])
def test_other_metrics(run, clip, images, metric):
  document, _ = run(metric=metric, scale=None)
  texts = [entry["core"] for entry in document["classes"]]
  prompts = [f"a photo of a {text}." for of_class in texts for text in of_class]
  z = np.zeros((3, 3, clip.spec.embed_dim), np.float32)
  mask = np.array([[1, 1, 1], [1, 1, 0], [1, 0, 0]], bool)
  z[mask] = embed_texts(clip.spec, clip.params, clip.tokenize(prompts))
  space = attach_complex(build_space(z, mask, scale=None))
  pixels = [clip.preprocess(Image.open(images / name)) for name in PNG]
  x = embed_images(clip.spec, clip.params, np.stack(pixels))
  scores = POINT_TO_SPACE[metric](x, space)
  for index, row in enumerate(document["images"]):
    for entry in row["predictions"]:
      expected = float(scores[index, entry["label"]])
      assert entry["score"] == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(
  ("changes", "message"),
  [
    ({"images": "no/such/folder"}, "'no/such/folder', which does not exist"),
    ({"images": ()}, "must name at least one place"),
    ({"images": (3,)}, "got 3"),
    ({"images": "docs/*.xyz"}, r"got 'docs/\*.xyz' with none"),
    ({"classes": "nothing"}, "`config.classes` must be names between commas"),
    ({"classes": ()}, "at least one class"),
    ({"template": "a photo"}, "must hold exactly one"),
    ({"top": 0}, "`config.top` must be >= 1"),
    ({"max_pixels": 0}, "`config.max_pixels` must be >= 1"),
    ({"strict": "yes"}, "`config.strict` must be of type bool"),
    ({"mesh": 9}, "`mesh` must be at most the 8 devices"),
    ({"metric": "magic"}, "`config.metric` must be one of"),
    ({"nonsense": 1}, "`config.nonsense`: unknown field"),
  ],
)
def test_wrong_settings_are_named(run, tmp_path, changes, message):
  with pytest.raises(ValueError, match=message) as error:
    run(**changes)
  assert "\n" not in str(error.value)
  assert list((tmp_path / "run").iterdir()) == []


def test_the_page_has_no_outside_parts(run, tmp_path):
  run()
  page = (tmp_path / "run" / "contact_sheet.html").read_text("utf-8")
  assert "default-src 'none'" in page
  assert not re.search(r"https?:|url\(|@import|<script|\son\w+=", page)


def test_notes_say_what_happened_to_the_texts(run, tmp_path):
  path = tmp_path / "own.json"
  path.write_text(json.dumps({"sun": ["word " * 40], "eel": []}))
  document, out = run(classes=str(path))
  cut, unnamed = document["notes"]
  assert cut == "Texts longer than the model reads, which were cut: 1."
  assert unnamed.startswith("Classes without a text, which got their name: 1")
  assert "Classes of own.json: 2 classes, 2 texts.\n" in out
  assert document["texts"]["taken"] == "own.json: 2 classes, 2 texts."
  assert f"Note: {cut}" in out and f"Note: {unnamed}" in out
  assert document["texts"]["truncated"] == 1
  assert document["texts"]["classes_without"] == [1]
  page = read_page(tmp_path / "run" / "contact_sheet.html")
  assert cut in page.text


MIXED = {
  "sky": ["sun", "rain cloud", "crescent moon", "jet", "anchor"],
  "sea": ["anchor", "sailing boat", "fish", "whale"],
  **{name: [name] for name in ("cat", "dog", "cup", "key", "leaf", "tree")},
}


@pytest.mark.parametrize(
  "changes",
  [{}, {"metric": "local_center", "neighbors": 2}, {"metric": "complex"}],
)
def test_the_five_lines_of_python_give_the_same(
  run, clip, images, tmp_path, changes
):
  """`embed_classes` and `classify` are this task, as functions."""
  path = tmp_path / "mixed.json"
  path.write_text(json.dumps(MIXED), "utf-8")
  document, _ = run(classes=str(path), top=len(MIXED), **changes)
  space = s3_jax.embed_classes(clip, path)
  found = s3_jax.classify(
    clip, space, [images / name for name in PNG], **changes
  )
  assert any(space.left_out)
  for entry, left_out in zip(document["classes"], space.left_out, strict=True):
    assert tuple(entry["left_out"]) == left_out
  assert len(document["images"]) == len(PNG)
  for row, image in enumerate(document["images"]):
    best = image["predictions"][0]
    assert best["class"] == found.names[row]
    assert best["nearest_text"] == found.texts[row]
    assert best["nearest_cosine"] == pytest.approx(found.cosines[row], abs=2e-6)
    for each in image["predictions"]:
      column = each["label"]
      assert each["score"] == pytest.approx(found.scores[row, column], abs=2e-6)
      assert each["probability"] == pytest.approx(
        found.probabilities[row, column], abs=1e-5
      )
