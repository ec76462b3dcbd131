"""A data set of one's own: folders and CSV files."""

import pytest

from s3_jax.data.datasets import DATASETS, open_dataset
from s3_jax.data.readers.own import open_own
from tests.benchmark_replicas import encoded

JPEG = encoded(0, 0, 8)


@pytest.fixture
def put(tmp_path):
  def write(*files, data=JPEG):
    for file in files:
      path = tmp_path / file
      path.parent.mkdir(parents=True, exist_ok=True)
      path.write_bytes(data)
    return tmp_path

  return write


def pairs(opened):
  labels = [opened.records[n]["label"] for n in range(len(opened.records))]
  return list(zip(opened.files, labels, strict=True))


def test_folders_are_the_classes(put):
  root = put("Zebra/1.png", "ant/2.jpg", "ant/1.jpg", "readme.txt")
  opened, names = open_own(root)
  assert names == ("Zebra", "ant")
  expected = [("Zebra/1.png", 0), ("ant/1.jpg", 1), ("ant/2.jpg", 1)]
  assert pairs(opened) == expected
  assert opened.layout == "folders" and opened.records[0]["image"] == JPEG


def test_numbers_are_sorted_as_numbers(put):
  root = put("10/a.jpg", "9/a.jpg", "1/a.jpg")
  assert open_own(root)[1] == ("1", "9", "10")
  file = root / "list.csv"
  file.write_text("10/a.jpg,10\n9/a.jpg,9\n1/a.jpg,1\n")
  opened, names = open_own(file)
  assert names == ("1", "9", "10")
  assert pairs(opened) == [("10/a.jpg", 2), ("9/a.jpg", 1), ("1/a.jpg", 0)]


def test_given_names_decide_about_the_order(put):
  root = put("sea_lion/a.jpg", "ANT/a.jpg")
  opened, names = open_own(root, ["zebra", "sea lion", "ant"])
  assert names == ("zebra", "sea lion", "ant")
  assert pairs(opened) == [("sea_lion/a.jpg", 1), ("ANT/a.jpg", 2)]
  assert "2 images, 2 of 3 classes" in opened.found


def test_an_empty_folder_is_a_class_without_images(put):
  root = put("ant/a.jpg")
  (root / "bee").mkdir()
  opened, names = open_own(root)
  assert names == ("ant", "bee") and "1 of 2 classes" in opened.found


def test_one_class_is_enough(put):
  assert open_own(put("ant/a.jpg"))[1] == ("ant",)


@pytest.mark.parametrize(
  ("files", "names", "rule"),
  [
    (["ant/a.jpg", "Ant/a.jpg"], None, "one way, got 'Ant' and 'ant'"),
    (["ant/a.jpg", "Ant/a.jpg"], ["ant"], "'Ant' and 'ant' both are class 0"),
    (["ant/a.jpg"], ["bee"], "must name a class of the class names, got 'ant'"),
    (["ant/a.txt"], None, "must hold images in its class folders, got none"),
    (["a.jpg"], None, "must hold a folder of images for each class, got no"),
    (["train/ant/a.jpg"], None, "train must hold images and no folders"),
    (["ant/a.jpg"], [], "`class_names` must hold names, none of them empty"),
    (["ant/a.jpg"], ["ant", " "], "`class_names` must hold names"),
  ],
)
def test_folders_that_are_refused(put, files, names, rule):
  with pytest.raises(ValueError, match=rule):
    open_own(put(*files), names)


def test_a_csv_of_names(put):
  root = put("img/1.jpg", "img/2.jpg", "img/3.jpg")
  file = root / "test.csv"
  file.write_text(
    '\ufeffpath,label\nimg/1.jpg, zebra\n\n"img/2.jpg","ant, red"\r\n'
    "./img/3.jpg,zebra\n"
  )
  opened, names = open_own(file)
  assert names == ("ant, red", "zebra") and opened.layout == "csv"
  assert pairs(opened) == [("img/1.jpg", 1), ("img/2.jpg", 0), ("img/3.jpg", 1)]
  assert opened.records[2] == {"image": JPEG, "label": 1}
  assert "3 images, 2 of 2 classes" in opened.found


def test_a_csv_of_indices_or_names(put):
  file = put("1.jpg", "2.jpg") / "test.csv"
  file.write_text("1.jpg,2\n2.jpg,Bee\n")
  opened, _ = open_own(file, ["ant", "bee", "cat"])
  assert pairs(opened) == [("1.jpg", 2), ("2.jpg", 1)]


def test_a_name_that_is_a_number_is_no_index(put):
  file = put("1.jpg") / "test.csv"
  file.write_text("1.jpg,0\n")
  assert pairs(open_own(file, ["1", "0"])[0]) == [("1.jpg", 1)]


def test_listed_files_may_be_absent(put):
  file = put("1.jpg") / "test.csv"
  file.write_text("1.jpg,ant\n2.jpg,ant\n")
  opened, _ = open_own(file)
  assert "1 file listed, but absent" in opened.found
  assert len(opened.records) == 2
  with pytest.raises(FileNotFoundError):
    opened.records[1]


@pytest.mark.parametrize(
  ("text", "names", "rule"),
  [
    ("", None, "must list images, got none"),
    ("path,label\n", None, "must list images, got none"),
    ("1.jpg\n", None, "line 1 must be a path and a label, got '1.jpg'"),
    ("1.jpg,\n", None, "line 1 must be a path and a label"),
    ("1.jpg,a,b\n", None, "line 1 must be a path and a label, got '1.jpg,a,b'"),
    ("../1.jpg,a\n", None, "line 1: a path must stay inside"),
    ("/1.jpg,a\n", None, "line 1: a path must stay inside"),
    ("1.jpg,a\n1.jpg,a\n", None, "line 2 must list another image than line 1"),
    ("1.jpg,a\n2.jpg,A\n", None, "one way, got 'A' and 'a'"),
    ("1.jpg,2\n", ["a", "b"], "an index must lie in 0 to 1, got 2"),
    (
      "1.jpg,-1\n",
      ["a", "b"],
      "must name a class of the class names, got '-1'",
    ),
    ('1.jpg,"a\n', None, "must be a CSV in UTF-8"),
  ],
)
def test_lines_that_are_refused(put, text, names, rule):
  file = put("1.jpg", "2.jpg") / "test.csv"
  file.write_text(text)
  with pytest.raises(ValueError, match=rule):
    open_own(file, names)


def test_other_files_are_refused(put):
  root = put("list.tsv")
  for path in (root / "list.tsv", root / "nothing", root / "nothing.csv"):
    with pytest.raises(ValueError, match="must be a folder .* or a CSV file"):
      open_own(path)
  (root / "bytes.csv").write_bytes(b"\xff\xfe\x00")
  with pytest.raises(ValueError, match="must be a CSV in UTF-8"):
    open_own(root / "bytes.csv")


def test_a_benchmark_may_be_listed_by_wordnet_ids_or_indices(put):
  root = put("imagenet_r/1.jpg", "imagenet_r/2.jpg")
  file = root / "imagenet_r" / "test.csv"
  file.write_text("1.jpg,n01443537\n2.jpg,199\n")
  opened = open_dataset(DATASETS["imagenet_r"], root)
  assert pairs(opened) == [("1.jpg", 0), ("2.jpg", 199)]
  file.write_text("1.jpg,n01440764\n")
  with pytest.raises(
    ValueError, match="a class of ImageNet-R, got 'n01440764'"
  ):
    open_dataset(DATASETS["imagenet_r"], root)
