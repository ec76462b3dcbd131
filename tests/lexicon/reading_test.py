"""Files of other projects: matched by name, reported, never guessed."""

import pytest

from s3_jax.lexicon.reading import (
  ALIASES,
  read_class_names,
  read_class_texts,
  read_own_classes,
)
from s3_jax.lexicon.synonyms import TABLES, load_lexicon


@pytest.mark.parametrize(
  ("name", "spelling"),
  [
    ("apple_pie", "Apple Pie"),
    ("Handstand_Pushups", "Hand Stand Pushups"),
    ("indoor apse", "apse (indoor)"),
    ("2012 Audi TTS Coupe", "Audi TTS Coupe 2012"),
    ("pink-yellow dahlia", "pink-yellow dahlia?"),
    ("british_shorthair", "British Shorthair"),
    ("fish", "ﬁsh"),
  ],
)
def test_spellings_of_published_files_find_their_class(write, name, spelling):
  path = write("a.json", {"other": ["x"], spelling: ["a text"]})
  read = read_class_texts(path, ["other", name])
  assert read.texts == (("x",), ("a text",))
  assert read.matched == 2
  assert not read.unmatched


def test_the_closest_spelling_wins(write):
  path = write("a.json", {"pull ups": ["b"], "pullups": ["a"]})
  read = read_class_texts(path, ["pullups", "pull_ups"])
  assert read.texts == (("a",), ("b",))


def test_order_of_the_file_does_not_matter(write):
  path = write("a.json", {"b": ["2"], "a": ["1"]})
  assert read_class_texts(path, ["a", "b"]).texts == (("1",), ("2",))


def test_blanks_repeats_and_line_breaks(write):
  path = write("a.json", {"a": ["\nA  photo.", "", "a photo.", " "]})
  read = read_class_texts(path, ["a"])
  assert read.texts == (("A photo.",),)
  assert (read.repeated, read.empty) == (1, 2)


def test_empty_lists_are_errors_or_fall_back_by_option(write):
  path = write("a.json", {"donuts": [], "waffles": ["crisp"], "eels": ["x"]})
  names = ["donuts", "waffles", "sea_food"]
  with pytest.raises(ValueError, match=r"none for 2 of 3 \('donuts', 'sea_f"):
    read_class_texts(path, names)
  read = read_class_texts(path, names, empty="name")
  assert read.texts == (("donuts",), ("crisp",), ("sea food",))
  assert read.without_texts == (0, 2)
  assert read.unmatched == ("eels",)
  assert read.matched == 1


def test_a_name_of_two_classes_reaches_both_and_is_reported(write):
  path = write("a.json", {"missile": ["it flies"]})
  read = read_class_texts(path, ["missile", "missile"])
  assert read.texts == (("it flies",), ("it flies",))
  assert read.shared == ("missile",)


def test_aliases_tell_them_apart(write):
  path = write("a.json", {"missile": ["a"], "projectile": ["b"]})
  aliases = {"projectile": 1}
  read = read_class_texts(path, ["missile", "missile"], aliases=aliases)
  assert read.texts == (("a",), ("b",))
  assert read.shared == ()


def test_aliases_of_published_files():
  # The names that the alias table points at are those of the benchmark.
  euro = set(ALIASES["eurosat"].values())
  assert euro == {
    "Annual Crop Land",
    "Forest",
    "Herbaceous Vegetation Land",
    "Highway or Road",
    "Industrial Buildings",
    "Pasture Land",
    "Permanent Crop Land",
    "Residential Buildings",
    "River",
    "Sea or Lake",
  }


@pytest.mark.parametrize("target", [5, "no such class"])
def test_aliases_must_point_at_classes(write, target):
  path = write("a.json", {"a": ["x"]})
  with pytest.raises(ValueError, match="`aliases` must point at class"):
    read_class_texts(path, ["a"], aliases={"b": target})


def test_position_only_on_request_and_only_where_counts_agree(write):
  path = write("a.json", {"x": ["1"], "y": ["2"]})
  with pytest.raises(ValueError, match="none for 2 of 2"):
    read_class_texts(path, ["a", "b"])
  read = read_class_texts(path, ["a", "b"], by_position=True)
  assert read.texts == (("1",), ("2",))
  with pytest.raises(ValueError, match="must hold 3 entries to be read by pos"):
    read_class_texts(path, ["a", "b", "c"], by_position=True)


def test_csv_of_names_and_classes(write):
  path = write("a.csv", 'name,class\nsofa,couch\n"x, y",couch\ndog,dog\n\n')
  read = read_class_texts(path, ["dog", "couch"])
  assert read.texts == (("dog",), ("sofa", "x, y"))


def test_lines_of_comma_separated_names(write):
  path = write("a.txt", "sky, wall,tree\naeroplane\ntv monitor; screen\n")
  read = read_class_texts(path, ["background", "aeroplane", "tv"])
  assert read.texts == (
    ("sky", "wall", "tree"),
    ("aeroplane",),
    ("tv monitor", "screen"),
  )


def test_a_table_of_ours_is_read_too():
  """Also where two classes bear one name: each gets its own texts."""
  lexicon = load_lexicon("imagenet")
  names = [entry.name for entry in lexicon.classes]
  read = read_class_texts(TABLES / "imagenet.json", names)
  assert read.texts == tuple(entry.only().names for entry in lexicon.classes)
  assert (read.shared, read.unmatched, read.without_texts) == ((), (), ())


def test_a_class_may_be_called_classes(write):
  path = write("a.json", {"classes": ["lessons"]})
  assert read_class_texts(path, ["classes"]).texts == (("lessons",),)


@pytest.mark.parametrize(
  ("file", "content", "message"),
  [
    ("a.json", "{", "must be JSON"),
    ("a.json", {"schema": 1, "classes": [3]}, "`dataset` must be there"),
    ("a.json", "[1]", "must map class names"),
    ("a.json", '{"a": ["x"], "a": ["y"]}', "must name each class once"),
    ("a.json", {"a": [1]}, "must hold a list of texts"),
    ("a.json", "[" * 100_000, "must be JSON"),
    ("a.csv", "one,two,three\n", "line 1 must hold a name and a class"),
    ("a.xml", "<a/>", "must end in .json, .csv, .txt"),
  ],
)
def test_other_layouts_are_refused(write, file, content, message):
  with pytest.raises(ValueError, match=message):
    read_class_texts(write(file, content), ["a"])


def test_unreadable_files_and_options(tmp_path, write):
  with pytest.raises(ValueError, match=r"^\S+none.json must be readable"):
    read_class_texts(tmp_path / "none.json", ["a"])
  (tmp_path / "latin.json").write_bytes(b'{"caf\xe9": []}')
  with pytest.raises(ValueError, match=r"^\S+latin.json must be UTF-8"):
    read_class_texts(tmp_path / "latin.json", ["a"])
  path = write("a.json", {"a": ["x"]})
  with pytest.raises(ValueError, match="`empty` must be one of"):
    read_class_texts(path, ["a"], empty="drop")
  with pytest.raises(ValueError, match="must not hold an empty name"):
    read_class_texts(path, ["a", ""])


def test_class_names_of_the_usual_files(write):
  names = ("tench", "pink primrose")
  for file, content in {
    "a.txt": "n01440764 tench\nn01443537 pink primrose\n\n",
    "b.txt": "tench\npink primrose",
    "c.json": ["tench", "pink primrose"],
    "d.json": {"2": "pink primrose", "1": "tench"},
  }.items():
    assert read_class_names(write(file, content)) == names
  with pytest.raises(ValueError, match="empty name, got '' as class 1"):
    read_class_names(write("e.txt", "a\n\nb\n"))
  with pytest.raises(ValueError, match="without gaps"):
    read_class_names(write("f.json", {"1": "a", "3": "b"}))
  # The classes of an object are its keys, as for everybody who reads it.
  assert read_class_names(write("g.json", {"a": "b"})) == ("a",)


@pytest.mark.parametrize(
  ("name", "content", "names", "texts"),
  [
    ("a.txt", "dog\napple_pie\n\n", ("dog", "apple_pie"), "dog|apple pie"),
    ("a.txt", "n01440764 tench, fish\n", ("tench, fish",), "tench, fish"),
    ("A.CSV", "a,x\nb,y\nc,x\na,x\n", ("x", "y"), "a/c|b"),
    ("b.csv", 'name,class\n"a, b",0\n', ("0",), "a, b"),
    ("a.json", ["b", "a"], ("b", "a"), "b|a"),
    ("A.JSON", {"2": "two", "1": "one"}, ("one", "two"), "one|two"),
    ("c.json", {"1": ["one", "uno"]}, ("1",), "one/uno"),
    ("d.json", {"x": "one", "y_z": []}, ("x", "y_z"), "one|y z"),
    (
      "e.json",
      {
        "schema": 1,
        "dataset": "mine",
        "provenance": {},
        "classes": [
          {"index": i, "name": "crane_", "synonyms": [s], "descriptors": []}
          for i, s in enumerate(["bird", "machine"])
        ],
      },
      ("crane_", "crane_"),
      "crane/bird|crane/machine",
    ),
  ],
)
def test_classes_that_the_file_itself_names(write, name, content, names, texts):
  found, read = read_own_classes(write(name, content))
  assert found == names
  assert read.texts == tuple(
    tuple(each.split("/")) for each in texts.split("|")
  )
  assert read.without_texts == ((1,) if "y_z" in names else ())


@pytest.mark.parametrize(
  ("name", "content", "message"),
  [
    ("a.txt", "", "at least one class"),
    ("a.csv", "name,class\n", "at least one class"),
    ("a.json", {}, "at least one class"),
    ("a.json", {" ": ["a"]}, "empty name, got ' ' as class 0"),
    ("a.csv", "a,b,c\n", "line 1 must hold a name and a class"),
    ("a.json", {"a": [1]}, "must hold a list of texts"),
    ("a.json", "{", "must be JSON"),
  ],
)
def test_files_without_classes_are_refused(write, name, content, message):
  with pytest.raises(ValueError, match=message):
    read_own_classes(write(name, content))
