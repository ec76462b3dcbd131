"""Image files: what is found where, in which order, and how it is loaded."""

import io
import os
import pathlib

import numpy as np
import pytest
from PIL import Image

from s3_jax.data import reading
from s3_jax.data.loading import LoadedImage, load_image
from s3_jax.experiment.image_files import batch_images, find_images


def encode(kind, size=(4, 3), mode="RGB"):
  data = io.BytesIO()
  Image.new(mode, size, 90).save(data, kind)
  return data.getvalue()


@pytest.fixture
def tree(tmp_path):
  """Writes files by their paths; content is a PNG unless given."""

  def make(*paths, **contents):
    for path in paths:
      file = tmp_path / path
      file.parent.mkdir(parents=True, exist_ok=True)
      file.write_bytes(encode("PNG"))
    for path, data in contents.items():
      (tmp_path / path).write_bytes(data)
    return tmp_path

  return make


def names(found, folder):
  return [os.path.relpath(path, folder) for path in found.files]


def test_a_folder_is_walked_in_the_order_of_its_paths(tree):
  folder = tree("b.png", "a/z.png", "a/b/c.png", "a.png", "B.PNG", "a-b/x.png")
  found = find_images(str(folder))
  expected = ["B.PNG", "a/b/c.png", "a/z.png", "a-b/x.png", "a.png", "b.png"]
  assert names(found, folder) == expected
  assert found[1:] == ((), (), (), ())


@pytest.mark.parametrize(
  "kind", ["JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", "JPEG2000", "AVIF"]
)
def test_images_are_known_by_their_first_bytes(tree, kind):
  folder = tree(plain=encode(kind))
  assert names(find_images(str(folder)), folder) == ["plain"]


def test_other_files_are_listed(tree):
  folder = tree(
    "a.png",
    notes=b"BMW and others",
    page=b"<html>",
    empty=b"",
    sound=b"RIFF0000WAVE",
  )
  (folder / "empty.jpg").write_bytes(b"")
  found = find_images(str(folder))
  assert names(found, folder) == ["a.png", "empty.jpg"]  # the latter is bad
  assert [os.path.basename(path) for path in found.other] == [
    "empty",
    "notes",
    "page",
    "sound",
  ]


def test_what_is_hidden_linked_or_closed_is_counted(tree, monkeypatch):
  folder = tree("a.png", ".b.png", ".git/c.png", "d/.e/f.png", "locked/g.png")
  (folder / "linked").symlink_to(folder / "d")
  (folder / "lost.png").symlink_to(folder / "nowhere")
  (folder / "alias").symlink_to(folder / "a.png")
  os.mkfifo(folder / "pipe.png")  # reading it would never end
  scandir = os.scandir

  def refuse(path):
    if os.path.basename(path) == "locked":
      raise PermissionError(13, "Permission denied", path)
    return scandir(path)

  monkeypatch.setattr(os, "scandir", refuse)
  found = find_images(str(folder))
  assert names(found, folder) == ["a.png", "alias", "lost.png"]
  hidden = [os.path.relpath(path, folder) for path in found.hidden]
  assert hidden == [".b.png", ".git", "d/.e"]
  assert found.links == (str(folder / "linked"),)
  assert found.other == (str(folder / "pipe.png"),)
  assert found.closed == ((str(folder / "locked"), "Permission denied"),)


def test_patterns_files_and_several_places(tree, monkeypatch):
  folder = tree(
    "a/1.png", "a/2.png", "a/b/3.png", "c.png", "a/x.txt", "d,e.png"
  )
  (folder / "a" / "x.txt").write_text("text")
  monkeypatch.chdir(folder)
  assert find_images("a/*.png").files == ("a/1.png", "a/2.png")
  assert find_images("a/?.*").other == ("a/x.txt",)
  assert find_images("a/*").files == ("a/1.png", "a/2.png", "a/b/3.png")
  assert find_images("**/*.png").files == (
    "a/1.png",
    "a/2.png",
    "a/b/3.png",
    "c.png",
    "d,e.png",
  )
  assert find_images("**").files == find_images("**/*.png").files
  assert find_images("c.png, a").files == (
    "c.png",
    "a/1.png",
    "a/2.png",
    "a/b/3.png",
  )
  assert find_images("c.png,").files == ("c.png",)
  assert find_images("d,e.png").files == ("d,e.png",)
  assert find_images(("a/2.png", "a/x.txt")).files == ("a/2.png", "a/x.txt")
  assert find_images(["a", "./a/1.png", "a"]).files == find_images("a").files
  (folder / "[1]").mkdir()
  (folder / "[1]" / "*.png").write_bytes(encode("PNG"))
  assert find_images("[1]").files == ("[1]/*.png",)
  assert find_images("[1]/*.png").files == ("[1]/*.png",)
  monkeypatch.setenv("HOME", str(folder))
  assert find_images("~/a/1.png").files == (str(folder / "a/1.png"),)


@pytest.mark.parametrize(
  ("index", "message"),
  [
    ("no.png", "'no.png', which does not exist"),
    ("a.png,no.png", "'no.png', which does not exist"),
    ("", "got ''"),
    ("a.png,,a.png", "got ''"),
    ("empty", r"'empty' with none \(nothing is there\)"),
    ("texts", r"'texts' with none \(other files: 1, hidden: 1\)"),
    ("*.jpg", r"'\*.jpg' with none \(nothing is there\)"),
    ("lost", "neither or leads nowhere"),
    ("pipe", "neither or leads nowhere"),
    ([], "at least one place, got none"),
    (["a.png", None], "got None"),
    ("a\0b", "got"),
  ],
)
def test_nothing_found_is_an_error(tree, monkeypatch, index, message):
  folder = tree("a.png")
  (folder / "empty").mkdir()
  (folder / "texts").mkdir()
  (folder / "texts" / "a.txt").write_text("text")
  (folder / "texts" / ".b").write_text("text")
  (folder / "lost").symlink_to("nowhere")
  os.mkfifo(folder / "pipe")
  monkeypatch.chdir(folder)
  with pytest.raises(ValueError, match=message) as error:
    find_images(index)
  assert str(error.value).startswith("`config.images` must ")


def load(path, **changes):
  options = {"max_pixels": 1000, "thumbnail": False, "exif_orientation": True}
  return load_image(
    str(path),
    lambda image: np.full((2, 2, 3), image.width, np.uint8),
    **{**options, **changes},
  )


def test_a_good_file_is_read_once(tree, monkeypatch):
  path = tree("a.png") / "a.png"
  image = load(path, thumbnail=True)
  assert image.problem == "" and image.pixels.tolist() == [[[4] * 3] * 2] * 2
  assert (image.width, image.height) == (4, 3)
  assert image.size == path.stat().st_size
  assert Image.open(io.BytesIO(image.thumbnail)).size == (4, 3)
  assert load(path).thumbnail == b""


def test_a_bad_file_gives_its_reason(tree, monkeypatch):
  folder = tree("a.png", empty=b"", text=b"text", big=encode("PNG", (40, 30)))

  def refuse(image):
    raise ValueError("no such mode")

  for name, reason, size in (
    ("none", "cannot be read: No such file or directory", -1),
    ("empty", "empty file", 0),
    ("text", "not an image of a known format", 4),
    ("big", "40 x 30 pixels, more than 1000 in all", None),
  ):
    image = load(folder / name)
    assert (image.pixels, image.problem) == (None, reason)
    if size is not None:
      assert image.size == size
  image = load_image(
    str(folder / "a.png"),
    refuse,
    max_pixels=1000,
    thumbnail=True,
    exif_orientation=True,
  )
  assert (image.pixels, image.problem) == (None, "no such mode")
  assert (image.width, image.height) == (4, 3)
  monkeypatch.setattr(reading, "MAX_BYTES", 3)
  assert load(folder / "text").problem == "file of 4 bytes, too large"


@pytest.mark.parametrize("count", [0, 1, 3, 4])
def test_batches_have_one_shape(count):
  images = [
    LoadedImage(np.full((2, 2, 3), number, np.uint8), "")
    if number != 1
    else LoadedImage(None, "bad")
    for number in range(count)
  ]
  batches = list(batch_images(images, batch_size=3, size=2))
  assert len(batches) == -(-count // 3)
  assert [image for _, row in batches for image in row] == images
  seen = 0
  for batch, _ in batches:
    assert batch["image"].shape == (3, 2, 2, 3)
    for position, index in enumerate(batch["index"].tolist()):
      expected = seen if seen < count else -1
      assert index == expected
      good = expected >= 0 and expected != 1
      assert batch["mask"][position] == good
      assert np.all(batch["image"][position] == (expected if good else 0))
      seen += index >= 0
  assert seen == count


def test_folders_of_systems_are_passed_over(tmp_path):
  for folder in ("", "@eaDir/a.jpg", "__MACOSX", "lost+found"):
    (tmp_path / folder).mkdir(parents=True, exist_ok=True)
    (tmp_path / folder / "b.jpg").write_bytes(b"\xff\xd8\xff")
  (tmp_path / "@me.jpg").write_bytes(b"\xff\xd8\xff")
  found = find_images(str(tmp_path))
  assert [pathlib.Path(file).name for file in found.files] == [
    *("@me.jpg", "b.jpg"),
  ]
  assert [pathlib.Path(file).name for file in found.hidden] == [
    *("@eaDir", "__MACOSX", "lost+found"),
  ]
