"""Predictions that answer "none of these", on the embedded checkpoint."""

import csv
import json
import math

import numpy as np
import pytest
from PIL import Image

from s3_jax import embed_images, embed_texts, load_clip
from s3_jax.data import pictographs
from s3_jax.data.glyphs import glyph_fields
from s3_jax.experiment import Common
from s3_jax.experiment.settings import Settings
from s3_jax.experiment.tasks import predict
from s3_jax.lexicon.spelling import concept_keys
from s3_jax.lexicon.synonyms import load_lexicon

CLASSES = {"airplane": ["airplane", "jet"], "umbrella": ["umbrella"]}
ERROR = 0.05


@pytest.fixture(scope="module")
def images(tmp_path_factory):
  """One new picture of each of the ninety classes, and a file cut off."""
  folder = tmp_path_factory.mktemp("pictographs")
  classes = load_lexicon("pictographs").classes
  fields = glyph_fields(tuple(entry.codepoint for entry in classes))
  for entry in classes:
    stream = pictographs.image_generator(7, "test", "plain", entry.label, 0)
    pixels = pictographs.render(fields[entry.label], stream)
    name = f"{entry.label:02d} {entry.captioned[0]}.png"
    Image.fromarray(pixels).save(folder / name)
  (folder / "cut.png").write_bytes(b"\x89PNG\r\n\x1a\n")
  return folder


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
  return str(tmp_path_factory.mktemp("cache"))


@pytest.fixture
def run(read_config, images, cache, tmp_path, capsys):
  def call(**changes):
    fields = {
      **read_config("predict").to_dict(),
      "images": str(images),
      "classes": json.dumps(CLASSES),
      "cache_dir": cache,
      **changes,
    }
    settings = Settings(fields)
    settings.read(Common)
    work = predict.read_settings(settings)
    settings.finish()
    path = work(tmp_path)
    return json.loads(path.read_text("utf-8")), capsys.readouterr().out

  return call


def judge_by_loops(document, images):
  """The p-value of every image from the words alone, in exact arithmetic."""
  clip = load_clip("s3_jax/pictographs")

  def embed(names):
    prompts = [f"a photo of a {name}." for name in names]
    ids = clip.tokenize(prompts)
    return np.asarray(embed_texts(clip.spec, clip.params, ids), np.float64)

  own = [text for entry in document["classes"] for text in entry["core"]]
  given = {text for texts in CLASSES.values() for text in texts}
  seen = set().union(*map(concept_keys, given))
  entries = load_lexicon("pictographs").classes
  names = []
  for name in (
    *(entry.names[0] for entry in entries),
    *(name for entry in entries for name in entry.synonyms),
  ):
    if seen.isdisjoint(concept_keys(name)):
      names.append(name)
      seen |= concept_keys(name)
  z, texts = embed(names), embed(own)
  least = math.ceil(0.005 * len(names))
  kept = []
  for name in z:
    nearest = max(texts @ name)
    # Itself is one of those that are nearer.
    if sum(z @ name > nearest) - 1 >= least:
      kept.append(name)
  p_values = {}
  for row in document["images"]:
    pixels = clip.preprocess(Image.open(row["file"]))[None]
    x = np.asarray(embed_images(clip.spec, clip.params, pixels), np.float64)[0]
    best = row["predictions"][0]["nearest_cosine"]
    above = int(np.sum(np.array(kept) @ x >= best))
    m, t = len(kept), len(own)
    p = 1 - math.comb(m, above + 1) / math.comb(m + t, above + 1)
    p_values[row["file"]] = (above, p)
  return len(kept), len(names) - len(kept), p_values


def test_unrelated_names_decide(run, images, tmp_path):
  document, out = run(reject="texts", false_answers=ERROR)
  unrelated, related, p_values = judge_by_loops(document, images)
  found = document["rejection"]
  assert (found["rule"], found["false_answers"]) == ("texts", ERROR)
  assert found["texts"] == 3
  assert abs(found["unrelated_names"] - unrelated) <= 1  # rounding
  assert abs(found["related_names"] - related) <= 1
  assert related >= 5  # "plane", "aeroplane", "parasol", ...
  answers = {row["file"]: row["answered"] for row in document["images"]}
  for row in document["images"]:
    above, p = p_values[row["file"]]
    assert abs(row["names_above"] - above) <= 1
    if abs(p - ERROR) > 0.01:
      assert row["answered"] == (p < ERROR)
  assert len(answers) == 90
  of_classes = {
    file for file in answers if file.endswith(("airplane.png", "umbrella.png"))
  }
  assert len(of_classes) == 2 and all(answers[file] for file in of_classes)
  # The bound, with three standard errors of 88 draws.
  answered = sum(answers.values())
  assert answered - 2 <= 88 * (ERROR + 3 * math.sqrt(ERROR * 0.95 / 88))
  assert found["answered"] == answered and found["none"] == 90 - answered
  assert found["coverage"] == pytest.approx(answered / 90)
  assert f"Answered: {answered} of 90 images (coverage " in out
  assert f"none of these: {90 - answered}." in out
  # Refused images keep their ranking, in all files.
  assert all(len(row["predictions"]) == 2 for row in document["images"])
  with open(tmp_path / "predictions.csv", encoding="utf-8", newline="") as file:
    rows = list(csv.DictReader(file))
  assert len(rows) == 2 * 90 + 1
  for row in rows:
    expected = {True: "yes", False: "no"}.get(answers.get(row["file"]), "")
    assert row["answered"] == expected
  page = (tmp_path / "contact_sheet.html").read_text("utf-8")
  assert page.count('<article class="refused">') == 90 - answered
  assert page.count(">none of these<") == 90 - answered


def test_a_share_of_the_images_is_refused(run):
  document, out = run(reject="0.5")  # as a command line gives it
  found = document["rejection"]
  assert (found["rule"], found["false_answers"]) == (0.5, None)
  assert (found["answered"], found["none"]) == (45, 45)
  above = {True: [], False: []}
  for row in document["images"]:
    above[row["answered"]].append(row["names_above"])
  assert max(above[True]) <= min(above[False])
  assert "Answered: 45 of 90 images (coverage 50.0 %)" in out


def test_without_it_files_are_as_before(run, tmp_path):
  document, out = run()
  assert "rejection" not in document and "none of these" not in out.lower()
  assert not {"answered", "names_above"} & set(document["images"][0])
  head = (tmp_path / "predictions.csv").read_text("utf-8").partition("\n")[0]
  assert head.endswith("nearest_cosine,problem")
  page = (tmp_path / "contact_sheet.html").read_text("utf-8")
  assert "none of these" not in page


@pytest.mark.parametrize(
  ("changes", "message"),
  [
    ({"reject": "text"}, 'must be "texts", a share of the images in'),
    ({"reject": 1}, "in \\(0, 1\\), or .* got 1.0"),
    ({"reject": True}, "`config.reject`"),
    ({"reject": "nan"}, "got 'nan'"),
    ({"reject": "texts", "false_answers": 0.0}, r"must be in \(0, 1\)"),
    (
      {"reject": "texts", "false_answers": 0.001},
      r"must be at least 0.006 with 3 texts of classes and 56\d unrelated",
    ),
    (
      {"reject": 0.1, "classes": "pictographs"},
      "there are none: pictographs is all that pictographs names",
    ),
  ],
)
def test_what_cannot_be_judged_is_refused(run, tmp_path, changes, message):
  with pytest.raises(ValueError, match=message) as error:
    run(**changes)
  assert "\n" not in str(error.value) and len(str(error.value)) <= 300
  assert not (tmp_path / "predictions.json").exists()
