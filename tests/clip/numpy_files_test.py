"""numpy's files and Flax's checkpoints, read without running any of it."""

import io
import pickle
import zipfile

import flax.serialization
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest

from s3_jax.clip.readers import read_arrays

ARRAYS = {
  "img/kernel": np.arange(6, dtype="f4").reshape(2, 3),
  "img/columns": np.asfortranarray(np.arange(6, dtype="f2").reshape(2, 3)),
  "t": np.asarray(1.5, "f8"),
  "steps": np.arange(3, dtype="i4"),
  "empty": np.zeros((0, 2), "f4"),
}
TREE = {
  "visual": {
    "resblocks.0": {"kernel": ARRAYS["img/kernel"]},
    "half": np.ones(3, ml_dtypes.bfloat16),
  },
  "logit_scale": np.asarray(4.6, "f4"),
}
FLAT = {
  "visual/resblocks.0/kernel": TREE["visual"]["resblocks.0"]["kernel"],
  "visual/half": TREE["visual"]["half"],
  "logit_scale": TREE["logit_scale"],
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


# .npz


def test_npz(tmp_path):
  path = tmp_path / "weights.npz"
  np.savez(path, **ARRAYS)
  equal(read_arrays(path)[0], ARRAYS)


def test_npz_of_bfloat16(tmp_path):
  """Numpy writes the type as two raw bytes, as in big_vision's files."""
  path = tmp_path / "weights.npz"
  half = np.arange(4).astype(ml_dtypes.bfloat16)
  np.savez(path, half=half.view("V2"))
  equal(read_arrays(path)[0], {"half": half})


@pytest.mark.parametrize("length", [0, 3, 100, 400, -1, -40])
def test_cut_off_npz(tmp_path, length):
  path = tmp_path / "weights.npz"
  np.savez(path, **ARRAYS)
  path.write_bytes(path.read_bytes()[:length])
  one_line_error(path)


def npy(array, **options) -> bytes:
  stream = io.BytesIO()
  np.save(stream, array, **options)
  return stream.getvalue()


@pytest.mark.parametrize(
  ("content", "word"),
  [
    (npy(np.asarray([{"a": 1}], object), allow_pickle=True), "|O"),
    (npy(np.asarray(["text"])), "<U4"),
    (npy(np.ones(2, ">f4")), ">f4"),
    (npy(np.ones(2, "c8")), "<c8"),
    (npy(np.zeros(2, [("a", "f4")])), "V4"),
    (npy(np.ones((4, 4), "f4"))[:-1], "63 bytes for 64"),
    (npy(np.ones(4, "f4")) + b"\0", "17 bytes for 16"),
    (npy(np.ones(2))[:40], ""),
    (b"\x93NUMPY\x09\x00", "version"),
    (b"text", ""),
  ],
)
def test_npz_members_that_are_no_numbers(tmp_path, content, word):
  path = tmp_path / "weights.npz"
  with zipfile.ZipFile(path, "w") as archive:
    archive.writestr("name.npy", content)
  message = one_line_error(path)
  assert "'name.npy'" in message
  assert word in message


def test_npz_with_two_members_for_one_name(tmp_path):
  path = tmp_path / "weights.npz"
  with zipfile.ZipFile(path, "w") as archive:
    for name in ("a.npy", "a"):
      archive.writestr(name, npy(np.ones(2)))
  assert "two members" in one_line_error(path)


# .npy


@pytest.mark.parametrize("name", ["flat", "tree"])
def test_npy_of_one_dictionary(tmp_path, name):
  """Scenic saves a flat one; nested ones are read as well."""
  path = tmp_path / "vit_b32.npy"
  stored, expected = {"flat": (ARRAYS, ARRAYS), "tree": (TREE, FLAT)}[name]
  np.save(path, stored, allow_pickle=True)
  equal(read_arrays(path)[0], expected)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_npy_in_every_pickle_protocol(tmp_path, protocol):
  path = tmp_path / "vit_b32.npy"
  header = npy(np.asarray({}, object), allow_pickle=True)
  header = header[: header.index(b"\n") + 1]
  outer = np.asarray({**ARRAYS, "scalar": np.float32(2)}, object)
  path.write_bytes(header + pickle.dumps(outer, protocol))
  expected = {**ARRAYS, "scalar": np.asarray(2, "f4")}
  equal(read_arrays(path)[0], expected)


@pytest.mark.parametrize("length", [0, 3, 9, 130, 200, 300, -1, -30])
def test_cut_off_npy(tmp_path, length):
  path = tmp_path / "vit_b32.npy"
  np.save(path, ARRAYS, allow_pickle=True)
  path.write_bytes(path.read_bytes()[:length])
  one_line_error(path)


class Payload:
  """Writes a file when it is unpickled."""

  def __init__(self, marker):
    self.marker = marker

  def __reduce__(self):
    return open, (str(self.marker), "w")


@pytest.mark.parametrize("index", ["dict", "entry", "array"])
def test_a_payload_in_npy_is_named_and_not_run(tmp_path, index):
  payload = Payload(tmp_path / "executed")
  stored = {
    "dict": payload,
    "entry": {"a": payload},
    "array": {"a": np.asarray([payload], object)},
  }[index]
  path = tmp_path / "vit_b32.npy"
  np.save(path, np.asarray(stored, object), allow_pickle=True)
  assert "io.open, which is not allowed" in one_line_error(path)
  assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize(
  "stored",
  [
    np.ones((2, 2)),
    np.asarray([{"a": np.ones(2)}, {}], object),
    np.asarray([1], object),
    {"a": 3},
    {"a": [np.ones(2)]},
    {3: np.ones(2)},
    {"a": {"b": "text"}},
    {"a": np.ones(2, ">f4")},
    {"a": np.ones(2, "c8")},
    {"a": np.asarray([None, 1], object)},
    {"a": np.zeros(2, [("a", "f4")])},
    {"a": {"b": np.ones(2)}, "a/b": np.ones(2)},
  ],
)
def test_npy_of_something_else(tmp_path, stored):
  path = tmp_path / "vit_b32.npy"
  np.save(path, stored, allow_pickle=True)
  one_line_error(path)


def test_npy_with_a_shape_that_does_not_fit(tmp_path):
  path = tmp_path / "vit_b32.npy"
  np.save(path, {"a": np.ones((17, 2), "f4")}, allow_pickle=True)
  data = path.read_bytes()
  assert data.count(b"K\x11K\x02\x86") == 1
  path.write_bytes(data.replace(b"K\x11K\x02\x86", b"K\x12K\x02\x86"))
  assert "136 bytes for 144" in one_line_error(path)


@pytest.mark.parametrize("code", [b"f1", b"O8", b"zz", b"U4"])
def test_npy_with_a_type_that_is_no_number(tmp_path, code):
  path = tmp_path / "vit_b32.npy"
  np.save(path, {"a": np.ones(3, "f4")}, allow_pickle=True)
  data = path.read_bytes()
  assert data.count(b"\x02f4") == 1
  path.write_bytes(data.replace(b"\x02f4", b"\x02" + code))
  assert f"dtype '{code.decode()}'" in one_line_error(path)


# msgpack


def write_flax(path, tree):
  path.write_bytes(flax.serialization.msgpack_serialize(tree))
  return path


@pytest.mark.parametrize("name", ["weights.msgpack", "checkpoint_1000"])
def test_flax_parameters(tmp_path, name):
  path = write_flax(tmp_path / name, TREE)
  equal(read_arrays(path)[0], FLAT)


def test_flax_training_state(tmp_path):
  """The optimizer's state is skipped, BatchNorm's statistics are not."""
  state = {
    "params": TREE,
    "model_state": {"batch_stats": {"bn1": {"mean": np.ones(3, "f4")}}},
    "opt_state": {"0": {"mu": TREE, "count": np.asarray(3)}, "1": None},
    "global_step": 1000,
    "rng": np.asarray([1, 2], "u4"),
    "metadata": {"big": 1 << 40, "small": -3, "text": "x" * 300, "list": [1.5]},
  }
  path = write_flax(tmp_path / "checkpoint_1000", state)
  expected = {f"params/{name}": value for name, value in FLAT.items()}
  expected["batch_stats/bn1/mean"] = np.ones(3, "f4")
  equal(read_arrays(path)[0], expected)


def test_flax_arrays_in_chunks(tmp_path, monkeypatch):
  monkeypatch.setattr(flax.serialization, "MAX_CHUNK_SIZE", 16)
  tree = {"a": {"kernel": jnp.arange(35.0).reshape(5, 7)}}
  path = write_flax(tmp_path / "weights.msgpack", tree)
  assert b"__msgpack_chunked_array__" in path.read_bytes()
  expected = {"a/kernel": np.arange(35, dtype="f4").reshape(5, 7)}
  equal(read_arrays(path)[0], expected)


@pytest.mark.parametrize("length", [0, 1, 5, 30, 60, -1])
def test_cut_off_flax_checkpoint(tmp_path, length):
  path = write_flax(tmp_path / "weights.msgpack", TREE)
  path.write_bytes(path.read_bytes()[:length])
  assert "end at byte" in one_line_error(path)


def ext(kind, payload: bytes) -> bytes:
  return b"\xc7" + bytes([len(payload), kind]) + payload


@pytest.mark.parametrize(
  ("data", "word"),
  [
    (b"\x82\xa1a\x80\xa1a\x80", "'a' twice"),
    (b"\x81\x01\x80", "int for a key"),
    (b"\x90", "list"),
    (b"\x80\x80", "1 bytes too many"),
    (b"\x81\xa1a\x03", "int"),
    (b"\x81\xa1a\xc1", "0xc1"),
    (b"\x81\xa1a" + b"\x91" * 9999, "deep"),
    (b"\x81\xa1a" + b"\x81\xa1a" * 9999, "deep"),
    (b"\x81\xa1a" * 99 + b"\x80", "deep"),
    (b"\x81\xa1a\xdf\xff\xff\xff\xff", "than 500000 values"),
    (b"\x81\xa1a\xda\xff\xff", "end at byte"),
    (b"\x81\xa1a\xdc\x00\x09", "end at byte"),
    (b"\x81\xa1a\xc6\xff\xff\xff\xff", "end at byte"),
    (b"\x81\xa1\xff\x01", "no UTF-8"),
    (b"\x81\xa1a" + ext(1, b"\x90"), "without shape"),
    (b"\x81\xa1a" + ext(1, b"\x93\x91\x02\xa6object\xc4\x01a"), "object"),
    (
      b"\x81\xa1a" + ext(1, b"\x93\x91\x02\xa7float32\xc4\x01a"),
      "1 bytes for 8",
    ),
    (b"\x81\xa1a" + ext(1, b"\x93\x91\xff\xa4int8\xc4\x01a"), "size of -1"),
    (b"\x81\xa1a" + ext(1, b"\x93\xa1x\xa4int8\xc4\x01a"), "shape 'x'"),
    (b"\x81\xa1a" + ext(1, ext(1, ext(1, b"\xc0"))), "without shape"),
    (b"\x81\xa1a" + ext(1, b"\x93\x90\xa4int8"), "end at byte"),
    (b"\x81\xa1a" + ext(2, b"\xc0"), "ExtType for an array"),
    (b"\x81\xa1a\xd6\xff\0\0\0\0", "Timestamp for an array"),
  ],
)
def test_flax_checkpoints_that_are_broken(tmp_path, data, word):
  path = tmp_path / "weights.msgpack"
  path.write_bytes(data)
  assert word in one_line_error(path)


def test_a_flax_array_without_a_chunk(tmp_path, monkeypatch):
  monkeypatch.setattr(flax.serialization, "MAX_CHUNK_SIZE", 16)
  tree = {"a": jnp.arange(35.0)}
  stored = flax.serialization.msgpack_serialize(tree)
  path = tmp_path / "weights.msgpack"
  path.write_bytes(stored.replace(b"\xa13", b"\xa1x", 1))
  assert "without its chunks" in one_line_error(path)
