"""Embeddings in files: every form, Tip-Adapter's caches, every bad input."""

import json
import os
import pathlib
import re
import zipfile

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from s3_jax.storage import (
  pad_texts,
  read_image_embeddings,
  read_text_embeddings,
  write_image_embeddings,
  write_text_embeddings,
)

IMAGES, TEXTS, DIM = 7, 5, 6
LABELS = [0, 1, 2, 2, 1, 0, 2]
CLASSES = [0, 2, 1, 0, 2]
NAMES = ["a cat", "the sun", "häuser", "kitty", "a sun"]
FORMS = [0, 1, 0, 2, 0]


def rows(count, seed=0):
  drawn = np.random.default_rng(seed).normal(size=(count, DIM))
  return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)


def unit(array):
  array = np.asarray(array, np.float64)
  return array / np.linalg.norm(array, axis=1, keepdims=True)


def tensors(arrays):
  return {key: torch.tensor(np.asarray(value)) for key, value in arrays.items()}


def write(path, arrays, described=None):
  """Writes arrays in the form of the suffix, and a JSON beside them."""
  if path.suffix == ".npz":
    np.savez(path, **arrays)
  elif path.suffix == ".npy":
    (array,) = arrays.values()
    np.save(path, array)
  elif path.suffix == ".safetensors":
    save_file(tensors(arrays), path)
  else:
    torch.save(tensors(arrays), path)
  if described is not None:
    path.with_suffix(".json").write_text(json.dumps(described))
  return path


SUFFIXES = (".npz", ".safetensors", ".pt", ".pth")


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("key", ["embeddings", "x", "features"])
@pytest.mark.parametrize("labels_key", ["labels", "y", "targets"])
@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
def test_images_of_every_form(suffix, key, labels_key, kind, tmp_path):
  given = rows(IMAGES).astype(kind)
  path = write(
    tmp_path / f"some{suffix}",
    {key: given, labels_key: np.array(LABELS, np.int16)},
  )
  read = read_image_embeddings(path)
  assert read.embeddings.dtype == np.float32 and read.normalized
  np.testing.assert_allclose(read.embeddings, unit(given), atol=1e-6)
  assert read.labels is not None and read.labels.dtype == np.int32
  assert read.labels.tolist() == LABELS
  assert read.files == tuple("0123456")
  assert len(read.sha256) == 64


def test_compressed_archives_are_read(tmp_path):
  np.savez_compressed(tmp_path / "x.npz", x=rows(IMAGES), y=LABELS)
  read = read_image_embeddings(str(tmp_path / "x.npz"))
  np.testing.assert_allclose(read.embeddings, rows(IMAGES), atol=1e-6)


@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
def test_bfloat16_is_read(suffix, tmp_path):
  given = torch.tensor(rows(IMAGES)).to(torch.bfloat16)
  path = tmp_path / f"x{suffix}"
  if suffix == ".pt":
    torch.save({"x": given}, path)
  else:
    save_file({"x": given}, path)
  read = read_image_embeddings(path)
  assert read.normalized and read.labels is None
  np.testing.assert_allclose(
    read.embeddings, unit(given.to(torch.float64).numpy()), atol=1e-6
  )


@pytest.mark.parametrize("factor", [1e-30, 0.5, 7.0, 1e30])
@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_other_lengths_are_normalised_and_said(factor, kind, tmp_path):
  given = (factor * rows(IMAGES)).astype(kind)
  read = read_image_embeddings(write(tmp_path / "x.npz", {"x": given}))
  assert not read.normalized
  np.testing.assert_allclose(read.embeddings, rows(IMAGES), atol=1e-6)


def test_the_ends_of_float64_neither_overflow_nor_vanish(tmp_path):
  given = rows(4) * np.array([[1e300], [1e-300], [1.0], [1e308]])
  read = read_image_embeddings(write(tmp_path / "x.npz", {"x": given}))
  np.testing.assert_allclose(read.embeddings, rows(4), atol=1e-6)


def test_one_long_row_is_enough_to_say_so(tmp_path):
  given = rows(IMAGES)
  given[5] *= 1.01
  read = read_image_embeddings(write(tmp_path / "x.npz", {"x": given}))
  assert not read.normalized


def test_unit_rows_keep_their_bits(tmp_path):
  given = rows(IMAGES).astype(np.float32)
  write_image_embeddings(tmp_path / "x.npz", given)
  read = read_image_embeddings(tmp_path / "x.npz")
  np.testing.assert_array_equal(read.embeddings, given)


def test_npy_with_a_json_beside_it(tmp_path):
  path = write(
    tmp_path / "x.npy",
    {"": rows(IMAGES).astype(np.float16)},
    {"labels": LABELS, "files": [f"{i}.jpg" for i in range(IMAGES)]},
  )
  read = read_image_embeddings(path)
  assert read.labels is not None and read.labels.tolist() == LABELS
  assert read.files[3] == "3.jpg"
  texts = write(
    tmp_path / "t.npy",
    {"": rows(TEXTS)},
    {"names": NAMES, "class_index": CLASSES, "forms": FORMS},
  )
  read = read_text_embeddings(texts)
  assert read.names == tuple(NAMES) and read.forms is not None
  assert read.forms.tolist() == FORMS and read.form_names == ()


def test_fortran_order_is_no_other_matrix(tmp_path):
  np.save(tmp_path / "x.npy", np.asfortranarray(rows(IMAGES)))
  read = read_image_embeddings(tmp_path / "x.npy")
  np.testing.assert_allclose(read.embeddings, rows(IMAGES), atol=1e-6)


def test_a_json_of_another_name(tmp_path):
  path = write(tmp_path / "x.npy", {"": rows(TEXTS)})
  (tmp_path / "words.json").write_text(json.dumps(NAMES))
  read = read_text_embeddings(path, json_path=tmp_path / "words.json")
  assert read.names == tuple(NAMES) and read.class_index is None


def test_one_json_may_describe_a_folder(tmp_path):
  path = write(tmp_path / "t.npz", {"v": rows(TEXTS)})
  other = write(tmp_path / "u.npz", {"v": rows(TEXTS)})
  document = {"t": {"template": "a {}", "names": NAMES}}
  (tmp_path / "names.json").write_text(json.dumps(document))
  read = read_text_embeddings(path)
  assert read.names == tuple(NAMES) and read.form_names == ("a {}",)
  assert read_text_embeddings(other).names is None


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_texts_of_every_form(suffix, tmp_path):
  path = write(
    tmp_path / f"t{suffix}",
    {"v": rows(TEXTS).astype(np.float16), "class_index": np.array(CLASSES)},
    {"names": NAMES, "forms": ["{}", "a {}", "{}", "long", "{}"]},
  )
  read = read_text_embeddings(path)
  assert read.normalized and read.names == tuple(NAMES)
  assert read.class_index is not None
  assert read.class_index.tolist() == CLASSES
  assert read.forms is not None and read.forms.tolist() == FORMS
  assert read.form_names == ("{}", "a {}", "long")
  table = pad_texts(read)
  assert table.texts == (
    ("a cat", "kitty"),
    ("häuser",),
    ("the sun", "a sun"),
  )
  assert table.mask.tolist() == [[True, True], [True, False], [True, True]]
  assert table.forms.tolist() == [[0, 2], [0, 0], [1, 0]]
  assert table.forms.dtype == np.int32
  np.testing.assert_array_equal(table.embeddings[2, 1], read.embeddings[4])
  np.testing.assert_array_equal(table.embeddings[1, 1], np.zeros(DIM))


def test_lists_of_classes_say_the_classes(tmp_path):
  path = write(
    tmp_path / "t.npz",
    {"v": rows(TEXTS)},
    {"texts": [["a", "b"], ["c"], ["d", "e"]], "classes": [11, 25, 28]},
  )
  read = read_text_embeddings(path)
  assert read.names == tuple("abcde") and read.class_names == ()
  assert read.class_index is not None
  assert read.class_index.tolist() == [0, 0, 1, 2, 2]


def test_texts_go_out_and_come_back(tmp_path):
  given = rows(TEXTS).astype(np.float32)
  write_text_embeddings(
    tmp_path / "new" / "t.npz",
    given,
    NAMES,
    class_index=np.array(CLASSES),
    forms=np.array(FORMS),
    form_names=("{}", "a {}", "long"),
    class_names=("cat", "house", "sun"),
  )
  read = read_text_embeddings(tmp_path / "new" / "t.npz")
  np.testing.assert_array_equal(read.embeddings, given)
  assert read.names == tuple(NAMES)
  assert read.class_names == ("cat", "house", "sun")
  assert read.class_index is not None and read.forms is not None
  assert read.class_index.tolist() == CLASSES and read.forms.tolist() == FORMS
  assert os.listdir(tmp_path / "new") == ["t.npz"]


def test_a_write_that_fails_leaves_the_old_file(tmp_path, monkeypatch):
  given = rows(TEXTS).astype(np.float32)
  write_image_embeddings(tmp_path / "x.npz", given)

  def full(file, **arrays):
    del arrays
    file.write(b"PK")
    raise OSError(28, "No space left on device")

  monkeypatch.setattr(np, "savez", full)
  with pytest.raises(OSError, match="No space"):
    write_image_embeddings(tmp_path / "x.npz", -given)
  assert os.listdir(tmp_path) == ["x.npz"]
  read = read_image_embeddings(tmp_path / "x.npz")
  np.testing.assert_array_equal(read.embeddings, given)


def test_chosen_rows_keep_their_numbers(tmp_path):
  images = write(tmp_path / "x.npz", {"x": rows(IMAGES), "y": LABELS})
  chosen = write(
    tmp_path / "set.npz",
    {"v": rows(2), "image_rows": np.array([5, 2]), "y": np.array([1, 0])},
  )
  read = read_image_embeddings(images, labels_path=chosen)
  np.testing.assert_allclose(read.embeddings, rows(IMAGES)[[5, 2]], atol=1e-6)
  assert read.labels is not None and read.labels.tolist() == [1, 0]
  assert read.files == ("5", "2")


# Tip-Adapter's caches.


def cuda(path):
  """Makes a file say that its storages were on a GPU."""
  cpu, gpu = b"X\x03\x00\x00\x00cpu", b"X\x06\x00\x00\x00cuda:0"
  with zipfile.ZipFile(path) as archive:
    members = {info: archive.read(info) for info in archive.infolist()}
  changed = 0
  with zipfile.ZipFile(path, "w") as archive:
    for info, content in members.items():
      if info.filename.endswith("data.pkl"):
        changed += content.count(cpu)
        content = content.replace(cpu, gpu)
      archive.writestr(info.filename, content)
  assert changed
  return path


@pytest.mark.parametrize("where", ["cpu", "cuda"])
@pytest.mark.parametrize("kind", [torch.float16, torch.float32])
def test_tip_adapters_test_features(where, kind, tmp_path):
  given = torch.tensor(rows(IMAGES)).to(kind)
  torch.save(given, tmp_path / "test_f.pt")
  torch.save(torch.tensor(LABELS), tmp_path / "test_l.pt")
  if where == "cuda":
    cuda(tmp_path / "test_f.pt")
    cuda(tmp_path / "test_l.pt")
  read = read_image_embeddings(
    tmp_path / "test_f.pt", labels_path=tmp_path / "test_l.pt"
  )
  assert read.normalized
  np.testing.assert_allclose(read.embeddings, unit(given.numpy()), atol=1e-6)
  assert read.labels is not None and read.labels.tolist() == LABELS


def test_tip_adapters_cache_of_training_images(tmp_path):
  given = torch.tensor(rows(IMAGES)).half()
  one_hot = torch.nn.functional.one_hot(torch.tensor(LABELS)).half()
  # `permute` leaves a view that is not contiguous, and that is what is saved.
  torch.save(given.permute(1, 0), tmp_path / "keys_16shots.pt")
  torch.save(one_hot, tmp_path / "values_16shots.pt")
  read = read_image_embeddings(
    tmp_path / "keys_16shots.pt", labels_path=tmp_path / "values_16shots.pt"
  )
  np.testing.assert_allclose(read.embeddings, unit(given.numpy()), atol=1e-6)
  assert read.labels is not None and read.labels.tolist() == LABELS


def test_as_many_keys_as_dimensions_cannot_be_told(tmp_path):
  torch.save(torch.tensor(rows(DIM)), tmp_path / "keys.pt")
  torch.save(torch.eye(DIM), tmp_path / "values.pt")
  message = refused(tmp_path / "keys.pt", labels_path=tmp_path / "values.pt")
  assert "rows cannot be told from columns" in message
  torch.save(torch.arange(DIM), tmp_path / "values.pt")
  read = read_image_embeddings(
    tmp_path / "keys.pt", labels_path=tmp_path / "values.pt"
  )
  np.testing.assert_allclose(read.embeddings, rows(DIM), atol=1e-6)


# Bad input: one line each.


def refused(path, read=read_image_embeddings, **options):
  with pytest.raises(ValueError) as caught:
    read(path, **options)
  message = str(caught.value)
  assert "\n" not in message
  short = message.replace(str(pathlib.Path(path).parent), "")
  assert len(short) <= 300
  return message


def with_row(row, values):
  array = rows(IMAGES)
  array[row] = values
  return array


BAD_IMAGES = {
  "one axis": ({"x": rows(IMAGES)[0]}, r"shape \[rows, dim\].*\(6,\)"),
  "three axes": ({"x": rows(IMAGES)[None]}, r"got \(1, 7, 6\)"),
  "no image": ({"x": np.zeros((0, 4))}, r"at least one.*\(0, 4\)"),
  "no dimension": ({"x": np.zeros((4, 0))}, r"at least one.*\(4, 0\)"),
  "NaN": ({"x": with_row(3, np.nan)}, "finite, got nan in row 3"),
  "infinity": ({"x": with_row(6, -np.inf)}, "finite, got -inf in row 6"),
  "zeros": ({"x": with_row(2, 0)}, "no row of zeros.*row 2"),
  "whole numbers": ({"x": np.ones((2, 2), np.int8)}, "floating .* int8"),
  "texts": ({"x": np.array([["a"]])}, "floating numbers"),
  "few labels": ({"x": rows(7), "y": [1, 2]}, "each image, 7 in all, got 2"),
  "half a label": ({"x": rows(2), "y": [0, 1.5]}, "whole numbers.*1.5 at 1"),
  "negative": ({"x": rows(2), "y": [0, -1]}, ">= 0.*-1 at 1"),
  "huge": ({"x": rows(2), "y": [0, 2**40]}, "below 16777216.* at 1"),
  "no number": ({"x": rows(2), "y": [0, np.nan]}, "whole numbers.*nan at 1"),
  "yes and no": ({"x": rows(2), "y": [True, False]}, "array of bool"),
  "names": ({"x": rows(2), "y": np.array(["a", "b"])}, "whole numbers.*str"),
  "not one-hot": ({"x": rows(2), "y": np.ones((2, 3))}, "one-hot"),
  "two embeddings": ({"x": rows(2), "features": rows(2)}, "once.*beside"),
  "unknown key": ({"x": rows(2), "odd": [1]}, "keys among .*got 'odd'"),
  "no embeddings": ({"y": [0, 1]}, "must hold embeddings, got labels"),
}


@pytest.mark.parametrize("name", BAD_IMAGES)
def test_bad_images(name, tmp_path):
  arrays, rule = BAD_IMAGES[name]
  message = refused(write(tmp_path / "x.npz", arrays))
  assert re.search(rule, message), message
  assert "x.npz" in message


BAD_TEXTS = {
  "few names": ({}, {"names": NAMES[:4]}, "each text, 5 in all, got 4"),
  "a blank name": ({}, {"names": [*NAMES[:4], " "]}, "got ' ' at 4"),
  "a number": ({}, {"names": [*NAMES[:4], 7]}, "got 7 at 4"),
  "broken text": ({}, {"names": [*NAMES[:4], "\ud800"]}, "read, got .* at 4"),
  "names as number": ({}, {"names": 5}, "list of texts, got int"),
  "a gap": ({"class_index": [0, 1, 3, 3, 0]}, None, "none for 1 .*is 2"),
  "far": ({"class_index": [0, 1, 2**23, 3, 0]}, None, "the first is 2"),
  "few classes": ({"class_index": [0]}, None, "each text, 5 in all, got 1"),
  "a class of true": ({}, {"class_index": [True] * 5}, "got True at 0"),
  "huge class": ({}, {"class_index": [0, 0, 0, 0, 10**400]}, "at 4"),
  "an empty class": ({}, {"names": [["a"], []]}, r"none empty, got \[\] at 1"),
  "few forms": ({"forms": [0]}, None, "each text, 5 in all, got 1"),
  "form beyond": (
    {"forms": [0, 1, 2, 0, 0]},
    {"form_names": ["a", "b"]},
    "below 2.*got 2",
  ),
  "one form twice": ({"forms": FORMS}, {"form_names": list("aab")}, "repeat"),
  "no template": ({}, {"template": 5}, "got 5 at 0"),
  "odd form": (
    {},
    {"forms": ["a", "a", "a", "a", "c"], "form_names": ["a", "b"]},
    "got 'c'",
  ),
  "few class names": (
    {"class_index": [0, 1, 1, 1, 1]},
    {"classes": ["a"]},
    "each class, 2 in all, got 1",
  ),
  "twice": ({"names": np.array(NAMES)}, {"names": NAMES}, "names once"),
  "odd key": ({}, {"names": NAMES, "odd": 1}, "got 'odd'"),
  "other classes": (
    {"class_index": [0, 0, 1, 1, 1]},
    {"names": [["a"], ["b", "c", "d", "e"]]},
    "agree with the lists",
  ),
}


@pytest.mark.parametrize("name", BAD_TEXTS)
def test_bad_texts(name, tmp_path):
  arrays, described, rule = BAD_TEXTS[name]
  path = write(tmp_path / "t.npz", {"v": rows(TEXTS), **arrays}, described)
  message = refused(path, read_text_embeddings)
  assert re.search(rule, message), message


@pytest.mark.parametrize("text", ["", "[", "3", '{"names": [], "names": []}'])
def test_a_broken_json_beside(text, tmp_path):
  path = write(tmp_path / "t.npz", {"v": rows(TEXTS)})
  path.with_suffix(".json").write_text(text)
  assert "t.json must" in refused(path, read_text_embeddings)


@pytest.mark.parametrize("suffix", [".npz", ".npy", ".safetensors", ".pt"])
def test_empty_cut_off_and_absent_files(suffix, tmp_path):
  path = tmp_path / f"x{suffix}"
  assert "must be a readable file" in refused(path)
  path.write_bytes(b"")
  assert f"x{suffix} must" in refused(path)
  write(path, {"x": rows(IMAGES)})
  whole = path.read_bytes()
  for size in (1, 20, len(whole) // 2, len(whole) - 1):
    path.write_bytes(whole[:size])
    assert f"x{suffix} must" in refused(path)


def test_other_suffixes(tmp_path):
  (tmp_path / "x.pkl").write_bytes(b"")
  assert ".npz, .npy, .safetensors, .pt, .pth" in refused(tmp_path / "x.pkl")


def test_a_size_that_the_file_does_not_have(tmp_path):
  path = tmp_path / "x.npy"
  np.save(path, rows(IMAGES))
  content = path.read_bytes()
  path.write_bytes(content.replace(b"(7, 6), ", b"(99999999, 99999999), ", 1))
  assert "must be an array" in refused(path)
  header = b"(700000000000, 6), }"
  start = content.index(b"(7, 6), }")
  end = start + len(header)
  path.write_bytes(content[:start] + header + content[end:])
  assert "bytes for" in refused(path)


class _Payload:
  def __reduce__(self):
    return (os.system, ("touch executed",))


@pytest.mark.parametrize("suffix", [".npz", ".npy", ".pt"])
def test_nothing_in_a_file_is_executed(suffix, tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  path = tmp_path / f"x{suffix}"
  objects = np.array([_Payload()], object)
  if suffix == ".npz":
    np.savez(path, x=objects)
  elif suffix == ".npy":
    np.save(path, objects, allow_pickle=True)
  else:
    torch.save(_Payload(), path)
  message = refused(path)
  assert "|O" in message or "system" in message
  assert not (tmp_path / "executed").exists()


def test_image_rows_must_be_there(tmp_path):
  images = write(tmp_path / "x.npz", {"x": rows(IMAGES)})
  for chosen, rule in (([0, 7], "below 7, got 7"), ([2, 2], "none twice")):
    given = write(tmp_path / "s.npz", {"image_rows": chosen, "y": [0, 1]})
    assert rule in refused(images, labels_path=given)
  given = write(tmp_path / "s.npz", {"image_rows": [3], "y": [0, 1]})
  assert "1 in all, got 2" in refused(images, labels_path=given)
  given = write(tmp_path / "s.npz", {"odd": [3]})
  assert "must hold labels under one of" in refused(images, labels_path=given)


def test_texts_without_classes_need_rows(tmp_path):
  read = read_text_embeddings(write(tmp_path / "t.npz", {"v": rows(TEXTS)}))
  with pytest.raises(ValueError, match="`rows` must say"):
    pad_texts(read)
  with pytest.raises(ValueError, match="none for class 1"):
    pad_texts(read, rows=((0,), ()))
  table = pad_texts(read, rows=((3, 1), (4,)))
  assert table.texts == (("text 3", "text 1"), ("text 4",))
  np.testing.assert_array_equal(table.embeddings[0], read.embeddings[[3, 1]])
  assert not table.forms.any()


@pytest.mark.parametrize(
  ("name", "images", "expected"),
  [
    ("imagenet84", "imagenet_train4", 75.30),
    ("imagenet1000", "imagenet_train4", 58.90),
    ("lvis1203", "lvis_exemplar_mean5", 62.84),
  ],
)
def test_real_embeddings_give_the_known_first_row(
  name, images, expected, reference
):
  folder = reference / "real_vitb32"
  if not folder.is_dir():
    pytest.skip("the real embeddings are not there")
  chosen = folder / "sets" / f"{name}.npz"
  read = read_image_embeddings(
    folder / "images" / f"{images}.npz", labels_path=chosen
  )
  table = pad_texts(read_text_embeddings(chosen))
  predicted = np.argmax(read.embeddings @ table.embeddings[:, 0].T, axis=1)
  assert read.normalized == (images == "imagenet_train4")
  assert 100 * np.mean(predicted == read.labels) == pytest.approx(
    expected, abs=0.006
  )


@pytest.mark.parametrize("stem", ["texts", "names", "embeddings"])
def test_a_stem_that_is_a_key_is_no_entry(stem, tmp_path):
  path = write(
    tmp_path / f"{stem}.npz",
    {"v": rows(TEXTS)},
    {"texts": NAMES, "class_index": CLASSES, "classes": ["a", "b", "c"]},
  )
  read = read_text_embeddings(path)
  assert read.names == tuple(NAMES) and read.class_names == ("a", "b", "c")


def test_names_beside_images_are_not_theirs(tmp_path):
  path = write(tmp_path / "x.npz", {"x": rows(IMAGES)})
  (tmp_path / "names.json").write_text(json.dumps(NAMES))
  assert read_image_embeddings(path).files == tuple("0123456")
  texts = write(tmp_path / "t.npy", {"": rows(TEXTS)})
  assert read_text_embeddings(texts).names == tuple(NAMES)


def test_a_signalling_nan_is_a_nan(tmp_path):
  bits = np.full((2, 2), 0x3F800000, np.uint32)
  bits[1, 0] = 0x7FA00000
  path = write(tmp_path / "x.npz", {"x": bits.view(np.float32)})
  assert "got nan in row 1" in refused(path)
