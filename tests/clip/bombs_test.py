"""Small files that would cost much: refused at once, in little memory."""

import contextlib
import json
import pathlib
import shutil
import struct
import tracemalloc
import zipfile
import zlib

import jax
import numpy as np
import pytest
import safetensors.numpy
from flax.traverse_util import flatten_dict

from s3_jax.clip import MODELS, ZOO, init_params, load_clip
from s3_jax.clip.documents import Document, parse_object, shown
from s3_jax.clip.layouts import (
  from_params,
  param_shapes,
  to_params,
)
from s3_jax.clip.layouts.tensor import least_numbers
from s3_jax.clip.readers import (
  msgpack_file,
  pickles,
  read_arrays,
  torch_archive,
  trees,
)

MOST_MEMORY = 64 << 20  # bytes, several times what reading these files takes


@contextlib.contextmanager
def bounded():
  """Fails where the body takes much memory, before it takes much time."""
  tracemalloc.start()
  try:
    yield
    assert tracemalloc.get_traced_memory()[1] < MOST_MEMORY
  finally:
    tracemalloc.stop()


def one_line_error(path, *, traced: bool = True) -> str:
  with contextlib.ExitStack() as stack:
    if traced:
      stack.enter_context(bounded())
    caught = stack.enter_context(pytest.raises(ValueError))
    read_arrays(path)
  message = str(caught.value)
  assert str(path) in message
  assert message.isprintable() and len(message) - len(str(path)) < 250
  return message


def zip_of(path, members, *, entries):
  """Writes an archive whose directory may name the same bytes many times."""
  body, indices = b"", []
  for name, raw, method in members:
    packed = raw
    if method == zipfile.ZIP_DEFLATED:
      deflater = zlib.compressobj(9, zlib.DEFLATED, -15)
      packed = deflater.compress(raw) + deflater.flush()
    facts = (method, 0, 0, zlib.crc32(raw), len(packed), len(raw), len(name), 0)
    indices.append((len(body), facts))
    body += struct.pack("<4sHHHHHIIIHH", b"PK\3\4", 20, 0, *facts)
    body += name + packed
  directory = b""
  for name, index in entries:
    offset, facts = indices[index]
    facts = (*facts[:6], len(name), 0, 0, 0, 0, 0, offset)
    directory += struct.pack(
      "<4sHHHHHHIIIHHHHHII", b"PK\1\2", 20, 20, 0, *facts
    )
    directory += name
  end = (0, 0, len(entries), len(entries), len(directory), len(body), 0)
  path.write_bytes(
    body + directory + struct.pack("<4sHHHHIIH", b"PK\5\6", *end)
  )


def npy(array) -> bytes:
  header = str({"descr": "|u1", "fortran_order": False, "shape": array.shape})
  header = header.encode().ljust(117) + b"\n"
  return b"\x93NUMPY\1\0" + struct.pack("<H", 118) + header + array.tobytes()


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_members_that_share_their_bytes(tmp_path, method):
  path = tmp_path / "x.npz"
  raw = npy(np.zeros(1 << 20, np.uint8))
  zip_of(path, [(b"a0.npy", raw, method)], entries=[(b"a0.npy", 0)])
  assert read_arrays(path)[0]["a0"].shape == (1 << 20,)
  entries = [(b"a%d.npy" % number, 0) for number in range(1000)]
  zip_of(path, [(b"a0.npy", raw, method)], entries=entries)
  assert "'a1.npy' inside another one" in one_line_error(path)


def test_compressed_members_that_are_a_bomb_together(tmp_path):
  path = tmp_path / "x.npz"
  zeros = npy(np.zeros((1 << 24) - 200, np.uint8))
  with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
    for number in range(12):
      archive.writestr(f"a{number}.npy", zeros)
  assert path.stat().st_size < 1 << 18
  assert "in compressed members" in one_line_error(path)


def test_small_compressed_archives_are_read(tmp_path):
  arrays = {f"a{n}": np.arange(5000.0) + n for n in range(300)}
  np.savez_compressed(tmp_path / "x.npz", **arrays)
  found, _ = read_arrays(tmp_path / "x.npz")
  assert found.keys() == arrays.keys()
  np.testing.assert_array_equal(found["a7"], arrays["a7"])


# Pickles, instruction by instruction: `)` and `}` are empty, `h` gets, `\x86`
# makes a pair, `\x94` remembers, `s` stores, `.` ends.


def pairs(depth: int) -> bytes:
  """A tuple of two tuples that are the same one, and so on."""
  return b")\x94" + b"".join(b"0h%ch%c\x86\x94" % (n, n) for n in range(depth))


def dictionaries(depth: int) -> bytes:
  """A dictionary that holds another one twice, and so on."""
  pickle = b"}\x94"
  for n in range(depth):
    pickle += b"0}\x8c\x01ah%cs\x8c\x01bh%cs\x94" % (n, n)
  return pickle


def modules(depth: int) -> bytes:
  new = b"c__torch__\nM\n)\x81"
  pickle = new + b"}b\x94"
  for n in range(depth):
    pickle += b"0" + new + b"}\x8c\x01ah%cs\x8c\x01bh%csb\x94" % (n, n)
  return pickle


PICKLES = {
  "a call of pairs": (pairs(40) + b")R.", "a call of a tuple"),
  "items of pairs": (pairs(40) + b"Ns.", ""),
  "a key of pairs": (b"}" + pairs(40) + b"Ns.", ""),
  "a list for pairs": (pairs(40) + b"Na.", ""),
  "a state for pairs": (pairs(40) + b"Nb.", ""),
  "a global of pairs": (pairs(40) + b"N\x93.", "the global a tuple of 2"),
  "pairs alone": (pairs(40) + b".", "tuple"),
  "pairs for a tensor": (b"}\x8c\x01w" + pairs(40) + b"s.", "tuple"),
  "dictionaries": (dictionaries(60) + b".", ""),
  "modules": (modules(60) + b".", ""),
  "many instructions": (b"}" + b"}0" * 20_000 + b".", "instructions"),
  "two values": (b"}}.", "2 values"),
}


@pytest.mark.parametrize("case", PICKLES)
def test_pickles_that_hold_themselves_many_times(tmp_path, case, monkeypatch):
  """These have no end where a container is walked or shown as a whole."""
  monkeypatch.setattr(pickles, "_MOST_INSTRUCTIONS", 10_000)
  monkeypatch.setattr(trees, "MOST_ENTRIES", 2_000)
  monkeypatch.setattr(torch_archive, "MOST_ENTRIES", 2_000)
  pickle, words = PICKLES[case]
  path = tmp_path / "x.pt"
  with zipfile.ZipFile(path, "w") as archive:
    archive.writestr("x/data.pkl", b"\x80\x04" + pickle)
  assert words in one_line_error(path, traced=False)
  header = b"{'descr': '|O', 'fortran_order': False, 'shape': (), }".ljust(117)
  path = tmp_path / "x.npy"
  path.write_bytes(
    b"\x93NUMPY\1\0" + struct.pack("<H", 118) + header + b"\n\x80\x04" + pickle
  )
  one_line_error(path, traced=False)


def test_names_that_grow_with_every_dictionary(tmp_path):
  """One long key, remembered, in each of sixty dictionaries in each other."""
  path = tmp_path / "x.npy"
  key = b"X" + struct.pack("<I", 1 << 20) + b"k" * (1 << 20) + b"\x94"
  pickle = b"\x80\x04" + key + b"0}" + b"h\x00}" * 60 + b"s" * 60 + b"."
  header = b"{'descr': '|O', 'fortran_order': False, 'shape': (), }".ljust(117)
  path.write_bytes(
    b"\x93NUMPY\1\0" + struct.pack("<H", 118) + header + b"\n" + pickle
  )
  assert "a name of more than 500 letters" in one_line_error(path)


def torch_tensors(path, *, names, shape, stride, numbers=16):
  """Writes tensors that are views of one storage, as torch pickles them."""

  def whole(value):
    size = (value.bit_length() // 8) + 1
    return b"\x8a%c" % size + value.to_bytes(size, "little", signed=True)

  def numbers_of(values):
    return b"(" + b"".join(map(whole, values)) + b"t"

  pickle = b"\x80\x02}"
  for name in names:
    pickle += b"X" + struct.pack("<I", len(name)) + name
    pickle += b"ctorch._utils\n_rebuild_tensor_v2\n(("
    pickle += b"X\7\0\0\0storagectorch\nFloatStorage\nX\1\0\0\0000X\3\0\0\0cpu"
    pickle += whole(numbers) + b"tQ" + whole(0)
    pickle += numbers_of(shape) + numbers_of(stride) + b"\x89}tRs"
  with zipfile.ZipFile(path, "w") as archive:
    archive.writestr("x/data.pkl", pickle + b".")
    archive.writestr("x/data/0", bytes(4 * numbers))


@pytest.mark.parametrize(
  ("shape", "stride"),
  [
    ((1, 4), (2**70, 1)),
    ((0, 2**70), (1, 1)),
    ((0, 2**62), (1, 1)),
    ((1,) * 200, (1,) * 200),
    ((2**62, 0), (0, 0)),
  ],
)
def test_tensors_of_impossible_sizes(tmp_path, shape, stride):
  path = tmp_path / "x.pt"
  torch_tensors(path, names=[b"w"], shape=shape, stride=stride)
  assert "'w'" in one_line_error(path)


def test_a_large_stride_that_nothing_follows(tmp_path):
  """The stride of an axis of one says nothing; torch leaves any there."""
  path = tmp_path / "x.pt"
  torch_tensors(path, names=[b"w"], shape=(1, 4), stride=(2**39, 1))
  assert read_arrays(path)[0]["w"].shape == (1, 4)


def test_many_tensors_of_the_same_numbers(tmp_path):
  path = tmp_path / "x.pt"
  names = [b"%d" % number for number in range(300)]
  size = 1 << 16
  torch_tensors(path, names=names, shape=(size,), stride=(1,), numbers=size)
  assert "which they share" in one_line_error(path, traced=False)
  torch_tensors(path, names=names[:2], shape=(size,), stride=(1,), numbers=size)
  assert len(read_arrays(path)[0]) == 2  # tied weights


def write_safetensors(path, header: bytes, body: bytes = b""):
  path.write_bytes(struct.pack("<Q", len(header)) + header + body)


def entry(shape, offsets) -> bytes:
  fields = {"dtype": "F32", "shape": shape, "data_offsets": offsets}
  return json.dumps({"w": fields}).encode()


@pytest.mark.parametrize(
  ("header", "words"),
  [
    (b'{"__metadata__":[' + b"[]," * 1_500_000 + b"[]]}", "1048576 values"),
    (b'{"w":' + b"[" * 200_000 + b"]" * 200_000 + b"}", "too deep"),
    (entry([0, 2**70], [0, 0]), "a number of 71 bits in 'w'"),
    (entry([0, 2**62], [0, 0]), "a size of 4611686018427387904"),
    (entry([1] * 200, [0, 4]), "200 axes"),
    (entry([1], [0, 10**4000]), "bits"),
    (b'{"w": ' + b"9" * 5000 + b"}", "too many digits"),
    (b'{"w\xff": 1}', "0xff, which is no UTF-8"),
    (b'{"' + b"w" * 600 + entry([1], [0, 4])[3:], "at most 500 letters"),
  ],
)
def test_safetensors_headers(tmp_path, header, words):
  path = tmp_path / "x.safetensors"
  empty = b"[0, 0]" in header
  write_safetensors(path, header, b"" if empty else b"\0" * 4)
  assert words in one_line_error(path)


def test_msgpack_of_very_many_values(tmp_path, monkeypatch):
  monkeypatch.setattr(msgpack_file, "_MOST_VALUES", 1000)
  path = tmp_path / "x.msgpack"
  path.write_bytes(
    b"\x81\xa1a\xdd" + struct.pack(">I", 10**6) + b"\xc0" * 10**6
  )
  assert "more than 1000 values" in one_line_error(path)


@pytest.mark.parametrize("shard", ["a\0.npz", "\ud800.npz", "a\n.npz"])
def test_names_of_shards_that_no_file_has(tmp_path, shard):
  path = tmp_path / "model.safetensors.index.json"
  path.write_text(json.dumps({"weight_map": {"w": shard}}))
  assert "must name files beside itself" in one_line_error(path)


@pytest.mark.parametrize("name", ["x.safetensors", "x.pt", "x.index.json"])
def test_what_is_no_regular_file_is_not_opened(tmp_path, name):
  """A pipe that nobody writes to would be waited for without end."""
  import os

  os.mkfifo(tmp_path / name)
  assert "readable file, got something else" in one_line_error(tmp_path / name)
  (tmp_path / "link.npz").symlink_to("/dev/zero")
  assert "readable file" in one_line_error(tmp_path / "link.npz")


def test_a_huge_file_of_zeros_is_refused_by_its_beginning(tmp_path):
  for name in ("x.safetensors", "x.npz", "x.npy", "x.msgpack", "x.pt"):
    path = tmp_path / name
    with open(path, "wb") as file:
      file.truncate(1 << 40)  # takes no room on the disk
    one_line_error(path)
    path.unlink()


# Settings that ask for more than the file has.


@pytest.fixture
def folder(tmp_path) -> pathlib.Path:
  return shutil.copytree(MODELS["s3_jax/pictographs"], tmp_path / "model")


def edit(path, *keys_and_value):
  *keys, last, value = keys_and_value
  document = json.loads(path.read_text())
  inner = document
  for key in keys:
    inner = inner[key]
  inner[last] = value
  path.write_text(json.dumps(document))


@pytest.mark.parametrize(
  ("section", "key", "value", "words"),
  [
    ("text_config", "num_hidden_layers", 2000, "text_layers of 2000"),
    ("vision_config", "num_hidden_layers", 200, "image_layers of 200"),
    ("text_config", "max_position_embeddings", 2**31, "below 2^31"),
    ("text_config", "max_position_embeddings", 2**31 - 1, "context_length of"),
    ("text_config", "max_position_embeddings", 10**4000, "below 2^31"),
    ("text_config", "intermediate_size", 2**30, "text_layers of 4"),
    ("text_config", "hidden_size", 2**30, "numbers"),
    ("vision_config", "intermediate_size", 2**31 - 1, "image_layers of 6"),
    ("vision_config", "image_size", 6 * 2**24, "image_size"),
    ("text_config", "layer_norm_eps", 10**400, "a number > 0"),
  ],
)
def test_settings_far_beyond_the_file(
  folder, monkeypatch, section, key, value, words
):
  edit(folder / "config.json", section, key, value)
  if key == "layer_norm_eps":
    edit(folder / "config.json", "vision_config", key, value)
  if key == "image_size":
    edit(folder / "preprocessor_config.json", "size", value)
    edit(folder / "preprocessor_config.json", "crop_size", value)
  monkeypatch.setattr(jax, "eval_shape", None)  # nothing is traced
  with bounded(), pytest.raises(ValueError) as caught:
    load_clip(folder)
  message = str(caught.value)
  assert words in message and str(folder) in message
  assert message.isprintable() and len(message) - len(str(folder)) < 300


def test_many_narrow_blocks(tiny, tiny_params):
  """Settings that need few numbers may still need too many arrays."""
  spec = tiny["clip"]
  arrays = from_params(tiny_params["clip"], spec, "open_clip")
  arrays["filler"] = np.zeros(10**7, "f4")
  many = spec._replace(text_layers=1000)
  with pytest.raises(ValueError, match="text_layers is 1000, got 51 arrays"):
    to_params(arrays, many, "open_clip", "x")


def test_shapes_are_those_of_a_whole_trace(tiny):
  """Blocks are counted up after two of them were traced."""
  names = ("openai/RN50", "openai/ViT-B/32", "google/siglip-base-patch16-224")
  for name in names:
    spec = ZOO[name]
    traced = jax.eval_shape(lambda s=spec: init_params(jax.random.key(0), s))
    expected = {path: leaf.shape for path, leaf in flatten_dict(traced).items()}
    assert param_shapes(spec) == expected
  for spec in [*tiny.values(), *map(ZOO.__getitem__, names)]:
    shapes = param_shapes(spec).values()
    numbers = sum(int(np.prod(shape)) for shape in shapes)
    least = sum(least_numbers(spec).values())
    assert least <= numbers, spec.name
    if spec.name in ZOO:
      assert least > numbers / 4, spec.name


def test_json_that_is_too_much(tmp_path):
  path = tmp_path / "config.json"
  path.write_bytes(b'{"a": 1}' + b" " * (1 << 22))
  with pytest.raises(ValueError, match="must have at most 4194304 bytes"):
    Document(path)
  for text, words in (
    (b"{" * 100_000, "too deep|expecting"),
    (b'{"a": ' + b"[" * 100_000, "too deep"),
    (b'{"a": 1, "a": 2}', "the key 'a' twice"),
    (b'{"a": 1', "expecting ',' delimiter at line 1"),
    (b"[1, 2]", r"an object, got \[1, 2\]"),
    (b"{" + b'"a": [],' * (1 << 20), "at most 1048576 values"),
  ):
    with bounded(), pytest.raises(ValueError, match=f"here must .*({words})"):
      parse_object(text, "here")
  assert parse_object(b'\xef\xbb\xbf{"a": 1}', "here") == {"a": 1}


def test_what_is_shown_of_a_value_is_short():
  shared: list = []
  for _ in range(60):
    shared = [shared, shared]
  for value in (
    shared,
    {"a": shared},
    (shared,),
    "a\n\x1b" * 10**6,
    b"x" * 10**6,
    10**5000,
    -(10**5000),
    [10**5000] * 3,
    ["x" * 1000] * 3,
    None,
    object(),
  ):
    assert len(shown(value)) < 100
    assert shown(value).isprintable()
  assert shown([1, 2]) == "[1, 2]"
  assert shown("a") == "'a'"


def test_a_file_of_the_right_size_is_read_as_before(tmp_path):
  path = tmp_path / "x.safetensors"
  safetensors.numpy.save_file({"a": np.ones((3, 0, 2), "f4")}, path)
  assert read_arrays(path)[0]["a"].shape == (3, 0, 2)
