"""Classes found by all the ways in which their names are spelled."""

import pathlib

import pytest

from s3_jax.data.datasets import DATASETS, official_names, wnids
from s3_jax.data.readers.naming import ClassFinder, benchmark_finder, twins
from tests.benchmark_replicas import BENCHMARKS


def find(name, spelling):
  spec = DATASETS[name]
  labels = benchmark_finder(spec).find(spelling)
  return [official_names(spec)[label] for label in labels]


@pytest.mark.parametrize("name", BENCHMARKS)
def test_every_official_name_finds_its_class_alone(name):
  spec = DATASETS[name]
  finder, names = benchmark_finder(spec), official_names(spec)
  for label, official in enumerate(names):
    same = tuple(n for n, other in enumerate(names) if other == official)
    for spelling in (
      official,
      official.replace("_", " ").upper(),
      official.replace("/", "_").replace(" ", "_"),
      official.replace("_", "").replace(" ", ""),
    ):
      assert finder.find(spelling) == same
    wnid = wnids(spec)[label]
    assert wnid is None or finder.find(wnid) == (label,)


@pytest.mark.parametrize(
  ("name", "spelling", "official"),
  [
    # Caltech101's folders, renamed by CoOp.
    ("caltech101", "Faces", "face"),
    ("caltech101", "Leopards", "leopard"),
    ("caltech101", "Motorbikes", "motorbike"),
    ("caltech101", "airplanes", "airplane"),
    ("caltech101", "yin_yang", "yin_yang"),
    # EuroSAT's folders.
    ("eurosat", "AnnualCrop", "Annual Crop Land"),
    ("eurosat", "Forest", "Forest"),
    ("eurosat", "SeaLake", "Sea or Lake"),
    # The year first in CoOp, last elsewhere.
    ("stanford_cars", "Audi TTS Coupe 2012", "2012 Audi TTS Coupe"),
    ("stanford_cars", "2012_Audi_TTS_Coupe", "2012 Audi TTS Coupe"),
    # Paths, and the qualifier after the name.
    ("sun397", "/a/apse/indoor", "indoor apse"),
    ("sun397", "a/apse/indoor", "indoor apse"),
    ("sun397", "apse (indoor)", "indoor apse"),
    ("sun397", "/a/airplane_cabin", "airplane_cabin"),
    # CamelCase, and a capital that is elsewhere in the files' names.
    ("ucf101", "ApplyEyeMakeup", "Apply_Eye_Makeup"),
    ("ucf101", "HandStandPushups", "Handstand_Pushups"),
    ("ucf101", "YoYo", "Yo_Yo"),
    ("oxford_flowers102", "pink-yellow dahlia?", "pink-yellow dahlia"),
    ("oxford_pets", "Abyssinian", "abyssinian"),
    ("fgvc_aircraft", "F-16A_B", "F-16A/B"),
    ("fgvc_aircraft", "737-300", "737-300"),
    ("imagenet", "great white shark", "great white shark"),
  ],
)
def test_spellings_of_the_published_data_sets(name, spelling, official):
  assert find(name, spelling) == [official]


def test_dropped_folders_are_no_classes():
  finder = benchmark_finder(DATASETS["caltech101"])
  assert finder.dropped == ("BACKGROUND_Google", "Faces_easy")
  assert [finder.find(name) for name in finder.dropped] == [(), ()]


def test_numbers_are_labels_in_imagenet_v2_only():
  finder = benchmark_finder(DATASETS["imagenet_v2"])
  numbers = [
    finder.find(text) for text in ("0", "2", "10", "999", "1000", "-1")
  ]
  assert numbers == [(0,), (2,), (10,), (999,), (), ()]
  assert finder.find("n01440764") == (0,)
  for name in ("imagenet", "imagenet_a", "oxford_flowers102"):
    assert benchmark_finder(DATASETS[name]).find("10") == ()


def test_two_classes_of_one_name_need_their_ids():
  finder = benchmark_finder(DATASETS["imagenet"])
  assert finder.find("missile") == (657, 744)
  rule = "folder must name one class, and 'missile' is the name of classes 657"
  with pytest.raises(ValueError, match=rule):
    finder.label("missile", "the folder")
  assert finder.label("n04008634", "the folder") == 744


def test_classes_outside_a_subset_are_none():
  finder = benchmark_finder(DATASETS["imagenet_a"])
  with pytest.raises(ValueError, match="class of ImageNet-A, got 'n01440764'"):
    finder.label("n01440764", "the folder")


def test_an_unknown_name_gets_the_nearest_one():
  finder = ClassFinder("pets", ["cat", "guinea pig"])
  rule = "line 3 must name a class of pets, got 'guinea pug'; 'guinea pig' is"
  with pytest.raises(ValueError, match=rule):
    finder.label("guinea pug", "line 3")
  with pytest.raises(ValueError, match="got 'zebra'[.]"):
    finder.label("zebra", "line 3")


def test_the_closest_spelling_wins():
  finder = ClassFinder("things", ["sea lion", "sealion", "C++", "C"])
  assert finder.find("Sea_Lion") == (0,)
  assert finder.find("SEALION") == (1,)
  assert finder.find("sea-lion") == (0, 1)  # both, and so an error
  assert finder.find("c++") == (2,) and finder.find("c") == (3,)
  assert finder.find("") == finder.find("--") == ()


def test_twins_are_found():
  assert twins(["cat", "dog", "Cat"]) == ("cat", "Cat")
  assert twins(["a_b", "c", "a  B"]) == ("a_b", "a  B")
  assert twins(["cat", "dog"]) is None


def test_real_lists_agree_with_the_official_names():
  """TFDS's own list of SUN397's classes, where the package has it."""
  import tensorflow_datasets as tfds

  folder = pathlib.Path(tfds.__file__).parent
  listed = folder / "image_classification/sun397_labels.txt"
  labels = listed.read_text().split()
  finder = benchmark_finder(DATASETS["sun397"])
  assert [finder.find(name) for name in labels] == [(n,) for n in range(397)]


def test_another_number_or_spelling_is_found_where_one_class_is_meant():
  finder = ClassFinder(
    "things", ["guinea pig", "airplane", "dog house", "cafe"]
  )
  found = {"Guinea_Pigs": (0,), "aeroplanes": (1,), "Café": (3,)}
  for spelling, labels in found.items():
    assert finder.find(spelling) == labels, spelling
  # Order is meaning, and two classes may be meant.
  assert finder.find("house dog") == finder.find("caves") == ()
  assert ClassFinder("two", ["donut", "Doughnut"]).find("donuts") == ()
  assert ClassFinder("kana", ["ハス", "ネコ"]).find("バス") == ()
