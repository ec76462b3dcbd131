"""The cache gives back what was stored, or nothing."""

import copy
import io
import json
import threading
import tracemalloc
import warnings
import zipfile

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from s3_jax.storage import cache

KEY = "0" * 64
ARRAYS = {
  "embeddings": np.arange(12, dtype=np.float32).reshape(4, 3),
  "labels": np.array([3, 1, 2, 0], np.int32),
}
EXPECTED = {"embeddings": ((4, 3), "float32"), "labels": ((4,), "int32")}

scalars = (
  st.none()
  | st.booleans()
  | st.integers(-3, 3)
  | st.floats(allow_nan=False, allow_infinity=False, width=32)
  | st.text(max_size=4)
)
values = st.recursive(
  scalars,
  lambda inner: (
    st.lists(inner, max_size=3)
    | st.dictionaries(st.text(max_size=3), inner, max_size=3)
  ),
  max_leaves=5,
)
parts = st.dictionaries(st.text(max_size=5), values, min_size=1, max_size=4)
quick = hypothesis.settings(
  max_examples=60, deadline=None, derandomize=True, database=None
)


def same(a, b):
  """Equality that tells 1 from 1.0 and True, and 0.0 from -0.0."""
  if type(a) is not type(b):
    return False
  if isinstance(a, dict):
    return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
  if isinstance(a, list):
    return len(a) == len(b) and all(map(same, a, b))
  return repr(a) == repr(b)


@quick
@hypothesis.given(parts, parts)
def test_keys_are_equal_exactly_when_parts_are(first, second):
  equal = cache.content_key(first) == cache.content_key(second)
  assert equal == same(first, second)


@quick
@hypothesis.given(parts, values, st.data())
def test_changing_any_one_part_changes_the_key(content, value, data):
  name = data.draw(st.sampled_from(sorted(content)))
  changed = content | {name: value}
  hypothesis.assume(not same(changed, content))
  without = {key: item for key, item in content.items() if key != name}
  keys = {cache.content_key(content), cache.content_key(changed)}
  if without:
    keys.add(cache.content_key(without))
  assert len(keys) == (3 if without else 2)


def test_order_of_names_is_of_no_account_but_of_lists_is():
  assert cache.content_key({"a": 1, "b": 2}) == cache.content_key(
    {"b": 2, "a": 1}
  )
  assert cache.content_key({"a": [1, 2]}) != cache.content_key({"a": [2, 1]})
  assert cache.content_key({"a": (1, 2)}) == cache.content_key({"a": [1, 2]})
  assert cache.content_key({"a": "😀"}) != cache.content_key({"a": "\\ud83d"})


def test_the_schema_is_part_of_the_key(monkeypatch):
  before = cache.content_key({"a": 1})
  monkeypatch.setattr(cache, "_SCHEMA", 2)
  assert cache.content_key({"a": 1}) != before


@pytest.mark.parametrize(
  ("content", "rule"),
  [
    ({}, "at least one part"),
    ({"a": float("nan")}, "part 'a' must be finite, got nan"),
    ({"a": [1.0, {"b": float("inf")}]}, "part 'b' must be finite"),
    ({"a": np.float32(1)}, "got float32"),
    ({"a": {1: 2}}, "must be strings, got 1"),
    ({"a": b"x"}, "got bytes"),
    ({"a": "\ud83d\ude00"}, "lone surrogate"),
  ],
)
def test_parts_that_json_would_confuse_are_refused(content, rule):
  with pytest.raises(ValueError, match=rule):
    cache.content_key(content)


def test_what_is_stored_comes_back(tmp_path):
  folder = tmp_path / "a" / "b"
  assert cache.load(folder, KEY, expected=EXPECTED) is None
  path = cache.store(folder, KEY, ARRAYS, {"model": "tiny", "images": 4})
  got = cache.load(folder, KEY, expected=EXPECTED)
  assert got is not None
  assert got.keys() == ARRAYS.keys()
  for name, array in ARRAYS.items():
    np.testing.assert_array_equal(got[name], array)
    assert got[name].dtype == array.dtype
  assert [file.name for file in folder.iterdir()] == [path.name]
  with np.load(path) as plain:
    header = json.loads(str(plain["header"][()]))
  assert header["metadata"] == {"model": "tiny", "images": 4}
  assert header["schema"] == 1


@pytest.mark.parametrize("shape", [(), (0,), (0, 3), (1, 1)])
@pytest.mark.parametrize("dtype", ["float16", "float64", "int8", "bool"])
def test_degenerate_shapes_come_back(tmp_path, shape, dtype):
  array = np.ones(shape, dtype)
  cache.store(tmp_path, KEY, {"x": array}, {})
  got = cache.load(tmp_path, KEY, expected={"x": (shape, dtype)})
  assert got is not None
  np.testing.assert_array_equal(got["x"], array)


def load_quietly(folder, expected=EXPECTED):
  with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    got = cache.load(folder, KEY, expected=expected)
  return got, [str(item.message) for item in caught]


def test_a_file_cut_at_any_byte_is_never_used(tmp_path):
  path = cache.store(tmp_path, KEY, ARRAYS, {})
  content = path.read_bytes()
  for length in range(0, len(content), 7):
    path.write_bytes(content[:length])
    got, messages = load_quietly(tmp_path)
    assert got is None, length
    assert "computing again" in messages[0]
  path.write_bytes(content[:-1])
  assert load_quietly(tmp_path)[0] is None


def test_altered_bytes_never_change_the_data(tmp_path):
  path = cache.store(tmp_path, KEY, ARRAYS, {"a": 1})
  content = path.read_bytes()
  missed = 0
  for index in range(0, len(content), 3):
    altered = bytearray(content)
    altered[index] ^= 0x41
    path.write_bytes(bytes(altered))
    got, messages = load_quietly(tmp_path)
    # A byte without meaning (a time stamp of the archive) may go unnoticed.
    if got is None:
      missed += 1
      assert messages
    else:
      assert not messages
      assert got.keys() == ARRAYS.keys()
      for name, array in ARRAYS.items():
        np.testing.assert_array_equal(got[name], array)
  assert missed > len(content) / 3 / 3


def rewrite(path, change):
  """Rewrites a valid archive with another header or other arrays."""
  with np.load(path) as archive:
    members = {name: archive[name] for name in archive.files}
  header = json.loads(str(members.pop("header")[()]))
  header, members = change(copy.deepcopy(header), members)
  if header is not None:
    members["header"] = np.array(json.dumps(header))
  buffer = io.BytesIO()
  np.savez(buffer, **members)
  path.write_bytes(buffer.getvalue())


@pytest.mark.parametrize(
  ("change", "reason"),
  [
    (lambda h, m: (h | {"schema": 2}, m), "another schema"),
    (lambda h, m: (h | {"key": "1" * 64}, m), "another key"),
    (lambda h, m: (h | {"sha256": "1" * 64}, m), "checksum"),
    (lambda h, m: (h | {"metadata": {"b": 2}}, m), "checksum"),
    (lambda h, m: (h, m | {"labels": m["labels"] + 1}), "checksum"),
    (lambda h, m: (h, m | {"labels": m["labels"] * 1.0}), "checksum"),
    (lambda h, m: (h, {"labels": m["labels"]}), "checksum"),
    (lambda h, m: (h, m | {"more": m["labels"]}), "checksum"),
    (lambda h, m: (None, m), "damaged"),
    (lambda h, m: ([1], m), "damaged"),
    (lambda h, m: ({}, m), "damaged"),
  ],
)
def test_a_valid_archive_with_other_content_is_not_used(
  tmp_path, change, reason
):
  path = cache.store(tmp_path, KEY, ARRAYS, {"b": 1})
  rewrite(path, change)
  with pytest.warns(UserWarning, match=reason):
    assert cache.load(tmp_path, KEY, expected=EXPECTED) is None


@pytest.mark.parametrize(
  "expected",
  [
    {"embeddings": ((4, 3), "float32")},
    EXPECTED | {"labels": ((5,), "int32")},
    EXPECTED | {"labels": ((4,), "int64")},
    EXPECTED | {"more": ((4,), "int32")},
  ],
)
def test_other_shapes_than_expected_are_not_used(tmp_path, expected):
  cache.store(tmp_path, KEY, ARRAYS, {})
  with pytest.warns(UserWarning, match="other shapes"):
    assert cache.load(tmp_path, KEY, expected=expected) is None


def test_pickles_are_never_read(tmp_path):
  class Trap:
    def __reduce__(self):
      return (pytest.fail, ("unpickled",))

  buffer = io.BytesIO()
  with zipfile.ZipFile(buffer, "w") as archive:
    inner = io.BytesIO()
    np.save(inner, np.array([Trap()], dtype=object), allow_pickle=True)
    archive.writestr("header.npy", inner.getvalue())
  (tmp_path / f"{KEY}.npz").write_bytes(buffer.getvalue())
  with pytest.warns(UserWarning, match="damaged"):
    assert cache.load(tmp_path, KEY, expected=EXPECTED) is None


def test_a_folder_in_the_place_of_the_file_is_a_miss(tmp_path):
  (tmp_path / f"{KEY}.npz").mkdir()
  with pytest.warns(UserWarning, match="not used"):
    assert cache.load(tmp_path, KEY, expected=EXPECTED) is None


@pytest.mark.parametrize("key", ["", "../x", "0" * 63, "G" * 64, "0" * 65])
def test_a_key_is_hexadecimal_so_it_stays_in_the_folder(tmp_path, key):
  with pytest.raises(ValueError, match="`key` must be 64"):
    cache.load(tmp_path, key, expected=EXPECTED)
  with pytest.raises(ValueError, match="`key` must be 64"):
    cache.store(tmp_path, key, ARRAYS, {})


@pytest.mark.parametrize(
  "arrays",
  [
    {"header": np.zeros(1)},
    {"file": np.zeros(1)},
    {"../x": np.zeros(1)},
    {"x": np.array(["text"])},
    {"x": np.array([None])},
  ],
)
def test_store_refuses_what_it_could_not_give_back(tmp_path, arrays):
  with pytest.raises(ValueError, match="`arrays` must"):
    cache.store(tmp_path, KEY, arrays, {})
  assert not list(tmp_path.iterdir())


def test_concurrent_writers_and_readers_see_whole_files(tmp_path):
  sets = [{"x": np.full((200, 8), float(i), np.float32)} for i in range(4)]
  expected = {"x": ((200, 8), "float32")}
  cache.store(tmp_path, KEY, sets[0], {})
  failures = []

  def write(arrays):
    for _ in range(8):
      cache.store(tmp_path, KEY, arrays, {})

  def read():
    for _ in range(20):
      got = cache.load(tmp_path, KEY, expected=expected)
      if got is None or np.ptp(got["x"]) != 0:
        failures.append(got)

  threads = [threading.Thread(target=write, args=(s,)) for s in sets]
  threads += [threading.Thread(target=read) for _ in range(2)]
  for thread in threads:
    thread.start()
  for thread in threads:
    thread.join()
  assert not failures
  assert len(list(tmp_path.iterdir())) == 1


def bomb_of(path, size, *, name="embeddings"):
  """Packs so many zeros into a file that is a thousand times smaller."""
  buffer = io.BytesIO()
  header = {"descr": "|u1", "fortran_order": False, "shape": (size,)}
  np.lib.format.write_array_header_1_0(buffer, header)
  with (
    zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive,
    archive.open(f"{name}.npy", "w") as member,
  ):
    member.write(buffer.getvalue())
    for _ in range(size // 1_000_000):
      member.write(bytes(1_000_000))


def test_a_file_that_unpacks_to_more_than_it_is_is_not_unpacked(tmp_path):
  path = tmp_path / f"{KEY}.npz"
  bomb_of(path, 300_000_000)
  assert path.stat().st_size < 1_000_000
  tracemalloc.start()
  try:
    for expected in (EXPECTED, {"embeddings": ((None,), "uint8")}):
      with pytest.warns(UserWarning, match="it is damaged"):
        assert cache.load(tmp_path, KEY, expected=expected) is None
    assert cache.peek(path, "embeddings", most=1 << 40) is None
    assert tracemalloc.get_traced_memory()[1] < 30_000_000
  finally:
    tracemalloc.stop()


def test_a_file_larger_than_what_it_should_hold_is_not_read(tmp_path):
  path = cache.store(tmp_path, KEY, {"x": np.zeros(20_000_000, np.uint8)}, {})
  expected = {"x": ((4,), "uint8")}
  with pytest.warns(UserWarning, match="larger than what it should hold"):
    assert cache.load(tmp_path, KEY, expected=expected) is None
  assert cache.peek(path, "x", most=1000) is None
  assert len(cache.peek(path, "x", most=20_000_000)) == 20_000_000
  assert cache.peek(path, "y", most=1000) is None
  assert cache.peek(tmp_path / "none", "x", most=1000) is None


def test_a_length_may_be_any(tmp_path):
  for rows in (0, 1, 7):
    array = np.arange(3 * rows, dtype=np.int64).reshape((rows, 3))
    cache.store(tmp_path, KEY, {"x": array}, {})
    got = cache.load(tmp_path, KEY, expected={"x": ((None, 3), "int64")})
    assert got is not None
    np.testing.assert_array_equal(got["x"], array)
  for other in (((None, 2), "int64"), ((None,), "int64"), ((7, 3), "int32")):
    with pytest.warns(UserWarning, match="other shapes"):
      assert cache.load(tmp_path, KEY, expected={"x": other}) is None
