"""What is said of data sets that are whole, partial, broken or missing."""

import pytest

from s3_jax.data.datasets import DATASETS
from s3_jax.data.inventory import take_inventory
from s3_jax.data.segmentation_sets import SEGMENTATION_SETS
from tests.benchmark_replicas import BENCHMARKS, make_replica
from tests.segmentation_replicas import make_segmentation


def look(name, data_dir, **changes):
  (finding,) = take_inventory([DATASETS[name]._replace(**changes)], data_dir)
  return finding


def test_a_whole_data_set_is_complete(tmp_path):
  make_replica("eurosat", tmp_path)
  finding = look("eurosat", tmp_path, examples=10)
  assert finding.status == "complete" and finding.layout == "coop"
  assert (finding.images, finding.expected) == (10, 10)
  assert (finding.classes, finding.expected_classes) == (10, 10)
  assert "split_zhou_EuroSAT.json" in finding.found


def test_other_numbers_are_incomplete(tmp_path):
  make_replica("eurosat", tmp_path, classes=(0, 3), images_per_class=5)
  finding = look("eurosat", tmp_path)
  assert finding.status == "incomplete"
  assert (finding.images, finding.expected, finding.classes) == (10, 8100, 2)
  # As many images as there should be, and eight classes without one.
  assert look("eurosat", tmp_path, examples=10).status == "incomplete"


def test_absent_and_empty_files_do_not_count(tmp_path):
  replica = make_replica("eurosat", tmp_path)
  root = tmp_path / "eurosat" / "2750"
  (root / replica.files[0]).unlink()
  (root / replica.files[1]).write_bytes(b"")
  finding = look("eurosat", tmp_path, examples=10)
  assert finding.status == "incomplete" and finding.images == 8


def test_a_rule_that_is_broken_is_said(tmp_path):
  (tmp_path / "dtd").mkdir()
  (tmp_path / "dtd/split_zhou_DescribableTextures.json").write_text("{")
  finding = look("dtd", tmp_path)
  assert finding.status == "broken" and "must be JSON" in finding.found
  assert finding.images is None and finding.layout == ""


def test_an_archive_is_counted(tmp_path):
  make_replica("imagenet", tmp_path, layout="tar", classes=(0, 3))
  finding = look("imagenet", tmp_path)
  assert (finding.status, finding.layout) == ("incomplete", "tar")
  assert (finding.images, finding.classes) == (2, 2)


def test_all_are_missing_in_an_empty_folder(tmp_path):
  findings = take_inventory([DATASETS[name] for name in BENCHMARKS], tmp_path)
  assert [finding.name for finding in findings] == list(BENCHMARKS)
  for finding in findings:
    assert (finding.status, finding.found) == ("missing", "")
    assert finding.images is finding.classes is None
    assert finding.source and finding.licence and finding.split


def test_the_folder_must_exist(tmp_path):
  with pytest.raises(ValueError, match="`data_dir` must be the folder .*gone"):
    take_inventory([DATASETS["dtd"]], tmp_path / "gone")


def test_images_with_masks_are_counted(tmp_path):
  spec = SEGMENTATION_SETS["ade20k"]
  (finding,) = take_inventory([spec], tmp_path)
  assert finding.status == "missing" and finding.expected == 2000
  replica = make_segmentation("ade20k", tmp_path)
  (finding,) = take_inventory([spec._replace(examples=3)], tmp_path)
  assert finding.status == "complete" and finding.classes is None
  assert (finding.layout, finding.images) == ("mmseg", 3)
  (replica.root / replica.masks[0]).write_bytes(b"")
  (finding,) = take_inventory([spec._replace(examples=3)], tmp_path)
  assert finding.status == "incomplete" and finding.images == 2
  for mask in replica.masks:
    (replica.root / mask).unlink()
  (finding,) = take_inventory([spec], tmp_path)
  assert finding.status == "broken" and "must have masks" in finding.found
