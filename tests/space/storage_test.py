"""Spaces come back to the bit, or not at all."""

import inspect
import json

import jax
import numpy as np
import pytest
import safetensors
import safetensors.numpy

from s3_jax.space import attach_complex, build_space, load_space, save_space
from s3_jax.space.storage import _canonical, _describe, _digest

_checked_load = inspect.unwrap(load_space)


@pytest.mark.parametrize("with_complex", [False, True])
@pytest.mark.parametrize(
  ("classes", "synonyms"), [(5, 6), (1, 1), (2, 0), (0, 3), (0, 0)]
)
def test_round_trip(
  tmp_path, clouds, assert_equal, classes, synonyms, with_complex
):
  space = build_space(*clouds(classes, synonyms), scale="gap")
  if with_complex:
    space = attach_complex(space)
  path = tmp_path / "new" / "space.safetensors"
  digest = save_space(path, space)
  again = load_space(path)
  assert all(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(again))
  assert_equal(again, space)
  assert [file.name for file in path.parent.iterdir()] == [path.name]
  # Equal spaces, equal files; other libraries can read them.
  before = path.read_bytes()
  assert save_space(str(path), again) == digest
  assert path.read_bytes() == before
  with safetensors.safe_open(path, "np") as file:
    metadata = json.loads(file.metadata()["s3_jax_space"])
    assert "points" in set(file.keys())
  assert metadata["schema"] == 1
  assert metadata["sha256"] == digest
  assert metadata["fields"]["points"] == {
    "shape": [classes, synonyms, 16],
    "dtype": "float32",
  }


def test_the_hash_is_that_of_the_content(tmp_path, clouds):
  space = build_space(*clouds(3, 4), scale="gap")
  digests = {
    save_space(tmp_path / "file", changed)
    for changed in (
      space,
      attach_complex(space),
      space._replace(mask=~space.mask),
      space._replace(points=-space.points),
      space._replace(deaths=space.deaths + 1),
      jax.tree.map(lambda leaf: leaf[:2], space),
    )
  }
  assert len(digests) == 6
  assert all(len(digest) == 64 for digest in digests)


@pytest.fixture(scope="module")
def stored(tmp_path_factory, clouds):
  path = tmp_path_factory.mktemp("stored") / "space.safetensors"
  points, mask = clouds(2, 3, dim=3)
  mask[:] = True
  save_space(path, attach_complex(build_space(points, mask, scale="gap")))
  return path.read_bytes()


def _refused(path, content, reason="`path` must be a file that"):
  path.write_bytes(content)
  with pytest.raises(ValueError, match=reason) as error:
    _checked_load(path)
  assert "\n" not in str(error.value)
  assert str(path) in str(error.value)


def test_a_file_cut_off_anywhere_is_refused(tmp_path, stored):
  for end in [*range(0, 24), *range(24, len(stored), 97), len(stored) - 1]:
    _refused(tmp_path / "cut", stored[:end])
  _refused(tmp_path / "long", stored + b"\0")


def test_a_file_altered_anywhere_is_refused(tmp_path, stored):
  for index in [*range(0, 24), *range(24, len(stored), 13)]:
    altered = bytearray(stored)
    altered[index] ^= 0x41
    _refused(tmp_path / "altered", bytes(altered))


def test_files_of_other_kinds_are_refused(tmp_path, stored):
  arrays = safetensors.numpy.load(stored)
  foreign = [
    b"{}",
    b"PK\3\4 an archive",
    json.dumps({"points": []}).encode(),
    safetensors.numpy.save({"weight": np.zeros(3)}),
    safetensors.numpy.save(arrays),
    safetensors.numpy.save(arrays, {"format": "pt"}),
    safetensors.numpy.save(arrays, {"s3_jax_space": "no JSON"}),
    safetensors.numpy.save(arrays, {"s3_jax_space": "[]"}),
    safetensors.numpy.save(arrays, {"s3_jax_space": "3"}),
    safetensors.numpy.save(arrays, {"s3_jax_space": '{"sha256": "0"}'}),
  ]
  for content in foreign:
    _refused(tmp_path / "foreign", content, "damaged or of another kind")


def _signed(arrays, schema=1):
  """A file whose checksum is right whatever it holds."""
  arrays = {name: np.ascontiguousarray(x) for name, x in arrays.items()}
  description = {**_describe(arrays), "schema": schema}
  digest = _digest(description, arrays)
  metadata = _canonical({**description, "sha256": digest})
  return safetensors.numpy.save(arrays, {"s3_jax_space": metadata})


def test_another_schema_is_refused(tmp_path, stored):
  arrays = safetensors.numpy.load(stored)
  _refused(tmp_path / "file", _signed(arrays, 2), "has schema 2, and 1 is read")


def test_swapped_arrays_are_refused(tmp_path, stored):
  arrays = safetensors.numpy.load(stored)
  with_right_hash = json.loads(
    json.loads(stored[8 : 8 + int.from_bytes(stored[:8], "little")])[
      "__metadata__"
    ]["s3_jax_space"]
  )
  arrays["points"], arrays["gram"] = arrays["gram"], arrays["points"]
  content = safetensors.numpy.save(
    arrays, {"s3_jax_space": json.dumps(with_right_hash)}
  )
  _refused(tmp_path / "file", content, "its sha256 does not match")


@pytest.mark.parametrize(
  "change",
  [
    lambda a: a.pop("mask"),
    lambda a: a.pop("complex.count"),
    lambda a: a.update(extra=np.zeros(2, np.float32)),
    lambda a: a.update(points=a["points"].astype(np.float64)),
    lambda a: a.update(points=a["points"][0]),
    lambda a: a.update(deaths=a["deaths"][:, :1]),
    lambda a: a.update(gram=a["gram"][:1]),
    lambda a: a.update({"complex.simplices": a["complex.simplices"][:, :, 0]}),
    lambda a: a.update({"complex.diameters": a["complex.diameters"][:, 1:]}),
  ],
)
def test_arrays_that_make_no_space_are_refused(tmp_path, stored, change):
  arrays = safetensors.numpy.load(stored)
  right = tmp_path / "right"
  right.write_bytes(_signed(arrays))
  load_space(right)
  change(arrays)
  _refused(tmp_path / "wrong", _signed(arrays), "arrays that make no space")


def test_an_absent_file_is_an_os_error(tmp_path):
  with pytest.raises(FileNotFoundError):
    load_space(tmp_path / "none")
