"""Published figures: typed in rightly, named rightly, compared rightly."""

from pathlib import Path

import pytest

from s3_jax.clip import ZOO
from s3_jax.data.datasets import DATASETS
from s3_jax.fields import read, read_value
from s3_jax.results.published import (
  check_expectations,
  expected_row,
  published_rows,
)
from s3_jax.results.published_tables import (
  FINE_GRAINED,
  IMAGENET,
  PUBLISHED,
  SEGMENTATION,
  USES,
)
from s3_jax.results.records import Expectation, Figure, InResults
from s3_jax.results.renderers import to_markdown
from s3_jax.results.suite_table import suite_tables

# Test images of the splits that the figures are for.
IMAGES = {
  "imagenet": 50_000,
  "imagenet_a": 7_500,
  "imagenet_v2": 10_000,
  "imagenet_r": 30_000,
  "imagenet_sketch": 50_889,
  "fgvc_aircraft": 3_333,
  "caltech101": 2_465,
  "stanford_cars": 8_041,
  "dtd": 1_692,
  "eurosat": 8_100,
  "oxford_flowers102": 2_463,
  "food101": 30_300,
  "oxford_pets": 3_669,
  "sun397": 19_850,
  "ucf101": 3_783,
}

# (model, method, group) -> averages that the papers print beside the columns:
# all sets of the group, and the four shifts of ImageNet.
PRINTED = {
  ("OpenAI ViT-B/16", 'CLIP, "a photo of a {}."', "imagenet"): (59.11, 57.20),
  ("OpenAI ViT-B/16", "CLIP, 80 templates", "imagenet"): (61.20, 59.42),
  ("OpenAI ViT-B/16", "DCLIP", "imagenet"): (60.50, 58.49),
  ("OpenAI ViT-B/16", "WaffleCLIP", "imagenet"): (61.74, 59.98),
  ("OpenAI ViT-B/16", "CuPL", "imagenet"): (None, 60.02),
  ("OpenAI ViT-B/16", "TPT, test time", "imagenet"): (62.44, 60.81),
  ("OpenAI ViT-B/16", "DiffTPT, test time", "imagenet"): (62.58, 60.65),
  ("OpenAI ViT-B/16", "TDA, test time", "imagenet"): (65.01, 63.89),
  ("OpenAI ViT-B/16", "DMN-ZS, test time", "imagenet"): (65.49, 63.80),
  ("OpenAI ViT-B/16", "DPE, test time", "imagenet"): (None, 64.44),
  ("OpenAI ViT-B/16", "ZERO, test time", "imagenet"): (63.74, None),
  ("OpenAI ViT-B/16", "ZERO, test time", "fine"): (64.21, None),
  (
    "OpenAI ViT-B/16",
    "ZERO and an ensemble of templates, test time",
    "imagenet",
  ): (66.10, None),
  (
    "OpenAI ViT-B/16",
    "ZERO and an ensemble of templates, test time",
    "fine",
  ): (65.52, None),
  (
    "OpenAI ViT-B/16",
    "TPT, test time, in ZERO's table",
    "fine",
  ): (64.78, None),
  (
    "OpenAI ViT-B/16",
    "CLIP, ensemble of templates, in ZERO's table",
    "fine",
  ): (65.20, None),
  ("OpenAI ViT-B/16", "AWT, test time", "imagenet"): (65.81, 64.43),
  ("OpenAI ViT-B/16", "TPS, test time", "imagenet"): (65.61, 64.15),
  ("OpenAI ViT-B/16", 'CLIP, "a photo of a {}."', "fine"): (63.58, None),
  (
    "OpenAI ViT-B/16",
    "CLIP, ensemble or hand-crafted prompts",
    "fine",
  ): (64.59, None),
  (
    "OpenAI ViT-B/16",
    "CuPL and 7 templates, text only, as in DMN",
    "fine",
  ): (68.28, None),
  ("OpenAI ViT-B/16", "DCLIP", "fine"): (66.27, None),
  ("OpenAI ViT-B/16", "WaffleCLIP", "fine"): (66.67, None),
  ("OpenAI ViT-B/16", "CuPL", "fine"): (65.15, None),
  ("OpenAI ViT-B/16", "TPT, test time", "fine"): (65.10, None),
  ("OpenAI ViT-B/16", "TDA, test time", "fine"): (67.53, None),
  ("OpenAI ViT-B/16", "TPS, test time", "fine"): (66.95, None),
  ("OpenAI ViT-B/16", "DMN-ZS, test time", "fine"): (70.30, None),
  ("OpenAI ViT-B/16", "AWT, test time", "fine"): (70.51, None),
  ("OpenAI RN50", 'CLIP, "a photo of a {}."', "imagenet"): (44.18, 40.69),
  ("OpenAI RN50", "CLIP, 80 templates", "imagenet"): (46.43, 43.09),
  ("OpenAI RN50", "TPT, test time", "imagenet"): (47.26, 43.89),
  ("OpenAI RN50", "TDA, test time", "imagenet"): (49.58, 46.63),
  ("OpenAI RN50", "DMN-ZS, test time", "imagenet"): (49.97, 46.49),
  (
    "OpenAI RN50",
    "CLIP, ensemble or hand-crafted prompts",
    "fine",
  ): (56.63, None),
  ("OpenAI RN50", "TPT, test time", "fine"): (57.66, None),
  ("OpenAI RN50", "TDA, test time", "fine"): (61.03, None),
}


@pytest.mark.parametrize(("key", "printed"), PRINTED.items(), ids=str)
def test_columns_give_the_averages_that_papers_print(key, printed):
  model, method, group = key
  datasets = IMAGENET if group == "imagenet" else FINE_GRAINED
  (row,) = (
    row
    for row in PUBLISHED["top1"][model]
    if row.method == method and set(row.figures) <= set(datasets)
  )
  whole, shifts = printed
  for average, columns in ((whole, datasets), (shifts, IMAGENET[1:])):
    if average is not None:
      mean = sum(row.figures[name] for name in columns) / len(columns)
      # Papers average before they round.
      assert mean == pytest.approx(average, abs=0.0151)


# Method -> printed means of the sets with a background, those without, and all.
PRINTED_MIOU = {
  "NACLIP": (41.4, 38.2, 39.4),
  "NACLIP, its repository; masks refined by PAMR": (None, None, 42.46),
  "ResCLIP on SCLIP": (42.7, 39.3, None),
  "ResCLIP on ClearCLIP": (42.0, 40.0, None),
  "ResCLIP on NACLIP": (43.2, 40.3, None),
  "SC-CLIP": (None, None, 43.9),
  "ProxyCLIP, with DINO-B/8, as others print it": (None, None, 42.3),
  "Trident, with DINO and SAM: other weights, not comparable": (
    *(None, None),
    45.8,
  ),
}


@pytest.mark.parametrize(("method", "printed"), PRINTED_MIOU.items(), ids=str)
def test_mean_ious_give_the_means_that_papers_print(method, printed):
  rows = PUBLISHED["miou"]["OpenAI ViT-B/16"]
  (row,) = (row for row in rows if row.method == method)
  for average, columns in zip(
    printed, (SEGMENTATION[:3], SEGMENTATION[3:], SEGMENTATION), strict=True
  ):
    if average is not None:
      mean = sum(row.figures[name] for name in columns) / len(columns)
      # One decimal is rounded in the columns and again in their mean.
      assert mean == pytest.approx(average, abs=0.1)


@pytest.mark.parametrize(
  ("model", "imagenet", "printed", "mean"),
  [
    ("OpenAI ViT-B/16", 72.25, "70.72", "70.47"),
    ("OpenAI RN50", 63.87, "63.71", "63.37"),
  ],
)
def test_a_mean_that_its_columns_do_not_give_is_told(
  model, imagenet, printed, mean
):
  (row,) = (
    row
    for row in PUBLISHED["top1"][model]
    if row.method == "DMN-ZS, test time" and "dtd" in row.figures
  )
  got = (sum(row.figures.values()) + imagenet) / 11
  assert f"{got:.2f}" == mean
  assert printed in row.source and mean in row.source


def test_what_methods_use_at_test_time_is_told():
  rows = [row for rows in PUBLISHED["top1"].values() for row in rows]
  adapting = [row.method for row in rows if "test time" in row.method]
  assert {method.split(",")[0] for method in adapting} == set(USES)


def test_the_page_shows_every_row_and_its_source():
  page = Path("docs/PUBLISHED.md").read_text(encoding="utf-8")
  for title, measure, model, datasets in PAGE_TABLES:
    section = page.split(f"## {title}\n", 1)[1].split("\n## ", 1)[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    assert lines[2:] == page_rows(measure, model, datasets)


PAGE_TABLES = (
  ("ImageNet and its shifts, ViT-B/16", "top1", "OpenAI ViT-B/16", IMAGENET),
  ("Ten fine-grained sets, ViT-B/16", "top1", "OpenAI ViT-B/16", FINE_GRAINED),
  ("ImageNet and its shifts, RN50", "top1", "OpenAI RN50", IMAGENET),
  ("Ten fine-grained sets, RN50", "top1", "OpenAI RN50", FINE_GRAINED),
  ("Segmentation, ViT-B/16", "miou", "OpenAI ViT-B/16", SEGMENTATION),
)


def page_rows(measure, model, datasets):
  """Writes the rows of one table of the page."""
  lines = []
  for row in PUBLISHED[measure][model]:
    if set(row.figures) <= set(datasets):
      form = "{:.2f}" if measure == "top1" else "{}"
      values = [row.figures.get(name) for name in datasets]
      cells = ["" if v is None else form.format(v) for v in values]
      adapts = "test time" in row.method
      uses = USES[row.method.split(",")[0]] if adapts else ""
      shown = [row.method, *cells, *([uses] if measure == "top1" else [])]
      lines.append(f"| {' | '.join([*shown, row.source])} |".replace("  ", " "))
  return lines


def test_every_row_names_its_source():
  groups = {"top1": {*IMAGENET, *FINE_GRAINED}, "miou": set(SEGMENTATION)}
  for measure, datasets in groups.items():
    for row in (r for rows in PUBLISHED[measure].values() for r in rows):
      assert row.source and "S³" not in row.method
      assert row.figures and set(row.figures) <= datasets
      assert all(0 < value < 100 for value in row.figures.values())
      # Papers that report others' figures are called secondary sources.
      for paper in ("M2TPT", "D2TPT", "a note on"):
        if paper in row.source:
          assert "secondary source" in row.source


def test_data_sets_are_those_of_the_table():
  for family, names in (("imagenet", IMAGENET), ("fine_grained", FINE_GRAINED)):
    specs = {n: s for n, s in DATASETS.items() if s.family == family}
    assert set(specs) == set(names)
    assert all(spec.examples == IMAGES[name] for name, spec in specs.items())


def test_models_are_names_of_the_zoo():
  known = {
    name: rows[0]["model"]
    for name in ZOO
    if (rows := published_rows(name, IMAGENET))
  }
  assert known == {
    "openai/clip-vit-base-patch16": "OpenAI ViT-B/16",
    "openai/ViT-B/16": "OpenAI ViT-B/16",
    "openai/RN50": "OpenAI RN50",
  }
  assert set(PUBLISHED["top1"]) == set(known.values())
  for measure in PUBLISHED:
    sets = (*IMAGENET, *SEGMENTATION)
    assert published_rows("s3_jax/pictographs", sets, measure=measure) == []


def test_rows_of_the_results():
  rows = published_rows("openai/ViT-B/16", ("imagenet", "dtd"))
  assert {row["dataset"] for row in rows} == {"imagenet", "dtd"}
  assert rows[0] == {
    "dataset": "imagenet",
    "method": 'CLIP, "a photo of a {}."',
    "model": "OpenAI ViT-B/16",
    "top1": 0.6673,
    "source": "M2TPT, table 2 (secondary source), and D2TPT",
    "kind": "published",
  }
  every = published_rows("openai/RN50", (*IMAGENET, *FINE_GRAINED))
  rows = PUBLISHED["top1"]["OpenAI RN50"]
  assert len(every) == sum(len(row.figures) for row in rows)
  for row in every:
    read_value(Figure, row, InResults("published"))
  assert published_rows("somebody/else", IMAGENET) == []
  assert len({(r["dataset"], r["method"]) for r in every}) == len(every)


@pytest.mark.parametrize(
  ("model", "dataset", "method", "expected"),
  [
    ("openai/ViT-B/16", "imagenet", "class_name", 66.73),
    ("openai/clip-vit-base-patch16", "ucf101", "class_name", 65.13),
    ("openai/ViT-B/16", "imagenet_r", "templates_80", 77.65),
    ("openai/RN50", "imagenet", "templates_80", 59.81),
    ("openai/RN50", "imagenet_sketch", "class_name", 33.37),
    ("openai/RN50", "dtd", "class_name", None),
    ("openai/ViT-B/16", "dtd", "templates_80", None),
    ("openai/ViT-B/16", "imagenet", "s3", None),
    ("openai/ViT-B/16", "imagenet", "", None),
    ("openai/ViT-B/16", "plain", "class_name", None),
    ("openai/ViT-L/14", "imagenet", "class_name", None),
  ],
)
def test_what_a_run_should_meet(model, dataset, method, expected):
  got = expected_row(model, dataset, method)
  assert (got.figures[dataset] if got else None) == expected


def make_run(top1, *, n=1_692, bad=0, method="class_name", dataset="dtd"):
  return {
    "model": {"name": "openai/ViT-B/16"},
    "datasets": [
      {
        "name": dataset,
        "examples": n + bad,
        "published_examples": IMAGES[dataset],
        "bad_examples": [{"file": "x", "reason": "y"}] * bad,
      }
    ],
    "methods": [{"dataset": dataset, "name": method, "top1": top1, "n": n}],
  }


@pytest.mark.parametrize(
  ("top1", "met"),
  [
    (0.4427, True),
    (0.4457, True),
    (0.4397, True),
    (0.4458, False),
    (0.4396, False),
    (0.0, False),
    (1.0, False),
  ],
)
def test_met_within_three_tenths_of_a_point(top1, met):
  results = make_run(top1)
  (row,) = check_expectations(results)
  assert row["met"] is met
  assert (row["published"], row["tolerance"]) == (0.4427, 0.003)
  assert (row["measured"], row["note"]) == (top1, "")
  read(Expectation, row, InResults("expectation"))


@pytest.mark.parametrize(
  ("results", "note"),
  [
    (make_run(0.44, n=1_880), "1,880 images here, 1,692 as published"),
    (make_run(0.44, n=1_690, bad=1), "1,691 images here"),
    (make_run(0.44, n=1_672, bad=20), "20 of 1,692 images could not"),
  ],
)
def test_what_cannot_be_compared_is_told(results, note):
  (row,) = check_expectations(results)
  assert row["met"] is None
  assert row["note"].startswith(note)


def test_few_bad_images_leave_the_figure_comparable():
  (row,) = check_expectations(make_run(0.4427, n=1_687, bad=5))
  assert row["met"] is True


def test_methods_that_nobody_published_are_not_checked():
  results = make_run(
    0.6834, n=50_000, method="templates_80", dataset="imagenet"
  )
  (row,) = check_expectations(results)
  assert row["met"] is True
  assert check_expectations(make_run(0.5, method="s3")) == []


def make_pixels(*entries):
  name = "openai/clip-vit-base-patch16"
  return {
    "model": {"name": name},
    "datasets": [{"name": dataset} for dataset, _, _ in entries],
    "methods": [
      {"dataset": dataset, "name": method, "miou": miou}
      for dataset, method, miou in entries
    ],
    "published": published_rows(name, SEGMENTATION, measure="miou"),
  }


def test_rows_of_mean_ious():
  (row,) = [
    row
    for row in make_pixels()["published"]
    if (row["method"], row["dataset"]) == ("SCLIP, its repository", "voc21")
  ]
  assert row["miou"] == 0.5963 and row["kind"] == "published"


def test_the_protocol_s_baseline_is_compared():
  run = make_pixels(
    ("voc21", "names_max", 0.6),
    ("voc20", "names_max", 0.7),
    ("ade20k", "names_max", 0.1645),
    ("voc21", "s3", 0.6),
  )
  rows = check_expectations(
    run, measure="miou", protocol="sclip", notes={"ade20k": "half of it"}
  )
  met = {row["dataset"]: row["met"] for row in rows}
  assert met == {"voc21": True, "voc20": False, "ade20k": None}
  assert rows[2]["note"] == "half of it"
  assert (
    check_expectations(run, measure="miou", protocol="clearclip", notes={})
    == []
  )
  assert check_expectations(run, measure="miou", protocol="", notes={}) == []
  run["model"]["name"] = "tiny"
  assert (
    check_expectations(run, measure="miou", protocol="sclip", notes={}) == []
  )


def test_the_table_of_papers_averages_whole_rows_alone():
  run = make_pixels(*((name, "s3", 0.25) for name in SEGMENTATION))
  (table,) = suite_tables(run)
  assert [column.title for column in table.columns] == [
    *("method", "VOC21", "Context60", "Object", "VOC20", "Context59"),
    *("Stuff", "City", "ADE", "Average"),
  ]
  assert str(table.rows[0][-1]) == "25.00"
  rows = {
    row[0]: [cell.text for cell in table.shown(row)[1:]] for row in table.apart
  }
  sclip = rows["SCLIP, its repository"]
  assert sclip[0] == "59.63"
  assert float(sclip[-1]) == pytest.approx(39.06, abs=0.01)
  masked = rows["MaskCLIP, its own protocol"]
  assert masked[-1] == "–" and masked[0] == "–"
  (table,) = suite_tables(make_pixels(("voc21", "s3", 0.5)))
  text = to_markdown(table)
  assert "Published elsewhere, not measured here:" in text
  assert "README of SCLIP's repository" in text
