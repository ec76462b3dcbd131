"""Weight files: safetensors, whole and in shards, and what all forms share."""

import hashlib
import json

import flax.serialization
import ml_dtypes
import numpy as np
import pytest
import safetensors.numpy

from s3_jax.clip.readers import read_arrays
from s3_jax.files import file_sha256

TENSORS = {
  "a.weight": np.arange(6, dtype="f4").reshape(2, 3),
  "b": np.asarray(4.6, "f2"),
  "c": np.arange(4).astype(ml_dtypes.bfloat16),
  "d": np.arange(5, dtype="i8"),
  "e": np.zeros((0, 3), "f4"),
}


def equal(found, expected):
  assert found.keys() == expected.keys()
  for name, value in expected.items():
    assert found[name].dtype == value.dtype, name
    assert found[name].shape == value.shape, name
    np.testing.assert_array_equal(found[name], value)


def one_line_error(path) -> str:
  with pytest.raises(ValueError) as caught:
    read_arrays(path)
  message = str(caught.value)
  assert "\n" not in message
  assert str(path) in message
  return message


def header_of(path) -> tuple[dict, bytes]:
  data = path.read_bytes()
  length = int.from_bytes(data[:8], "little")
  return json.loads(data[8 : 8 + length]), data[8 + length :]


def write(path, header: dict | bytes, body: bytes):
  text = header if isinstance(header, bytes) else json.dumps(header).encode()
  path.write_bytes(len(text).to_bytes(8, "little") + text + body)


@pytest.fixture
def path(tmp_path):
  path = tmp_path / "model.safetensors"
  metadata = {"format": "pt"}
  safetensors.numpy.save_file(TENSORS, path, metadata=metadata)
  return path


def test_every_type_is_kept(path):
  arrays, sha256 = read_arrays(path)
  equal(arrays, TENSORS)
  assert sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
  assert sha256 == file_sha256(path)


def test_arrays_cannot_be_written(path):
  arrays, _ = read_arrays(path)
  with pytest.raises(ValueError, match="read-only"):
    arrays["a.weight"][0] = 1


def test_the_order_of_names_does_not_matter(path):
  header, body = header_of(path)
  write(path, dict(reversed(header.items())), body)
  equal(read_arrays(path)[0], TENSORS)


@pytest.mark.parametrize("length", [0, 7, 8, 9, 200, -1, -20])
def test_a_cut_off_file(path, length):
  path.write_bytes(path.read_bytes()[:length])
  assert "safetensors" in one_line_error(path)


def test_more_bytes_than_tensors(path):
  path.write_bytes(path.read_bytes() + b"\0")
  one_line_error(path)


def test_a_header_longer_than_the_file(path):
  path.write_bytes((1 << 62).to_bytes(8, "little") + b"{}")
  assert str(1 << 62) in one_line_error(path)


def test_a_name_that_comes_twice(path):
  header, body = header_of(path)
  text = json.dumps(header).encode()
  again = b', "b": ' + json.dumps(header["b"]).encode() + b"}"
  write(path, text[:-1] + again, body)
  assert "'b' twice" in one_line_error(path)


def change(name, key, value):
  def apply(header):
    header[name][key] = value

  return apply


def swap_offsets(header):
  first, second = header["a.weight"], header["d"]
  offsets = first["data_offsets"], second["data_offsets"]
  second["data_offsets"], first["data_offsets"] = offsets


def overlap(header):
  begin, end = header["a.weight"]["data_offsets"]
  header["c"]["data_offsets"] = [begin, begin + 8]


@pytest.mark.parametrize(
  "edit",
  [
    swap_offsets,
    overlap,
    change("a.weight", "shape", [3, 3]),
    change("a.weight", "shape", [2, 3.0]),
    change("a.weight", "shape", [-2, -3]),
    change("a.weight", "shape", [True, 6]),
    change("a.weight", "shape", 6),
    change("a.weight", "dtype", "F8_E4M3"),
    change("a.weight", "dtype", ["F32"]),
    change("a.weight", "dtype", "F16"),
    change("a.weight", "data_offsets", [24, 0]),
    change("a.weight", "data_offsets", [-24, 0]),
    change("a.weight", "data_offsets", [0, 1 << 60]),
    change("a.weight", "data_offsets", [0.0, 24.0]),
    change("a.weight", "data_offsets", [0]),
    change("a.weight", "extra", 1),
    lambda header: header.update(a=3),
    lambda header: header["a.weight"].pop("shape"),
    lambda header: header.pop("d"),
  ],
)
def test_a_header_that_does_not_fit(path, edit):
  header, body = header_of(path)
  edit(header)
  write(path, header, body)
  one_line_error(path)


@pytest.mark.parametrize("text", [b"", b"[]", b"{", b"\xff", b'{"a": ' * 9999])
def test_a_header_that_is_no_object(path, text):
  write(path, text, b"")
  assert "header" in one_line_error(path)


@pytest.mark.parametrize("name", ["a.txt", "weights", "checkpoint_x", "a.ckpt"])
def test_an_unknown_form_lists_the_known_ones(tmp_path, name):
  (tmp_path / name).write_bytes(b"1")
  assert ".safetensors, .pt" in one_line_error(tmp_path / name)


def test_names_that_would_garble_a_message(path):
  name = "a\n\x1b[31mb"
  safetensors.numpy.save_file({name: np.ones(2, "f4")}, path)
  assert repr(name)[1:-1] in one_line_error(path)


def npy(tensors, path):
  np.save(path, tensors, allow_pickle=True)


def torch_bin(tensors, path):
  import torch

  torch.save({name: torch.tensor(x) for name, x in tensors.items()}, path)


def msgpack(tensors, path):
  path.write_bytes(flax.serialization.msgpack_serialize({"x": tensors}))


WRITERS = {
  "x.safetensors": safetensors.numpy.save_file,
  "x.pt": torch_bin,
  "x.npz": lambda tensors, path: np.savez(path, **tensors),
  "x.npy": npy,
  "x.msgpack": msgpack,
}


@pytest.mark.filterwarnings("ignore:Reading .*:UserWarning")
@pytest.mark.parametrize("name", WRITERS)
def test_whatever_byte_is_altered(tmp_path, name):
  """The file is refused in one line, or what changed says nothing."""
  path = tmp_path / name
  tensors = {"a.w": np.arange(6, dtype="f4").reshape(2, 3), "b": np.ones(3)}
  WRITERS[name](tensors, path)
  good = path.read_bytes()
  rng = np.random.default_rng(len(name))
  refused = 0
  for _ in range(300):
    data = bytearray(good)
    index = int(rng.integers(len(data)))
    if rng.random() < 0.7:
      data[index] = int(rng.integers(256))
    else:
      del data[index : index + int(rng.integers(1, 9))]
    path.unlink()  # a new file: the old one may still be mapped
    path.write_bytes(data)
    try:
      read_arrays(path)
    except ValueError as error:
      refused += 1
      assert str(path) in str(error)
      assert str(error).isprintable()
  assert refused > 100


def test_missing_files_and_folders(tmp_path):
  assert "No such file" in one_line_error(tmp_path / "model.safetensors")
  (tmp_path / "folder.npz").mkdir()
  assert "readable file" in one_line_error(tmp_path / "folder.npz")


@pytest.fixture
def index(tmp_path):
  """The same tensors in two files."""
  names = sorted(TENSORS)
  weight_map = {}
  for shard, part in (
    ("b.safetensors", names[:2]),
    ("a.safetensors", names[2:]),
  ):
    tensors = {name: TENSORS[name] for name in part}
    safetensors.numpy.save_file(tensors, tmp_path / shard)
    weight_map |= dict.fromkeys(part, shard)
  path = tmp_path / "model.safetensors.index.json"
  path.write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
  return path


def test_shards_are_one_checkpoint(index):
  arrays, sha256 = read_arrays(index)
  equal(arrays, TENSORS)
  digests = [
    file_sha256(index.parent / name)
    for name in ("a.safetensors", "b.safetensors")
  ]
  assert sha256 == hashlib.sha256("".join(digests).encode()).hexdigest()


def test_shards_that_differ_from_the_index(index):
  document = json.loads(index.read_text())
  document["weight_map"]["z"] = "a.safetensors"
  index.write_text(json.dumps(document))
  with pytest.raises(ValueError, match="a.safetensors must hold .* first 'z'"):
    read_arrays(index)
  (index.parent / "a.safetensors").unlink()
  with pytest.raises(ValueError, match="a.safetensors must be a readable"):
    read_arrays(index)


@pytest.mark.parametrize("shard", ["../a.safetensors", "/a.npz", "", ".", 3])
def test_shards_lie_beside_the_index(index, shard):
  index.write_text(json.dumps({"weight_map": {"a": shard}}))
  assert "beside" in one_line_error(index)


def test_an_index_with_a_name_twice(index):
  text = '{"weight_map": {"a": "a.safetensors", "a": "b.safetensors"}}'
  index.write_text(text)
  assert "'a' twice" in one_line_error(index)
  index.write_text("{}")
  assert "weight_map" in one_line_error(index)
