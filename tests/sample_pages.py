"""Every page that a run can write, with names that try to burst it."""

import io
import pathlib

import numpy as np
from PIL import Image

from s3_jax.results import contact_sheet, lexicon_page, segments_page
from s3_jax.results.comparison import Run, compare_runs
from s3_jax.results.comparison_tables import comparison_page
from s3_jax.results.contact_sheet import Card, Sheet
from s3_jax.results.lexicon_page import ClassWords, NearerWord, TableWords
from s3_jax.results.page import Picture
from s3_jax.results.predictions import Candidate, ImageRow
from s3_jax.results.report import write_report
from s3_jax.results.segmentation_pictures import (
  Example,
  label_colours,
  plot_example,
)
from s3_jax.results.segments_page import SEGMENTS, Area, SegmentCard
from tests.results.sample_results import (
  HOSTILE_NAMES,
  make_classes,
  make_everything,
  make_results,
)

LONG_FILE = "IMG_20261130_" + "holiday" * 12 + ".jpeg"
LONG_CLASS = "Donaudampfschifffahrtskapitän " * 6
NAMES = (*HOSTILE_NAMES, LONG_CLASS, LONG_FILE)
METHODS = (
  *("class_name", "center", "templates"),
  *(f"synonyms_max_of_all_names_with_templates_{i}" for i in range(57)),
)


def make_pages(folder: pathlib.Path) -> dict[str, pathlib.Path]:
  """Writes the pages and returns where they are, by their kind."""
  return {
    "report": _report(folder / "report"),
    "contact sheet": _contact_sheet(folder),
    "lexicon": _lexicon(folder),
    "comparison": _comparison(folder),
    "segments": _segments(folder),
  }


def _photo(seed: int, rows: int = 120, cols: int = 200) -> np.ndarray:
  rng = np.random.default_rng(seed)
  small = rng.integers(60, 220, (4, 6, 3), np.uint8)
  image = Image.fromarray(small).resize((cols, rows), Image.Resampling.BICUBIC)
  return np.asarray(image)


def _jpeg(seed: int) -> bytes:
  buffer = io.BytesIO()
  Image.fromarray(_photo(seed)).save(buffer, "JPEG")
  return buffer.getvalue()


def _report(folder: pathlib.Path) -> pathlib.Path:
  sets = ("imagenet", "a_data_set_of_one's_own_with_a_long_name")
  results, confusions = make_everything(sets, METHODS, NAMES)
  results["config"] = {
    "data_dir": f"/home/somebody/{'a' * 40}/data",
    "methods": list(METHODS),
  }
  picture = folder / "figures" / "example.png"
  labels = np.arange(120 * 200).reshape(120, 200) * len(NAMES) // (120 * 200)
  plot_example(
    picture,
    Example(LONG_FILE, _photo(0), {"ground truth": labels, METHODS[9]: labels}),
    NAMES,
    colours=label_colours(len(NAMES), background=False),
  )
  write_report(
    results,
    folder,
    baseline="class_name",
    per_class=make_classes(results, NAMES),
    confusion=confusions[:1],
    pictures=[Picture("extra", f"worst: {LONG_FILE}", picture)],
  )
  return folder / "report.html"


def _contact_sheet(folder: pathlib.Path) -> pathlib.Path:
  cards = []
  files = ("IMG_0001.jpg", LONG_FILE, "cats/IMG_0002.jpg", *HOSTILE_NAMES)
  for index, file in enumerate(files):
    bad = index % 5 == 4
    candidates = tuple(
      Candidate(k, name, 0.31 - k / 50, share, name, 0.3)
      for k, (name, share) in enumerate(
        [("cat", 0.62), (NAMES[-2], 0.25), (NAMES[index % len(NAMES)], 0.13)]
      )
    )
    row = ImageRow(
      *(f"/home/somebody/photos/{file}", 9, 0 if bad else 200, 120),
      *(() if bad else candidates, "truncated after 12 bytes" * bad),
    )
    cards.append(Card(row, _jpeg(index)))
  sheet = Sheet(
    "openai/clip-vit-base-patch16 (sha256 0123456789ab…), 3 classes of the"
    " config, 9 texts in 'a photo of a {}.', metric local_center.",
    ("Texts longer than the model reads, which were cut: 1.",),
    2 * contact_sheet.CARDS,
  )
  path = folder / contact_sheet.page_name(1)
  page = contact_sheet.render_page(sheet, cards, page=1)
  path.write_text(page, "utf-8")
  return path


def _lexicon(folder: pathlib.Path) -> pathlib.Path:
  classes = tuple(
    ClassWords(
      label,
      name,
      (name, "couch", "crane", "a settee with rolled arms", NAMES[-1]),
      ("long legs", "slender body with a small head", "word " * 40),
      ("word " * 40,),
      ("crane",) if label % 2 else (),
      (NearerWord("couch", 0.5, 0.75, NAMES[-2]),) * (label % 3 == 0),
    )
    for label, name in enumerate(NAMES)
  )
  tables = [
    TableWords(
      dataset,
      "ab" * 32,
      '{"author": "a person", "date": "2026-11-30", "how": "by hand"}',
      classes,
      (("crane", NAMES),),
      2,
      5,
    )
    for dataset in ("furniture", NAMES[-1])
  ]
  path = folder / "lexicon.html"
  about = f"Similarities by tiny (sha256 {'cd' * 32}), texts in 'a {{}}.'."
  path.write_text(lexicon_page.render_page(tables, about), "utf-8")
  return path


def _comparison(folder: pathlib.Path) -> pathlib.Path:
  runs = []
  for label in ("benchmark-20261130-224210", "a run with a longer name"):
    results = make_results(("imagenet", "dtd", LONG_FILE), METHODS[:12])
    results["config"] = {"data_dir": f"/{label}/data", "methods": label * 9}
    runs.append(Run(label, results, {}))
  path = folder / "compare.html"
  page = comparison_page(compare_runs(runs, seed=0))
  path.write_text(page, "utf-8")
  return path


def _segments(folder: pathlib.Path) -> pathlib.Path:
  colours = ["#cc3322", "#2266cc", "#e0c040", "#333333"] * len(NAMES)
  cards = [
    SegmentCard(
      f"/home/somebody/photos/{name}",
      *(120, 200, (_jpeg(index), _jpeg(index + 50))),
      tuple(
        Area(each, colour, 1 / len(NAMES))
        for each, colour in zip(NAMES[index:], colours, strict=False)
      ),
      "",
    )
    for index, name in enumerate(NAMES)
  ]
  cards.append(
    SegmentCard(
      f"/home/somebody/photos/{LONG_FILE}", 0, 0, (), (), "empty file"
    )
  )
  path = folder / contact_sheet.page_name(1, SEGMENTS)
  sheet = Sheet("tiny, 17 classes of the config, method s3.", (), len(cards))
  path.write_text(segments_page.render_page(sheet, cards, page=1), "utf-8")
  return path
