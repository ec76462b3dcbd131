"""Images are what their bytes are: nothing stale, nothing read for nothing."""

import errno
import io
import os
import tarfile
import time
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from s3_jax import resampling
from s3_jax.clip import load_clip
from s3_jax.clip.preprocess import preprocess_image
from s3_jax.data import reading
from s3_jax.data.datasets import DATASETS, open_own
from s3_jax.data.readers import imagenet, listing, tar_members
from s3_jax.data.records import is_racy
from s3_jax.experiment import contents
from s3_jax.experiment.contents import (
  Known,
  Verified,
  join_known,
  know_images,
)
from s3_jax.experiment.embedder import Embedder
from s3_jax.storage.known_images import known_images

SPEC = DATASETS["plain"]._replace(name="own", title="own", family="own")


@pytest.fixture(scope="module")
def clip(checkpoint):
  return load_clip(checkpoint)


@pytest.fixture
def embedder(clip, tmp_path):
  return Embedder(clip, "float32", 8, 1, tmp_path / "cache")


@pytest.fixture
def folder(tmp_path):
  """Two classes of four pictures, all different, in files of one size."""
  for label, name in enumerate(("ant", "bee")):
    (tmp_path / "data" / name).mkdir(parents=True)
    for number in range(4):
      write(tmp_path / "data" / name / f"{number}.bmp", 40 * label + number)
  settle()
  return tmp_path / "data"


def write(path, number):
  pixels = np.random.default_rng(number).integers(0, 256, (17, 20, 3))
  Image.fromarray(pixels.astype(np.uint8)).save(path, "BMP")
  os.utime(path, (1, 1))


def settle():
  """Waits until the files are older than the moment, as nearly all are."""
  time.sleep(0.05)


@pytest.fixture
def reads(monkeypatch):
  """Counts the files whose bytes are read."""
  seen = []

  def read(path):
    seen.append(os.path.basename(path))
    return reading.read_file(path)

  monkeypatch.setattr(listing, "read_file", read)
  return seen


def embed(embedder, folder):
  opened, _ = open_own(folder)
  return embedder.images(SPEC, opened)


def test_a_second_start_reads_no_byte(embedder, folder, reads):
  first = embed(embedder, folder)
  assert len(reads) > 8 and first.images_decoded == 8
  reads.clear()
  again = embed(embedder, folder)
  assert reads == [] and again.images_decoded == 0
  np.testing.assert_array_equal(first.embeddings, again.embeddings)
  assert first.labels.tolist() == again.labels.tolist() == [0] * 4 + [1] * 4


def test_swapped_folders_are_seen(embedder, folder):
  """Names, sizes and times of change are equal; only the pictures are not."""
  first = embed(embedder, folder)
  (folder / "ant").rename(folder / "x")
  (folder / "bee").rename(folder / "ant")
  (folder / "x").rename(folder / "bee")
  again = embed(embedder, folder)
  assert again.images_decoded == 0, "known, only elsewhere"
  np.testing.assert_array_equal(again.embeddings[:4], first.embeddings[4:])
  np.testing.assert_array_equal(again.embeddings[4:], first.embeddings[:4])
  assert again.labels.tolist() == first.labels.tolist()


@pytest.mark.parametrize("way", ["in place", "another file"])
def test_another_picture_under_the_same_facts_is_seen(embedder, folder, way):
  first = embed(embedder, folder)
  path = folder / "ant" / "1.bmp"
  status = path.stat()
  if way == "another file":
    path.unlink()
  write(path, 1000)
  assert (path.stat().st_size, path.stat().st_mtime) == (
    status.st_size,
    status.st_mtime,
  )
  again = embed(embedder, folder)
  same = np.all(again.embeddings == first.embeddings, axis=1)
  assert same.tolist() == [index != 1 for index in range(8)]


def test_doubt_reads_again_and_embeds_nothing(embedder, folder, reads):
  embed(embedder, folder)
  for path in folder.rglob("*.bmp"):
    path.touch()
  settle()
  reads.clear()
  assert embed(embedder, folder).images_decoded == 0
  assert sorted(set(reads)) == ["0.bmp", "1.bmp", "2.bmp", "3.bmp"]
  reads.clear()
  assert embed(embedder, folder).images_decoded == 0
  assert reads == []


def test_an_index_that_is_lost_or_damaged_costs_reading_only(
  embedder, folder, reads
):
  embed(embedder, folder)
  (index,) = (embedder.cache_dir / "contents").iterdir()
  data = bytearray(index.read_bytes())
  data[data.index(b"contents.npy") + 150] ^= 1
  index.write_bytes(data)
  reads.clear()
  with pytest.warns(UserWarning, match="is not used"):
    assert embed(embedder, folder).images_decoded == 0
  assert len(reads) >= 8
  index.unlink()
  assert embed(embedder, folder).images_decoded == 0


def test_copies_elsewhere_are_known(embedder, folder, tmp_path):
  first = embed(embedder, folder)
  other = tmp_path / "elsewhere"
  for name, number in (("cow", 3), ("dog", 0)):
    (other / name).mkdir(parents=True)
    data = (folder / "bee" / f"{number}.bmp").read_bytes()
    (other / name / "picture.bmp").write_bytes(data)
  found = embed(embedder, other)
  assert found.images_decoded == 0
  np.testing.assert_array_equal(found.embeddings, first.embeddings[[7, 4]])
  assert found.labels.tolist() == [0, 1]


def test_files_that_are_no_older_than_the_reading_are_in_doubt():
  second = 1_000_000_000
  read = 1700 * second + 500_000_000
  assert not is_racy(-1, read), "no file, no time"
  assert not is_racy(read - 100_000_000, read)
  for newest in (read - 1_000_000, read, read + 5 * second):
    assert is_racy(newest, read)
  # Whole seconds: a file system that counts by them, or by two.
  assert is_racy(1699 * second, read) and not is_racy(1697 * second, read)


def test_a_file_that_is_as_young_as_its_reading_is_read_again(
  embedder, folder, reads
):
  future = time.time() + 1000
  os.utime(folder / "ant" / "2.bmp", (future, future))
  embed(embedder, folder)
  reads.clear()
  assert embed(embedder, folder).images_decoded == 0
  assert set(reads) == {"2.bmp"}


PASSING = {
  "EACCES": OSError(errno.EACCES, os.strerror(errno.EACCES)),
  "EIO": OSError(errno.EIO, os.strerror(errno.EIO)),
  "ESTALE": OSError(errno.ESTALE, os.strerror(errno.ESTALE)),
  "EMFILE": OSError(errno.EMFILE, os.strerror(errno.EMFILE)),
  "memory": MemoryError(),
}


@pytest.mark.parametrize("kind", PASSING)
@pytest.mark.parametrize("after", [0, 1, 2], ids=["at once", "then", "later"])
def test_what_cannot_be_read_now_is_read_next_time(
  embedder, folder, monkeypatch, kind, after
):
  """It fails when it is hashed, or only when it is decoded."""
  victim, turns = folder / "bee" / "2.bmp", []

  def read(path):
    if str(path) == str(victim):
      turns.append(path)
      if len(turns) > after:
        raise PASSING[kind]
    return reading.read_file(path)

  with monkeypatch.context() as patch:
    patch.setattr(listing, "read_file", read)
    first = embed(embedder, folder)
  assert [name for name, _ in first.bad] == (
    ["bee/2.bmp"] if len(turns) > after else []
  )
  if after < 2:
    words = first.bad[0][1]
    expected = "needs more memory" if kind == "memory" else "cannot be read: "
    assert words.startswith(expected), words
  again = embed(embedder, folder)
  assert not again.bad and len(again.embeddings) == 8
  if first.bad:
    assert again.images_decoded == 8, "its batch"
  expected = embed(
    replace(embedder, cache_dir=embedder.cache_dir / "new"), folder
  )
  np.testing.assert_array_equal(again.embeddings, expected.embeddings)
  assert embed(embedder, folder).images_decoded == 0


def test_what_is_wrong_with_the_bytes_is_remembered(embedder, folder, reads):
  (folder / "ant" / "0.bmp").write_bytes(b"no picture")
  (folder / "ant" / "1.bmp").write_bytes(b"")
  settle()
  first = embed(embedder, folder)
  assert [name for name, _ in first.bad] == ["ant/0.bmp", "ant/1.bmp"]
  reads.clear()
  again = embed(embedder, folder)
  assert again.bad == first.bad and again.images_decoded == 0
  assert reads == []


def test_too_little_memory_for_decoding_passes(embedder, folder, monkeypatch):
  from PIL import BmpImagePlugin

  load, failed = BmpImagePlugin.BmpImageFile.load, []

  def fail(self):
    if not failed:
      failed.append(self)
      raise MemoryError
    return load(self)

  with monkeypatch.context() as patch:
    patch.setattr(BmpImagePlugin.BmpImageFile, "load", fail)
    embedder.layout(SPEC, open_own(folder)[0])  # the canary's is no BMP
    assert [why for _, why in embed(embedder, folder).bad] == [
      "needs more memory than there is"
    ]
  assert not embed(embedder, folder).bad


def test_bytes_that_change_during_the_run_are_not_believed(embedder, folder):
  opened = know_images(
    embedder.cache_dir, open_own(folder)[0], name=SPEC.title, labelled=True
  )
  records = Verified(opened.records, opened.contents)
  assert records[5]["label"] == 1
  write(folder / "bee" / "1.bmp", 77)
  found = embedder.images(SPEC, opened)
  assert found.bad == (
    ("bee/1.bmp", "its bytes changed while the run was going on"),
  )
  again = embed(embedder, folder)
  assert not again.bad and len(again.embeddings) == 8
  np.testing.assert_array_equal(again.embeddings[:5], found.embeddings[:5])


def test_absent_and_strange_files_are_no_images(embedder, folder, tmp_path):
  os.mkfifo(folder / "ant" / "pipe.png")
  (folder / "ant" / "zero.png").symlink_to("/dev/zero")
  (folder / "bee" / "gone.png").symlink_to(tmp_path / "nowhere")
  with open(folder / "bee" / "huge.png", "wb") as file:
    file.truncate(1 << 41)
  with open(folder / "bee" / "large.png", "wb") as file:
    file.truncate(1 << 29)
  (folder / "bee" / os.fsdecode(b"caf\xe9.bmp")).write_bytes(
    (folder / "bee" / "0.bmp").read_bytes()
  )
  found = embed(embedder, folder)
  assert dict(found.bad) == {
    "ant/pipe.png": "no regular file",
    "ant/zero.png": "no regular file",
    "bee/gone.png": "cannot be read: No such file or directory",
    "bee/huge.png": f"file of {1 << 41} bytes, too large",
    "bee/large.png": "not an image of a known format",
  }
  assert "bee/caf\\udce9.bmp" in found.files
  assert len(found.files) == 9


def test_broken_code_leaves_nothing_to_repaired_code(
  embedder, folder, monkeypatch
):
  right = embed(embedder, folder)

  def upside_down(spec, image, **options):
    return preprocess_image(spec, image, **options)[::-1]

  broken = replace(
    embedder,
    clip=embedder.clip._replace(
      preprocess=lambda image: upside_down(embedder.clip.spec, image)
    ),
  )
  wrong = embed(broken, folder)
  assert wrong.images_decoded == 8
  assert not np.array_equal(wrong.embeddings, right.embeddings)
  again = embed(embedder, folder)
  assert again.images_decoded == 0
  np.testing.assert_array_equal(again.embeddings, right.embeddings)
  monkeypatch.setattr("s3_jax.experiment.embedder.TOWERS_VERSION", -1)
  assert embed(embedder, folder).images_decoded == 8


def test_pillow_is_part_of_the_canary(embedder, folder, monkeypatch):
  opened, _ = open_own(folder)
  before = embedder.layout(SPEC, opened)
  assert embedder.layout(SPEC, opened).key == before.key
  resize = Image.Image.resize

  def other(self, size, *arguments, **options):
    del arguments, options
    return resize(self, size, Image.Resampling.NEAREST)

  def by_columns(self, size, *arguments, **options):
    """Makes one pass after the other, as Pillow did before version 13."""
    wide = resize(self, (size[0], self.height), *arguments, **options)
    return resize(wide, size, *arguments, **options)

  # Compiled resizes give the same pixels, but ask Pillow for none.
  monkeypatch.setattr(resampling, "_compiled", lambda: None)
  assert embedder.layout(SPEC, opened).key == before.key
  monkeypatch.setattr(Image.Image, "resize", other)
  after = embedder.layout(SPEC, opened)
  assert after.key != before.key and after.contents == before.contents
  monkeypatch.setattr(Image.Image, "resize", by_columns)
  assert embedder.layout(SPEC, opened).key != before.key


def known(*read, reasons=None):
  """Of images whose content is a number; None for one not read."""
  return Known(
    np.array([number is not None for number in read]),
    np.array([[number or 0] * 32 for number in read], np.uint8),
    np.array([-1 if number is None else 10 * number for number in read]).astype(
      np.int32
    ),
    reasons or {},
  )


def test_processes_complete_each_other():
  joined = join_known(
    [
      known(7, None, None, None, reasons={1: "Permission denied", 3: "a"}),
      known(7, 8, None, None, reasons={3: "b"}),
    ],
    ["a", "b", "c", "d"],
    "own",
  )
  assert joined.is_read.tolist() == [True, True, False, False]
  assert joined.contents[:, 0].tolist() == [7, 8, 0, 0]
  assert joined.labels.tolist()[:2] == [70, 80]
  assert joined.reasons == {3: "a"}


def test_processes_with_other_pictures_are_refused():
  with pytest.raises(
    ValueError,
    match=r"own: x/0\\xe9.png must be the same in every process, got sha256"
    r" 0202\S+ in process 0 and 0303\S+ in process 2",
  ):
    join_known(
      [known(1, 2), known(1, None), known(1, 3)], ["a", "x/0é.png"], "own"
    )


def test_an_archive_s_members_are_known_by_their_places(
  tmp_path, monkeypatch, reads
):
  """Read in place: one file, whose stamp every member shares."""
  del reads
  archive = tmp_path / imagenet.ARCHIVE

  def pack(numbers):
    with tarfile.open(archive, "w") as tar:
      for position, number in enumerate(numbers, 1):
        write(tmp_path / "one.bmp", number)
        data = (tmp_path / "one.bmp").read_bytes()
        member = tarfile.TarInfo(f"ILSVRC2012_val_{position:08d}.JPEG")
        member.size = len(data)
        tar.addfile(member, io.BytesIO(data))
    settle()

  asked = []
  get = tar_members.TarRecords.__getitem__

  def count(self, index):
    asked.append(index)
    return get(self, index)

  monkeypatch.setattr(tar_members.TarRecords, "__getitem__", count)

  def know():
    asked.clear()
    opened = imagenet.read_tar(DATASETS["imagenet"], tmp_path)
    found = know_images(tmp_path / "cache", opened, name="ImageNet").contents
    return found.ids, len(set(asked))

  pack([1, 2, 3])
  first, read = know()
  assert read == 3 and len(set(first)) == 3
  assert know() == (first, 0)
  pack([1, 3, 2])
  assert know() == ((first[0], first[2], first[1]), 3)


def test_what_is_known_is_saved_on_the_way(tmp_path, folder, monkeypatch):
  opened, _ = open_own(folder)
  monkeypatch.setattr(contents, "_CHUNK", 2)
  monkeypatch.setattr(contents, "_SAVE_SECONDS", 0.0)
  get = listing.FileRecords.__getitem__

  def stop(self, index):
    if index == 6:
      raise KeyboardInterrupt
    return get(self, index)

  with monkeypatch.context() as patch:
    patch.setattr(listing.FileRecords, "__getitem__", stop)
    with pytest.raises(KeyboardInterrupt):
      know_images(tmp_path / "cache", opened, name="own")
  seen = []

  def count(self, index):
    seen.append(index)
    return get(self, index)

  monkeypatch.setattr(listing.FileRecords, "__getitem__", count)
  know_images(tmp_path / "cache", open_own(folder)[0], name="own")
  assert set(seen) == {6, 7}


def test_the_estimate_counts_pictures_and_not_shards(embedder, folder):
  embed(embedder, folder)
  write(folder / "ant" / "00.bmp", 555)
  layout = embedder.layout(SPEC, open_own(folder)[0])
  assert (~known_images(embedder.folder, layout)).sum() == 1
