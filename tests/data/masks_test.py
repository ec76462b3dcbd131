"""Masks: every kind of PNG that holds indices, and every kind that does not."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from s3_jax.data.decoding import BadImage
from s3_jax.data.masks import (
  CITYSCAPES_PALETTE,
  VOC_PALETTE,
  check_size,
  decode_labels,
  encode_mask,
  label_map,
  map_labels,
  plain_labels,
  read_mask,
  shifted_labels,
)
from tests.segmentation_replicas import png


def raw_png(values, depth, colour=0):
  """Writes a PNG by hand: Pillow does not write grey of 2 and 4 bits."""
  rows, cols = values.shape

  def chunk(kind, data):
    body = kind + data
    return (
      struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))
    )

  lines = b""
  for row in values:
    if depth == 16:
      packed = row.astype(">u2").tobytes()
    else:
      bits = "".join(f"{value:0{depth}b}" for value in row)
      bits += "0" * (-len(bits) % 8)
      packed = int(bits, 2).to_bytes(len(bits) // 8, "big")
    lines += b"\0" + packed
  head = struct.pack(">IIBBBBB", cols, rows, depth, colour, 0, 0, 0)
  palette = bytes(range(256)) * 3
  parts = [chunk(b"IHDR", head)]
  if colour == 3:
    parts.append(chunk(b"PLTE", palette[: 3 * 2**depth]))
  parts += [chunk(b"IDAT", zlib.compress(lines)), chunk(b"IEND", b"")]
  return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


@pytest.mark.parametrize("colour", [0, 3])
@pytest.mark.parametrize("depth", [1, 2, 4, 8])
def test_indices_of_any_depth(depth, colour):
  values = np.random.default_rng(depth).integers(0, 2**depth, (3, 5))
  assert np.array_equal(read_mask(raw_png(values, depth, colour)), values)


def test_a_palette_s_colours_do_not_count():
  values = np.array([[0, 1, 254], [255, 7, 7]], np.uint8)
  assert np.array_equal(read_mask(png(values, palette=True)), values)


def indexed(values, colours):
  """Encodes indices with a palette."""
  image = Image.fromarray(values.astype(np.uint8))
  image.putpalette([part for colour in colours for part in colour])
  buffer = io.BytesIO()
  image.save(buffer, "PNG")
  return buffer.getvalue()


def test_the_palettes_are_those_of_the_benchmarks():
  # From the pages of VOC (aeroplane, bicycle, tv monitor, void).
  colours = [VOC_PALETTE[value] for value in (0, 1, 2, 20, 255)]
  assert colours[:3] == [(0, 0, 0), (128, 0, 0), (0, 128, 0)]
  assert colours[3:] == [(0, 64, 128), (224, 224, 192)]
  assert len(set(VOC_PALETTE)) == 256 and len(set(CITYSCAPES_PALETTE)) == 19


@pytest.mark.parametrize("palette", [VOC_PALETTE, CITYSCAPES_PALETTE])
def test_a_palette_that_was_sorted_anew_is_refused(palette):
  """Every colour is right, and every index is another class's."""
  values = np.array([[0, 1, 5], [12, 12, 1]], np.uint8)
  published = indexed(values, palette)
  assert np.array_equal(read_mask(published, palette=palette), values)
  used = [palette[value] for value in (5, 12, 0, 1)]
  sorted_anew = indexed(np.array([[2, 3, 0], [1, 1, 3]]), used)
  with pytest.raises(ValueError, match="got that of value 5 .* for 0: a tool"):
    read_mask(sorted_anew, palette=palette)
  # Colours of one's own say nothing, and grey has none.
  own = [(3 * n % 256, n, 255 - n) for n in range(256)]
  own = [colour if colour not in palette else (1, 2, 3) for colour in own]
  read = read_mask(indexed(values, own), palette=palette)
  assert np.array_equal(read, values)
  assert np.array_equal(read_mask(png(values), palette=palette), values)
  # Another palette than the data set's is not compared.
  assert read_mask(sorted_anew).max() == 3


def test_16_bits_are_taken_if_they_are_small():
  values = np.array([[0, 20, 255]])
  assert np.array_equal(read_mask(raw_png(values, 16)), values)
  with pytest.raises(ValueError, match="at most 255, got 16 bits with 26001"):
    read_mask(raw_png(np.array([[26001, 3]]), 16))


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA"])
def test_colours_are_refused(mode):
  buffer = io.BytesIO()
  Image.new(mode, (4, 4)).save(buffer, "PNG")
  with pytest.raises(ValueError, match=rf"got colours \(mode {mode}\)"):
    read_mask(buffer.getvalue())


def test_other_files_are_refused_and_damaged_ones_are_bad():
  buffer = io.BytesIO()
  Image.new("L", (4, 4)).save(buffer, "JPEG")
  with pytest.raises(ValueError, match="must be a PNG"):
    read_mask(buffer.getvalue())
  whole = png(np.zeros((64, 64), np.uint8))
  for data in (b"", whole[:-40]):
    with pytest.raises(BadImage):
      read_mask(data)


def test_values_become_classes():
  values = np.array([[0, 1, 3, 255]], np.uint8)
  assert map_labels(values, plain_labels(4)).tolist() == [[0, 1, 3, 255]]
  assert map_labels(values, shifted_labels(3)).tolist() == [[255, 0, 2, 255]]
  wanted = "must hold 0..2, 255 alone, got 3:"
  with pytest.raises(ValueError, match=wanted):
    map_labels(values, plain_labels(3))
  with pytest.raises(ValueError, match="got 1 and 2 more"):
    map_labels(values, label_map({0: 5}))


def test_sizes_must_agree():
  check_size(np.zeros((2, 3), np.uint8), (2, 3))
  with pytest.raises(ValueError, match="2 x 3 .*, got 3 x 2"):
    check_size(np.zeros((3, 2), np.uint8), (2, 3))


def test_messages_name_the_file():
  data = encode_mask(np.full((2, 2), 9))
  with pytest.raises(ValueError, match="^a/b.png: a mask must hold 0..4"):
    decode_labels(data, plain_labels(5), (2, 2), where="a/b.png")
  with pytest.raises(BadImage, match="^mask a/b.png: "):
    decode_labels(data[:30], plain_labels(5), (2, 2), where="a/b.png")
  found = decode_labels(data, plain_labels(10), (2, 2), where="a/b.png")
  assert found.tolist() == [[9, 9], [9, 9]]
