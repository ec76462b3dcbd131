"""What a run says of the texts that the core leaves out."""

import numpy as np
import pytest

from s3_jax import experiment
from s3_jax.point_to_space import POINT_TO_SPACE
from s3_jax.space import build_space, two_witnesses, weigh_texts


def unit(rows):
  return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


@pytest.fixture
def run(read_config, tmp_path):
  """Runs on 12 classes of texts; returns results, log, points and mask."""

  def run(texts, *, wrong=0, classes=12, single=0, **changes):
    rng = np.random.default_rng(7)
    centers = unit(rng.normal(size=(classes, 16)))
    points = centers[:, None] + 0.08 * rng.normal(size=(classes, texts, 16))
    for position in range(texts - wrong, texts):
      other = (np.arange(classes) + 1 + position) % classes
      points[:, position] = centers[other] + 0.08 * rng.normal(
        size=(classes, 16)
      )
    points = unit(points).astype(np.float32)
    mask = np.ones((classes, texts), bool)
    mask[:single, 1:] = False
    labels = rng.integers(0, classes, 60)
    images = unit(centers[labels] + 0.4 * rng.normal(size=(60, 16)))
    index, position = np.nonzero(mask)
    np.savez(
      tmp_path / "texts.npz",
      v=points[index, position],
      class_index=index,
      names=np.array(
        [f"text {c}-{i}" for c, i in zip(index, position, strict=True)]
      ),
    )
    np.savez(tmp_path / "images.npz", x=images.astype("f4"), y=labels)
    config = read_config(
      "embeddings",
      images=str(tmp_path / "images.npz"),
      texts=str(tmp_path / "texts.npz"),
      mesh=1,
      **changes,
    )
    results = experiment.run(config, str(tmp_path / "out"))
    log = (tmp_path / "out" / "log.txt").read_text()
    (facts,) = results["texts"]["datasets"].values()
    top1 = {row["name"]: row["top1"] for row in results["methods"]}
    return facts, log, top1, (points, mask, images.astype("f4"), labels)

  return run


def test_what_is_left_out_is_listed_with_its_reasons(run):
  facts, log, top1, (points, mask, images, labels) = run(5, wrong=1)
  evidence = weigh_texts(points, mask, min_gap=0.05)
  gone = np.argwhere(~np.asarray(evidence.kept)).tolist()
  assert len(gone) >= 8
  assert [(row["label"], row["text"]) for row in facts["removed"]] == [
    (label, f"text {label}-{index}") for label, index in gone
  ]
  for row, (label, index) in zip(facts["removed"], gone, strict=True):
    assert row["own"] == pytest.approx(
      float(evidence.own[label, index]), abs=1e-4
    )
    assert row["other"] > row["own"]
  assert f"the core left out {len(gone)} of 60 texts" in log
  assert facts["witnesses"]["on"] is True
  assert facts["witnesses"]["common_scale_for_all"] is False
  assert sum(facts["core_per_class"]) == 60 - len(gone)
  space = build_space(points, evidence.kept)
  scores = POINT_TO_SPACE["soft_local_center"](images, space)
  assert top1["s3"] == pytest.approx(
    np.mean(np.argmax(scores, axis=1) == labels)
  )


def test_a_run_says_when_most_texts_are_wrong(run):
  facts, log, _, (points, mask, _, _) = run(2, wrong=1)
  assert facts["witnesses"]["common_scale_for_all"] is True
  assert "Check the texts" in log
  kept = np.asarray(two_witnesses(points, mask))
  assert facts["core_per_class"] == kept.sum(axis=1).tolist()


def test_a_run_says_when_there_are_too_few_classes(run):
  facts, log, _, _ = run(4, wrong=1, classes=5)
  assert "fewer than 8 classes" in log
  assert facts["witnesses"]["on"] is False and facts["removed"] == []


def test_a_run_says_when_sizes_differ(run):
  _, log, _, _ = run(4, single=6)
  assert "the numbers of texts differ, 1 to 4 a class" in log
  _, log, _, _ = run(4)
  assert "the numbers of texts differ" not in log


def test_the_old_rule_lists_what_it_left_out_too(run):
  facts, _, _, (points, mask, _, _) = run(5, wrong=1, scale="gap")
  space = build_space(points, mask, scale="gap", min_gap=0.05)
  assert len(facts["removed"]) == (~np.asarray(space.mask)).sum() > 0
  assert "witnesses" not in facts and set(facts["removed"][0]) == {
    "label",
    "text",
  }
