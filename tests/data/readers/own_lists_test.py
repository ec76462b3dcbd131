"""Lists of one's own images: other columns, labels, names of files, clutter."""

import os
import unicodedata

import pytest

from s3_jax.data.datasets import (
  DATASETS,
  official_names,
  open_dataset,
  open_own,
)
from s3_jax.experiment.tasks.benchmark.sets import find_sets
from tests.benchmark_replicas import encoded

JPEG = encoded(0, 0, 8)


@pytest.fixture
def listed(tmp_path):
  """Writes four images and a list; opens the list."""

  def open_list(text, names=None):
    for name in ("1.jpg", "2.jpg", "3.jpg", "4.JPG"):
      (tmp_path / name).write_bytes(JPEG)
    (tmp_path / "list.csv").write_bytes(text.encode())
    opened, found = open_own(tmp_path / "list.csv", names)
    labels = [opened.records[n]["label"] for n in range(len(opened.records))]
    return list(zip(opened.files, labels, strict=True)), found, opened.found

  return open_list


CATS = [("1.jpg", 0), ("2.jpg", 1)]


@pytest.mark.parametrize(
  ("text", "notes"),
  [
    ("image_path,category\n1.jpg,cat\n2.jpg,dog\n", ["header"]),
    ("label,path\ncat,1.jpg\ndog,2.jpg\n", ["header", "paths in column 2"]),
    ("cat,1.jpg\ndog,2.jpg\n", ["paths in column 2"]),
    ("Bild,Tier\n1.jpg,cat\n2.jpg,dog\n", ["header"]),
    ("\ufeffImage;Species\n1.jpg;cat\n2.jpg;dog\n", ["header"]),
    ("1.jpg\tcat\n2.jpg\tdog\n", []),
    (",img,label\n0,1.jpg,cat\n1,2.jpg,dog\n", ["columns left out: ''"]),
    (
      "img,label,class_name\n1.jpg,0,cat\n2.jpg,1,dog\n",
      ["columns left out: 'label'"],
    ),
    ("./1.jpg,cat\na/../2.jpg,dog\n".replace("a/../", "././"), []),
  ],
)
def test_columns_in_any_order_and_words(listed, text, notes):
  pairs, names, found = listed(text)
  assert pairs == CATS and names == ("cat", "dog")
  assert "2 images, 2 of 2 classes" in found and "absent" not in found
  assert all(note in found for note in notes)
  assert notes or ";" not in found


def test_cells_hold_every_sign(listed, tmp_path):
  odd = "a\u2028\n\u0085b.jpg"
  (tmp_path / odd).write_bytes(JPEG)
  pairs, names, found = listed(f'"{odd}","x\u2028y"\n1.jpg,"two\nlines"\n')
  assert pairs[0][0] == odd and "absent" not in found
  assert set(names) == {"x\u2028y", "two\nlines"}


@pytest.mark.parametrize(
  ("text", "names", "rule"),
  [
    ("1.jpg,cat\n./1.jpg,dog\n", None, "line 2 gives '1.jpg' the label 'dog'"),
    ("1.jpg,cat\n.//1.jpg,cat\n", None, "line 2 must list another image"),
    ("1.jpg,1\n2.jpg,2\n", ["a", "b"], "count from 0; subtract 1"),
    ("1.jpg,1\n2.jpg,2\n", ["a", "b", "c"], "got all of 1 to 2 and no 0"),
    ("1.jpg,-1\n", ["1", "2"], "got '-1'"),
    ("1.jpg,1.0\n", ["10", "2"], "got '1.0'"),
    ("1.jpg,0\n", ["1", "2"], "must name a class of the class names, got '0'"),
    ("1.jpg,C#\n", ["C++", "Java"], "got 'C#'"),
    ("1.jpg,²\n", ["2", "3"], "got '²'"),
    ("1.jpg,1\n2.jpg,1.0\n", None, "one way, got '1' and '1.0'"),
    ("1.jpg,2.jpg\n3.jpg,4.JPG\n", None, "one column of paths, got 2"),
    ("img,label,kind\n1.jpg,a,b\n", None, "must name one column of labels"),
    ("1.jpg," + "9" * 5000 + "\n", ["a"], "an index must lie in 0 to 0"),
  ],
)
def test_labels_that_are_refused(listed, text, names, rule):
  with pytest.raises(ValueError, match=rule):
    listed(text, names)


def test_an_index_that_nobody_has_is_noted(listed):
  found = listed("1.jpg,1\n2.jpg,3\n", ["a", "b", "c", "d"])
  assert found[0] == [("1.jpg", 1), ("2.jpg", 3)]
  assert "no image has the index 0" in found[2]
  assert "index 0" not in listed("1.jpg,0\n2.jpg,3\n", list("abcd"))[2]


def test_names_of_files_in_either_form(listed, tmp_path):
  composed, apart = (
    unicodedata.normalize(form, "é/ñandú.jpg") for form in ("NFC", "NFD")
  )
  for stored, given in ((composed, apart), (apart, composed)):
    (tmp_path / stored).parent.mkdir()
    (tmp_path / stored).write_bytes(JPEG)
    pairs, _, found = listed(f"{given},cat\n".replace("/", "/"))
    assert pairs == [(given, 0)] and "absent" not in found
    (tmp_path / stored).unlink()
    (tmp_path / stored).parent.rmdir()


def test_one_picture_under_two_names_is_noted(listed, tmp_path):
  listed("1.jpg,cat\n")
  os.link(tmp_path / "1.jpg", tmp_path / "5.jpg")
  (tmp_path / "6.jpg").symlink_to("1.jpg")
  pairs, _, found = listed("1.jpg,cat\n5.jpg,cat\n6.jpg,dog\n2.jpg,dog\n")
  assert len(pairs) == 4
  assert "2 images listed again, 1 of them with another label" in found


def test_what_systems_leave_about_is_no_class(tmp_path):
  clutter = (
    *("lost+found", "System Volume Information", "$RECYCLE.BIN", "__MACOSX"),
    *("@eaDir", ".ipynb_checkpoints", ".cache", "#recycle"),
  )
  for name in ("cat", *clutter):
    (tmp_path / name).mkdir()
    (tmp_path / name / "a.jpg").write_bytes(JPEG)
  (tmp_path / "cat" / ".ipynb_checkpoints").mkdir()
  opened, names = open_own(tmp_path)
  assert names == ("cat",) and list(opened.files) == ["cat/a.jpg"]
  assert "skipped 9 names" in opened.found


WNIDS = {"n02690373": "airliner", "n02123045": "tabby cat"}


def own(data_dir, lexicon=""):
  (found,), _ = find_sets(
    data_dir,  # of the embedded world alone
    ["own"],
    data_dir=data_dir,
    layout="auto",
    lexicon=lexicon,
    partial=False,
    skip_absent=False,
  )
  labels = [found.opened.records[n]["label"] for n in range(2)]
  names = {
    file: found.classes[label].name
    for file, label in zip(found.opened.files, labels, strict=True)
  }
  return found, names


@pytest.fixture
def wnid_folders(tmp_path):
  folder = tmp_path / "data"
  for wnid in WNIDS:
    (folder / wnid).mkdir(parents=True)
    (folder / wnid / "a.jpg").write_bytes(JPEG)
  return folder


def test_folders_called_by_wordnet_ids_find_their_names(wnid_folders):
  wanted = {f"{wnid}/a.jpg": name for wnid, name in WNIDS.items()}
  found, names = own(wnid_folders)
  assert names == wanted and len(found.classes) == 2
  assert [entry.label for entry in found.classes] == [0, 1]
  assert all(entry.synonyms for entry in found.classes)
  assert "those of the table imagenet" in found.opened.found
  found, names = own(wnid_folders, "imagenet")
  assert names == wanted and len(found.classes) == 1000
  assert open_own(wnid_folders)[1] == ("tabby cat", "airliner")
  (wnid_folders / "n99999999").mkdir()
  with pytest.raises(ValueError, match="ImageNet's 1000, got 'n99999999'"):
    own(wnid_folders)


def test_any_list_of_classes_is_a_lexicon(wnid_folders, tmp_path):
  for name, content in {
    "a.txt": "n02690373 plane\nn02123045 tom\n",
    "b.json": '{"0": ["n02690373", "plane"], "1": ["n02123045", "tom"]}',
    "c.csv": "\ufeffwnid,name,label\nn02690373,jet,plane\nn02123045,cat,tom\n",
  }.items():
    file = tmp_path / name
    file.write_text(content, "utf-8")
    found, names = own(wnid_folders, str(file))
    assert names == {"n02690373/a.jpg": "plane", "n02123045/a.jpg": "tom"}
    assert f"classes of {name}: 2 classes" in found.opened.found
    assert found.lexicon_sha256
  assert found.classes[0].names == ("plane", "jet")


def test_folders_that_torchvision_makes(tmp_path):
  for name, folder in {
    "oxford_flowers102": "flowers-102/jpg",
    "dtd": "dtd/dtd/images",
    "food101": "food-101/images",
    "oxford_pets": "oxford-iiit-pet/images",
    "fgvc_aircraft": "fgvc-aircraft-2013b/data/images",
    "stanford_cars": "stanford_cars/cars_test",
    "sun397": "SUN397/a",
    "caltech101": "caltech101/101_ObjectCategories",
    "eurosat": "eurosat/2750",
  }.items():
    (tmp_path / folder).mkdir(parents=True)
    top = DATASETS[name].folders
    assert any(folder.startswith(each) for each in top), (name, folder)


def test_the_split_of_dtd_beside_torchvision_s_folder(tmp_path):
  images = tmp_path / "dtd" / "dtd" / "images" / "banded"
  images.mkdir(parents=True)
  (images / "banded_1.jpg").write_bytes(JPEG)
  split = tmp_path / "dtd" / "split_zhou_DescribableTextures.json"
  split.write_text(
    '\ufeff{"test": [["banded/banded_1.jpg", 0, "banded"]]}', "utf-8"
  )
  opened = open_dataset(DATASETS["dtd"], tmp_path)
  assert "absent" not in opened.found and opened.records[0]["label"] == 0
  split.write_text(
    '{"test": [["banded/banded_1.jpg", 0, "banded"],'
    ' ["banded/banded_1.jpg", 1, "blotchy"]]}'
  )
  with pytest.raises(ValueError, match="entry 1 .* label 1, and .* entry 0"):
    open_dataset(DATASETS["dtd"], tmp_path)


def test_classes_of_a_benchmark_must_stand_in_its_order(tmp_path):
  (tmp_path / "eurosat" / "Forest").mkdir(parents=True)
  (tmp_path / "eurosat" / "Forest" / "a.jpg").write_bytes(JPEG)
  names = list(official_names(DATASETS["eurosat"]))
  own = ["field", *names[1:]]  # names of one's own are welcome

  def find(names):
    file = tmp_path / "names.txt"
    file.write_text("\n".join(names))
    (found,), _ = find_sets(
      tmp_path,
      ["eurosat"],
      data_dir=tmp_path,
      layout="auto",
      lexicon=str(file),
      partial=True,
      skip_absent=False,
    )
    return [entry.name for entry in found.classes]

  assert find(own) == own
  with pytest.raises(
    ValueError, match="in their order, got 'River' as class 0"
  ):
    find(["River", *names[:9]])
  with pytest.raises(ValueError, match="must have the 10 classes of EuroSAT"):
    find(names[:9])
