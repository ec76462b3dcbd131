"""Labels of ImageNet: contradictions, lists that count otherwise, bad kits."""

import io
import pathlib
import stat
import tarfile

import pytest

from s3_jax.data.datasets import DATASETS, open_dataset
from s3_jax.data.readers import ground_truth
from s3_jax.data.readers.ground_truth import DEVKIT, OFFICIAL, find_truth
from tests.benchmark_replicas import encoded

IMAGE = "ILSVRC2012_val_{:08}.JPEG"
JPEG = encoded(0, 0, 8)


def truth_of(tmp_path, text, name="val.txt"):
  (tmp_path / name).write_bytes(text.encode())
  return find_truth([tmp_path])


def lines(labels):
  return "".join(
    f"{IMAGE.format(n)} {label}\n" for n, label in enumerate(labels, 1)
  )


def test_a_contradiction_names_both_lines(tmp_path):
  text = lines([65, 66]) + f"{IMAGE.format(1)} 999\n"
  with pytest.raises(ValueError, match="line 3 gives image 1 .* line 1 .* 65"):
    truth_of(tmp_path, text)


def test_a_line_that_repeats_another_is_counted(tmp_path):
  truth = truth_of(tmp_path, lines([65, 66]) + f"{IMAGE.format(1)} 65\n")
  assert truth.labels == {1: 65, 2: 66}
  assert "1 line listed again" in truth.source


def test_indices_count_from_zero(tmp_path):
  with pytest.raises(ValueError, match="got all of 1 to 999 and no 0"):
    truth_of(tmp_path, lines(range(1, 1000)))
  with pytest.raises(ValueError, match="a label from 0 to 999, got '1000'"):
    truth_of(tmp_path, lines(range(1, 1001)))
  assert "index 0" in truth_of(tmp_path, lines([5, 7])).source
  assert "index 0" not in truth_of(tmp_path, lines([0, 7])).source


def test_a_mark_of_byte_order_costs_no_image(tmp_path):
  text = f"\ufeff{IMAGE.format(1)},n01440764 1 2 3 4\r\n"
  assert truth_of(tmp_path, text, "LOC_val_solution.csv").labels == {1: 0}
  (tmp_path / "LOC_val_solution.csv").unlink()
  name = "validation_labels.txt"
  assert truth_of(tmp_path, "\ufeffn01443537\n", name).labels == {1: 1}


def test_lines_that_count_images_leave_none_out(tmp_path):
  with pytest.raises(ValueError, match="line 3 must not follow a blank line"):
    truth_of(tmp_path, "n01440764\n\nn01443537\n", "validation_labels.txt")
  mixed = f"n01440764\n{IMAGE.format(2)} n01443537\n"
  with pytest.raises(ValueError, match="line 2 must be .* as all lines are"):
    truth_of(tmp_path, mixed, "validation_labels.txt")


@pytest.mark.parametrize("index", ["", "val", "val_images", "data/val_images"])
def test_names_that_hold_the_class(tmp_path, index):
  folder = tmp_path / "imagenet" / index
  folder.mkdir(parents=True)
  for number, wnid in ((293, "n01440764"), (7, "n15075141")):
    name = f"ILSVRC2012_val_{number:08}_{wnid}.JPEG"
    (folder / name).write_bytes(JPEG)
  opened = open_dataset(DATASETS["imagenet"], tmp_path)
  assert [opened.records[n]["label"] for n in (0, 1)] == [999, 0]
  assert "labels from the files' names" in opened.found
  again = folder / "ILSVRC2012_val_00000293_n01443537.JPEG"
  again.write_bytes(JPEG)
  with pytest.raises(ValueError, match="image 00000293 the label 1, and"):
    open_dataset(DATASETS["imagenet"], tmp_path)
  again.rename(folder / "ILSVRC2012_val_00000001_n99999999.JPEG")
  with pytest.raises(ValueError, match="ImageNet's classes, got 'n99999999'"):
    open_dataset(DATASETS["imagenet"], tmp_path)


def kit(tmp_path, size, *, kind=tarfile.REGTYPE):
  """Writes a development kit whose meta.mat says that it has a size."""
  with tarfile.open(tmp_path / DEVKIT, "w:gz", compresslevel=1) as tar:
    member = tarfile.TarInfo("d/data/meta.mat")
    member.size, member.type = size, kind
    data = io.BytesIO(bytes(size)) if kind == tarfile.REGTYPE else None
    tar.addfile(member, data)
    member = tarfile.TarInfo(f"d/data/{OFFICIAL}")
    member.size = 2
    tar.addfile(member, io.BytesIO(b"1\n"))


def test_kits_are_read_under_a_bound(tmp_path, monkeypatch):
  kit(tmp_path, (8 << 20) + 1)
  with pytest.raises(ValueError, match="meta.mat as no plain file of its size"):
    find_truth([tmp_path])
  kit(tmp_path, 0, kind=tarfile.SYMTYPE)
  with pytest.raises(ValueError, match="meta.mat as no plain file"):
    find_truth([tmp_path])
  kit(tmp_path, 1 << 20)
  monkeypatch.setattr(ground_truth, "_UNPACKED", 1 << 19)
  with pytest.raises(ValueError, match="MiB unpacked"):
    find_truth([tmp_path])
  (tmp_path / DEVKIT).write_bytes(b"\x1f\x8b\x08" + bytes(50))
  with pytest.raises(ValueError, match="must be a whole tar"):
    find_truth([tmp_path])


@pytest.mark.parametrize(
  ("script", "words"),
  [
    ("kill -SEGV $$", "a file that ends its reader"),
    ("exec sleep 60", "takes more than"),
    ("echo '[[1, '", "must hold the synsets"),
    ("echo '{}'", "no list"),
    ("echo '[[1]]'", "must hold the synsets"),
    ("echo oh no >&2; exit 3", "got: oh no"),
  ],
)
def test_a_parser_that_dies_is_one_line(tmp_path, monkeypatch, script, words):
  program = tmp_path / "python"
  program.write_text(f"#!/bin/sh\ncat > /dev/null\n{script}\n")
  program.chmod(program.stat().st_mode | stat.S_IXUSR)
  monkeypatch.setattr(ground_truth.sys, "executable", str(program))
  monkeypatch.setattr(ground_truth, "_TIMEOUT", 1 if "sleep" in script else 60)
  (tmp_path / OFFICIAL).write_bytes(b"1\n")
  (tmp_path / "meta.mat").write_bytes(b"x")
  with pytest.raises(ValueError, match=words) as error:
    find_truth([tmp_path])
  assert "\n" not in str(error.value)


def test_large_files_are_not_read(tmp_path):
  (tmp_path / OFFICIAL).write_bytes(b"1\n")
  with open(tmp_path / "meta.mat", "wb") as file:
    file.truncate(1 << 40)  # takes no place on the disk
  with pytest.raises(ValueError, match="must be ILSVRC2012's, of at most 8"):
    find_truth([pathlib.Path(tmp_path)])
