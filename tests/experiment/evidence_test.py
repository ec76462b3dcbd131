"""The evidence on a small made-up folder, and on the real one where it is."""

import json

import numpy as np
import pytest

from configs import evidence as config_file
from s3_jax import experiment
from s3_jax.experiment.tasks.evidence.sets import (
  KINDS,
  name_key,
  read_pool,
  read_set,
  with_forms,
  with_wrong,
)
from s3_jax.experiment.tasks.evidence.studies import _mixed, other_geometry


def unit(rows):
  return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
  """Two sets of twelve classes in the form of the real folder."""
  folder = tmp_path_factory.mktemp("evidence")
  rng = np.random.default_rng(0)
  (folder / "sets").mkdir()
  (folder / "images").mkdir()
  for name, images, texts in (
    ("imagenet84", "imagenet_train4", 2),
    ("lvis1203", "lvis_exemplar_mean5", 4),
  ):
    centers = unit(rng.normal(size=(12, 24))) + 0.5 * unit(np.ones(24))
    points = centers[:, None] + 0.12 * rng.normal(size=(12, texts, 24))
    pictures = centers[:, None] + 0.3 * rng.normal(size=(12, 3, 24))
    np.savez(
      folder / "sets" / f"{name}.npz",
      v=unit(points).reshape(-1, 24).astype(np.float16),
      class_index=np.repeat(np.arange(12), texts).astype(np.int16),
      form=np.tile(np.arange(texts), 12).astype(np.int8),
      image_rows=np.arange(36),
      y=np.repeat(np.arange(12), 3),
    )
    strings = [[f"{name} {c} {i}" for i in range(texts)] for c in range(12)]
    (folder / "sets" / f"{name}.json").write_text(
      json.dumps({"texts": strings, "classes": list(range(12))})
    )
    np.savez(
      folder / "images" / f"{images}.npz",
      x=unit(pictures).reshape(-1, 24).astype(np.float16),
      y=np.repeat(np.arange(12), 3),
    )
  free = [f"name {i}" for i in range(40)]
  np.savez(
    folder / "sets" / "names_a.npz",
    v=unit(rng.normal(size=(41, 24))).astype(np.float16),
  )
  (folder / "sets" / "names_a.json").write_text(
    json.dumps([*free, "LVIS1203 (a set), 3_0"])
  )
  return folder


def small(folder):
  config = config_file.get_config().copy_and_resolve_references()
  with config.unlocked():
    config.data_dir = str(folder)
    config.sets = ("imagenet84", "lvis1203")
    config.metrics = ("center", "local_center(4)", "soft_local_center")
    config.seeds = 2
    config.studies = False
  return config


def test_a_run_writes_every_table(made, tmp_path):
  findings = experiment.run(small(made), str(tmp_path))
  document = json.loads((tmp_path / "evidence.json").read_text())
  page = (tmp_path / "evidence.md").read_text()
  titles = [table["title"] for table in document["tables"]]
  assert len(titles) == len(set(titles)) == 8
  for title in titles:
    assert f"### {title}\n" in page
  assert "\n| imagenet84 | no class | 5 |" in page
  for table in document["tables"]:
    assert all(len(row) == len(table["header"]) for row in table["rows"])
  # Clean, and four kinds with 1, 2 and 5 wrong texts; with 5 where two are
  # right.
  conditions = {(c.dataset, c.kind, c.wrong) for c, _ in findings.removed}
  assert len(conditions) == 2 * 13 + 5
  wrong = [
    row
    for row in document["removed"]
    if (row["kind"], row["wrong"]) == ("no class", 2)
    and row["rule"] == "two_witnesses"
  ]
  assert [row["dataset"] for row in wrong] == ["imagenet84", "lvis1203"]
  # Two seeds of twelve classes, two texts each.
  assert [row["wrong_texts"] for row in wrong] == [48, 48]
  for row in document["removed"]:
    assert row["right_kept"] <= row["right"]
    assert row["wrong_removed"] <= row["wrong_texts"]
  clean = next(
    row
    for row in document["removed"]
    if row["dataset"] == "lvis1203"
    and not row["kind"]
    and row["rule"] == "two_witnesses"
  )
  assert clean["right_kept"] >= 0.95 * clean["right"] > 0


def test_accuracies_are_those_of_the_spaces(made, tmp_path):
  findings = experiment.run(small(made), str(tmp_path))
  given = read_set(made, "lvis1203")
  center = unit(given.table.embeddings.mean(axis=1))
  expected = np.argmax(given.images @ center.T, axis=1) == given.labels
  key = next(
    key
    for key in findings.correct
    if key[0] == ("lvis1203", "", 0) and key[1:] == ("all", "center")
  )
  np.testing.assert_array_equal(findings.correct[key], expected)
  official = np.argmax(given.images @ given.table.embeddings[:, 0].T, axis=1)
  np.testing.assert_array_equal(
    findings.named["lvis1203"], official == given.labels
  )


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("count", [1, 3])
def test_wrong_texts_are_what_they_are_called(made, kind, count):
  given, pool = read_set(made, "lvis1203"), read_pool(made)
  before = given.table.embeddings.copy()
  dirty = with_wrong(given, pool, kind, count, seed=4)
  np.testing.assert_array_equal(given.table.embeddings, before)
  wrong = dirty.table.mask & ~dirty.right
  assert (wrong.sum(axis=1) == count).all()
  assert (dirty.right.sum(axis=1) == 4).all()
  names = before[:, 0]
  for label in range(12):
    rows = dirty.table.embeddings[label][wrong[label]]
    assert len(np.unique(rows.round(4), axis=0)) == count
    others = np.delete(np.arange(12), label)
    sources = {
      "name": names[others],
      "sibling": names[others],
      "synonym": before[others][:, 1:].reshape(-1, 24),
      "no class": pool.embeddings[:-1],  # the last one is a class's name
    }[kind]
    nearest = np.max(rows @ sources.T, axis=1)
    np.testing.assert_allclose(nearest, 1, atol=1e-5)
  if kind == "sibling":
    similar = names @ names.T
    np.fill_diagonal(similar, -2)
    best = names[similar.argmax(axis=1)]
    first = dirty.table.embeddings[wrong].reshape(12, count, 24)[:, 0]
    np.testing.assert_allclose(first, best, atol=1e-6)


def test_names_are_compared_by_their_letters():
  assert name_key("Aerosol_can (spray)") == name_key("aerosol-can")
  assert name_key("can, aerosol") != name_key("aerosol can")


def test_forms_can_be_taken_apart(made):
  given = with_forms(read_set(made, "lvis1203"), (0, 3))
  assert given.table.mask.shape == (12, 2)
  assert given.table.texts[5] == ("lvis1203 5 0", "lvis1203 5 3")


def test_mixtures_begin_with_the_texts_themselves(made):
  given = read_set(made, "imagenet84")
  mixed = _mixed(given, 6, seed=1)
  assert mixed.table.mask.all() and mixed.table.mask.shape == (12, 6)
  np.testing.assert_allclose(
    mixed.table.embeddings[:, :2], given.table.embeddings, atol=1e-6
  )
  norms = np.linalg.norm(mixed.table.embeddings, axis=2)
  np.testing.assert_allclose(norms, 1, atol=1e-5)


def test_a_turn_changes_no_count(made):
  table = other_geometry(
    [read_set(made, "imagenet84")],
    read_pool(made),
    metric="soft_local_center",
    seed=0,
  )
  rows = {(row[1], row[2]): row[3:] for row in table.rows}
  for count in "015":
    assert rows[count, "as they are"] == rows[count, "turned"]
    right, wrong = rows[count, "as they are"][:2]
    assert right.endswith(" of 24") and wrong.endswith(f" of {12 * int(count)}")


@pytest.mark.parametrize(
  ("change", "rule"),
  [
    ({"data_dir": "nowhere"}, "must be a folder with `sets`"),
    ({"metrics": ("center", "soft_local_center")}, "'local_center\\(4\\)'"),
    ({"sets": ("imagenet189",)}, "must hold sets/imagenet189.npz"),
  ],
)
def test_what_is_refused(made, tmp_path, change, rule):
  config = small(made)
  with config.unlocked():
    config.update(change)
  with pytest.raises(ValueError, match=rule) as error:
    experiment.run(config, str(tmp_path))
  assert len(str(error.value)) <= 300


def test_the_real_sets_are_read(reference):
  folder = reference / "real_vitb32"
  if not folder.is_dir():
    pytest.skip("reference files absent")
  expected = {"imagenet84": 0.7530, "imagenet189": 0.7249, "lvis1203": 0.6284}
  for name, accuracy in expected.items():
    given = read_set(folder, name)
    scores = given.images @ given.table.embeddings[:, 0].T
    right = np.argmax(scores, axis=1) == given.labels
    assert right.mean() == pytest.approx(accuracy, abs=6e-5)


def test_the_rule_holds_on_real_names(reference):
  folder = reference / "real_vitb32"
  if not folder.is_dir():
    pytest.skip("reference files absent")
  from s3_jax.space import two_witnesses

  pool = read_pool(folder)
  for name in ("imagenet84", "imagenet189", "lvis1203"):
    given = read_set(folder, name)
    table = given.table
    kept = np.asarray(
      two_witnesses(table.embeddings, table.mask, forms=table.forms)
    )
    assert kept[table.mask].mean() >= 0.99
    for kind in KINDS[:3]:
      dirty = with_wrong(given, pool, kind, 1, seed=0)
      table = dirty.table
      kept = np.asarray(
        two_witnesses(table.embeddings, table.mask, forms=table.forms)
      )
      wrong = table.mask & ~dirty.right
      assert kept[dirty.right].mean() >= 0.98
      assert (wrong & ~kept).sum() >= 0.6 * wrong.sum()
