"""Every file gives a picture or one reason, and touches nothing else."""

import errno
import io
import os
import struct
import threading
import time
import warnings
import zlib

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies
from PIL import Image

from s3_jax.data import decoding
from s3_jax.data.decoding import (
  MAX_PIXELS,
  BadImage,
  UnreadImage,
  decode_image,
  decoded_image,
  decoding_threads,
)

RGB = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)


def encode(image: Image.Image, form: str, **options) -> bytes:
  buffer = io.BytesIO()
  image.save(buffer, form, **options)
  return buffer.getvalue()


def frames(count: int, size: int = 8) -> list[Image.Image]:
  """Pictures that all differ, or a writer would merge them."""
  return [
    Image.fromarray(np.full((size, size, 3), (7 * i) % 256, np.uint8))
    for i in range(count)
  ]


def animation(count: int, form: str, size: int = 8) -> bytes:
  first, *rest = frames(count, size)
  return encode(first, form, save_all=True, append_images=rest)


def chunk(kind: bytes, body: bytes) -> bytes:
  check = struct.pack(">I", zlib.crc32(kind + body))
  return struct.pack(">I", len(body)) + kind + body + check


def png_of(width: int, height: int, *more: bytes) -> bytes:
  """A PNG whose header may promise more than the file holds."""
  header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
  body = chunk(b"IDAT", zlib.compress(b"\0" * 100))
  end = chunk(b"IEND", b"")
  signature = b"\x89PNG\r\n\x1a\n"
  return signature + chunk(b"IHDR", header) + b"".join(more) + body + end


def reason_of(data: bytes, **options) -> str:
  with pytest.raises(BadImage) as caught:
    decode_image(data, **options)
  assert caught.value.reason == str(caught.value)
  assert "0x" not in caught.value.reason
  return caught.value.reason


@pytest.mark.parametrize(
  "form", ["PNG", "BMP", "TIFF", "PPM", "JPEG2000", "GIF", "WEBP"]
)
def test_pixels_are_those_of_the_file(form):
  lossless = {"WEBP": {"lossless": True}}.get(form, {})
  # The first 200 colours of a picture of two fit a GIF's palette.
  pixels = RGB // 128 * 128 if form == "GIF" else RGB
  data = encode(Image.fromarray(pixels), form, **lossless)
  image = decode_image(data)
  np.testing.assert_array_equal(np.asarray(image.convert("RGB")), pixels)


@pytest.mark.parametrize("form", ["JPEG", "AVIF", "WEBP"])
def test_lossy_pixels_are_those_of_pillow(form):
  data = encode(Image.fromarray(RGB), form, quality=80)
  with Image.open(io.BytesIO(data)) as image:
    expected = np.asarray(image)
  np.testing.assert_array_equal(np.asarray(decode_image(data)), expected)


@pytest.mark.parametrize(
  ("mode", "form"),
  [
    ("L", "PNG"),
    ("1", "PNG"),
    ("P", "PNG"),
    ("LA", "PNG"),
    ("RGBA", "PNG"),
    ("I;16", "PNG"),
    ("CMYK", "JPEG"),
    ("CMYK", "TIFF"),
    ("F", "TIFF"),
  ],
)
def test_the_mode_stays_the_file_s(mode, form):
  if mode == "I;16":
    image = Image.fromarray((RGB[..., 0].astype(np.uint16) << 8) + 3)
  elif mode == "LA":
    image = Image.fromarray(RGB).convert("L").convert("LA")
  else:
    image = Image.fromarray(RGB).convert(mode)
  decoded = decode_image(encode(image, form))
  assert decoded.mode == mode
  if form != "JPEG":
    assert decoded.tobytes() == image.tobytes()


def test_a_palette_keeps_its_transparency():
  image = Image.fromarray(RGB).convert("P")
  alphas = bytes(range(256))
  decoded = decode_image(encode(image, "PNG", transparency=alphas))
  assert decoded.mode == "P"
  kept = decoded.info["transparency"]
  assert kept == alphas[: len(kept)] and len(kept) > 200


def test_the_orientation_tag_is_left_alone():
  exif = Image.Exif()
  exif[0x0112] = 6
  decoded = decode_image(encode(Image.fromarray(RGB), "JPEG", exif=exif))
  assert decoded.size == (30, 20)
  assert decoded.getexif()[0x0112] == 6


def test_files_without_pictures():
  assert reason_of(b"") == "empty file"
  known = "not an image of a known format"
  for data in (b"P", b"\0", b"<!DOCTYPE html><html>", b"%!PS-Adobe-3.0 EPSF"):
    assert reason_of(data) == known
  assert reason_of(b"not a picture") == known
  for start in (b"P6 ", b"BM", b"GIF89a", b"\x89PNG\r\n\x1a\n", b"II*\0"):
    assert reason_of(start).startswith(("damaged (", "cut off"))


def test_a_file_that_is_cut_off():
  data = encode(Image.fromarray(RGB), "JPEG")
  assert reason_of(data[: len(data) // 2]) == "cut off"
  for form in ("JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", "AVIF", "JPEG2000"):
    data = encode(Image.fromarray(RGB), form)
    for share in (0.02, 0.1, 0.5, 0.7):
      reason_of(data[: int(share * len(data))])


def test_the_header_alone_tells_a_bomb():
  """No pixel of it is there to be decoded."""
  limit = f"50000 x 50000 pixels, more than {MAX_PIXELS} in all"
  assert reason_of(png_of(50000, 50000)) == limit
  # A picture of the size where Pillow would warn, and one pixel less.
  assert reason_of(png_of(9460, 9460)).endswith("in all")
  assert not reason_of(png_of(9459, 9459)).endswith("in all")


@pytest.mark.parametrize("form", ["PNG", "GIF", "JPEG", "WEBP", "BMP", "TIFF"])
def test_the_limit_counts_every_pixel(form):
  data = encode(Image.fromarray(RGB), form)
  assert decode_image(data, max_pixels=600).size == (30, 20)
  expected = "30 x 20 pixels, more than 599 in all"
  assert reason_of(data, max_pixels=599) == expected


def test_the_limit_counts_every_picture():
  data = animation(16, "GIF")
  assert decode_image(data, max_pixels=1024).size == (8, 8)
  expected = "8 x 8 pixels x 16 pictures, more than 1023 in all"
  assert reason_of(data, max_pixels=1023) == expected


def test_pillow_s_own_limit_is_neither_used_nor_changed(monkeypatch):
  data = encode(Image.fromarray(RGB), "PNG")
  monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
  assert decode_image(data).size == (30, 20)
  assert Image.MAX_IMAGE_PIXELS == 10
  reason_of(data, max_pixels=11)
  assert Image.MAX_IMAGE_PIXELS == 10


def test_the_limit_can_be_raised():
  size = (20_000, 10_000)
  data = encode(Image.new("1", size), "PNG")
  assert reason_of(data).startswith("20000 x 10000 pixels, more")
  assert decode_image(data, max_pixels=size[0] * size[1]).size == size


@pytest.mark.parametrize("limit", [0, -1])
def test_the_limit_must_be_a_number_of_pixels(limit):
  with pytest.raises(
    ValueError, match=f"`max_pixels` must be >= 1, got {limit}"
  ):
    decode_image(b"", max_pixels=limit)


@pytest.mark.parametrize("form", ["GIF", "PNG", "WEBP", "TIFF"])
def test_few_pictures_give_the_first_and_many_are_an_animation(form):
  image = decode_image(animation(16, form))
  assert np.asarray(image.convert("RGB"))[0, 0].tolist() == [0, 0, 0]
  expected = "animation of 17 pictures, more than 16"
  assert reason_of(animation(17, form)) == expected


def test_a_long_animation():
  expected = "animation of 300 pictures, more than 16"
  assert reason_of(animation(300, "GIF")) == expected


def test_a_camera_s_file_of_two_pictures():
  first = Image.fromarray(RGB)
  data = encode(first, "MPO", save_all=True, append_images=frames(1, 16))
  image = decode_image(data)
  np.testing.assert_array_equal(
    np.asarray(image), np.asarray(decode_image(encode(first, "JPEG")))
  )


def test_thin_pictures():
  """Brought to 224 pixels the short way, they would fill the memory."""
  white = Image.new("L", (2, 512))
  assert decode_image(encode(white, "PNG")).size == (2, 512)
  expected = "1 x 257 pixels, sides further apart than 1:256"
  assert reason_of(encode(Image.new("L", (1, 257)), "PNG")) == expected
  assert "1:256" in reason_of(encode(Image.new("L", (60_000, 3)), "PNG"))


def test_no_pixels():
  gif = bytearray(encode(Image.new("L", (5, 5)), "GIF"))
  gif[6:10] = bytes(4)  # of the screen
  index = gif.index(b"\x2c")
  gif[index + 5 : index + 9] = bytes(4)  # of the picture
  assert reason_of(bytes(gif)) == "damaged (SyntaxError)"
  assert reason_of(png_of(0, 7)) == "damaged (SyntaxError)"


def test_a_text_that_unpacks_to_a_lot():
  """A megabyte of text is a kilobyte of file; more is refused by Pillow."""
  text = chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(50_000_000)))
  assert len(text) < 60_000
  assert reason_of(png_of(8, 8, text)) == "damaged (ValueError)"


@pytest.mark.parametrize(
  ("error", "expected"),
  [
    (EOFError("end"), "cut off"),
    (OSError("image file is truncated (3 bytes not processed)"), "cut off"),
    (OSError("broken data stream"), "damaged (OSError)"),
    (SyntaxError("at <object at 0x7f00>"), "damaged (SyntaxError)"),
    (struct.error("unpack requires 4 bytes"), "damaged (struct.error)"),
    (MemoryError(), "needs more memory than there is"),
    (Image.DecompressionBombError("huge"), "more pixels than Pillow allows"),
    (zlib.error("data"), "damaged (zlib.error)"),
    (RecursionError(), "damaged (RecursionError)"),
    (KeyError(7), "damaged (KeyError)"),
  ],
)
def test_any_error_of_pillow_s_is_a_bad_image(monkeypatch, error, expected):
  def fail(self):
    raise error

  data = encode(Image.fromarray(RGB), "BMP")
  with monkeypatch.context() as patch:
    patch.setattr("PIL.BmpImagePlugin.BmpImageFile.load", fail)
    assert reason_of(data) == expected
  assert decode_image(data).size == (30, 20)


def test_an_interruption_is_no_bad_image(monkeypatch):
  def stop(self):
    raise KeyboardInterrupt

  monkeypatch.setattr("PIL.BmpImagePlugin.BmpImageFile.load", stop)
  with pytest.raises(KeyboardInterrupt):
    decode_image(encode(Image.fromarray(RGB), "BMP"))


def warning_file() -> bytes:
  """A PNG of whose broken animation chunk Pillow warns."""
  data = encode(Image.fromarray(RGB), "PNG")
  index = data.index(b"IDAT") - 4
  return data[:index] + chunk(b"acTL", bytes(8)) + data[index:]


def test_pillow_s_warnings_are_kept_back():
  """Warnings are errors here, and would make the image a bad one."""
  data = warning_file()
  with pytest.warns(UserWarning, match="Invalid APNG"):
    Image.open(io.BytesIO(data)).load()
  with warnings.catch_warnings(record=True) as seen:
    warnings.simplefilter("always")
    assert decode_image(data).size == (30, 20)
  assert not seen
  warnings.simplefilter("error")  # in front of whatever there was
  assert decode_image(data).size == (30, 20)


def test_other_warnings_pass_before_during_and_after(monkeypatch):
  data = warning_file()
  decode_image(data)
  with pytest.warns(UserWarning, match="before"):
    warnings.warn("before", stacklevel=1)
  heard = []

  def elsewhere():
    try:
      warnings.warn("from another thread", stacklevel=1)
    except UserWarning as warning:  # an error, as all warnings are here
      heard.append(str(warning))

  from PIL import BmpImagePlugin

  load = BmpImagePlugin.BmpImageFile.load

  def slow(self):
    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    return load(self)

  monkeypatch.setattr(BmpImagePlugin.BmpImageFile, "load", slow)
  decode_image(encode(Image.fromarray(RGB), "BMP"))
  assert heard == ["from another thread"]
  reason_of(b"BM")
  with pytest.warns(UserWarning, match="after"):
    warnings.warn("after", stacklevel=1)


SAMPLES = [
  encode(Image.fromarray(RGB), "JPEG"),
  encode(Image.fromarray(RGB), "JPEG", progressive=True),
  encode(Image.fromarray(RGB).convert("P"), "PNG", transparency=b"\0\1"),
  animation(3, "GIF"),
  encode(Image.fromarray(RGB), "TIFF", compression="tiff_lzw"),
  encode(Image.fromarray(RGB), "WEBP"),
  encode(Image.fromarray(RGB), "BMP"),
  encode(Image.fromarray(RGB), "JPEG2000"),
  warning_file(),
]


@hypothesis.settings(max_examples=300, deadline=None, derandomize=True)
@hypothesis.given(
  sample=strategies.sampled_from(SAMPLES),
  flips=strategies.lists(
    strategies.tuples(strategies.floats(0, 1), strategies.integers(0, 7)),
    min_size=1,
    max_size=6,
  ),
)
def test_flipped_bits_give_a_picture_or_a_reason(sample, flips):
  data = bytearray(sample)
  for index, bit in flips:
    data[int(index * (len(data) - 1))] ^= 1 << bit
  try:
    image = decode_image(bytes(data), max_pixels=100_000)
  except BadImage as error:
    assert error.reason and "\n" not in error.reason
  else:
    assert np.asarray(image).shape[1::-1] == image.size


def test_the_reason_is_the_same_every_time():
  data = encode(Image.fromarray(RGB), "PNG")
  broken = data[:60] + bytes(20) + data[80:]
  reasons = {reason_of(broken) for _ in range(3)}
  assert len(reasons) == 1


@pytest.mark.parametrize(
  ("cores", "threads"), [(1, 4), (4, 4), (5, 5), (32, 32), (96, 32)]
)
def test_a_thread_for_each_core_of_this_process(monkeypatch, cores, threads):
  def affinity(process):
    assert process == 0  # this one
    return set(range(cores))

  monkeypatch.setattr(os, "cpu_count", lambda: 1000)
  monkeypatch.setattr(os, "sched_getaffinity", affinity, raising=False)
  assert decoding_threads() == threads
  monkeypatch.delattr(os, "sched_getaffinity")
  monkeypatch.setattr(os, "cpu_count", lambda: cores)
  assert decoding_threads() == threads


def webp_of(width, height, *, canvas=None):
  """A WebP of 34 bytes that only has a header."""
  bits = (width - 1) | (height - 1) << 14
  body = b"VP8L" + struct.pack("<IBI", 14, 0x2F, bits) + bytes(9)
  if canvas is not None:
    sides = b"".join((side - 1).to_bytes(3, "little") for side in canvas)
    body = b"VP8X" + struct.pack("<II", 10, 0) + sides + body
  return b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WEBP" + body


@pytest.mark.parametrize("form", ["lossless", "lossy", "extended"])
def test_a_webp_is_refused_before_room_is_made_for_it(monkeypatch, form):
  """Pillow's reader would make room for all pixels when it opens the file."""
  monkeypatch.setattr("PIL.WebPImagePlugin.WebPImageFile._open", pytest.fail)
  if form == "lossless":
    data, size = webp_of(16_384, 16_383), "16384 x 16383"
  elif form == "lossy":
    lossy = bytearray(encode(Image.fromarray(RGB), "WEBP"))
    index = lossy.index(b"\x9d\x01\x2a") + 3
    lossy[index : index + 4] = struct.pack("<HH", 16_383, 16_382)
    data, size = bytes(lossy), "16383 x 16382"
  else:
    data, size = webp_of(3, 4, canvas=(20_000, 10_000)), "20000 x 10000"
  assert reason_of(data) == f"{size} pixels, more than {MAX_PIXELS} in all"


def test_a_webp_s_own_size_is_what_pillow_reads():
  for options in ({}, {"lossless": True}, {"lossless": True, "exif": b"Exif"}):
    data = encode(Image.fromarray(RGB), "WEBP", **options)
    assert decode_image(data).size == (30, 20)
    assert reason_of(data, max_pixels=599).startswith("30 x 20 pixels, more")


def test_a_long_chain_of_directories_is_not_walked_to_its_end():
  """60,000 directories of a TIFF, of a picture each."""
  entries = [(256, 3, 4), (257, 3, 4), (258, 3, 8), (259, 3, 1), (262, 3, 1)]
  entries += [(273, 4, 8), (277, 3, 1), (278, 3, 4), (279, 4, 16)]
  body = struct.pack("<H", len(entries)) + b"".join(
    struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in entries
  )
  step = len(body) + 4
  data = b"II*\0" + struct.pack("<I", 24) + bytes(16)
  data += b"".join(
    body + struct.pack("<I", 24 + (number + 1) * step)
    for number in range(59_999)
  )
  start = time.process_time()
  assert reason_of(data + body + bytes(4)) == (
    "animation of over 1000 pictures, more than 16"
  )
  assert time.process_time() - start < 2


def test_a_long_animation_is_not_decoded():
  data = animation(2, "GIF")
  frame = data.index(b"\x2c")
  picture = data[frame : data.index(b"\x21\xf9", frame)]
  start = time.process_time()
  assert reason_of(data[:-1] + 200_000 * picture + b";") == (
    "animation of over 1000 pictures, more than 16"
  )
  assert time.process_time() - start < 2


def test_threads_share_a_budget_of_pixels(monkeypatch):
  budget = decoding._Budget(1000)
  monkeypatch.setattr(decoding, "_BUDGET", budget)
  data = encode(Image.fromarray(RGB), "PNG")  # 600 pixels
  running, most = [], []

  def work():
    with decoded_image(data):
      running.append(1)
      most.append(len(running))
      time.sleep(0.01)
      running.pop()

  threads = [threading.Thread(target=work) for _ in range(6)]
  for thread in threads:
    thread.start()
  for thread in threads:
    thread.join(timeout=20)
  assert most == [1] * 6, "two of them are more than there is room for"
  # Alone, a picture may have more; what fails gives its share back.
  monkeypatch.setattr(decoding, "_BUDGET", decoding._Budget(10))
  for _ in range(3):
    assert decode_image(data).size == (30, 20)
    assert reason_of(data[:-30]) == "cut off"


def test_what_may_pass_is_told_from_what_is_wrong(monkeypatch):
  data = encode(Image.fromarray(RGB), "BMP")
  for error, passing in (
    (MemoryError(), True),
    (OSError(errno.EMFILE, "Too many open files"), True),
    (OSError("out of memory when reading image file"), True),
    (OSError("broken data stream when reading image file"), False),
    (OSError("image file is truncated"), False),
    (ValueError("x"), False),
  ):

    def fail(self, error=error):
      raise error

    with monkeypatch.context() as patch:
      patch.setattr("PIL.BmpImagePlugin.BmpImageFile.load", fail)
      with pytest.raises(BadImage) as caught:
        decode_image(data)
    assert isinstance(caught.value, UnreadImage) == passing, error


def test_a_pointer_of_git_lfs_says_so():
  pointer = (
    b"version https://git-lfs.github.com/spec/v1\noid sha256:"
    + b"0" * 64
    + b"\nsize 605247071\n"
  )
  assert reason_of(pointer) == (
    "a Git LFS pointer, not the image: run `git lfs pull`"
  )
