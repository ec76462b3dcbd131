"""Names looked up in the packaged tables: whose, by which rule, or nobody's."""

import pytest

from s3_jax.lexicon.lookup import (
  LOOKUP_TABLES,
  MATCHES,
  WORDNET_ID,
  look_up,
  other_names,
)
from s3_jax.lexicon.synonyms import BENCHMARK_TABLES, load_lexicon


def find(*names, tables=LOOKUP_TABLES):
  return look_up(names, [None] * len(names), tables=tables)


def taken(lookup):
  assert lookup.match is not None
  return lookup.match.entry


def found(*names, tables=LOOKUP_TABLES):
  return [
    lookup.match
    and (lookup.match.table, lookup.match.entry.name, lookup.match.rule)
    for lookup in find(*names, tables=tables)
  ]


def test_the_order_has_every_table_once():
  assert sorted(LOOKUP_TABLES) == sorted(BENCHMARK_TABLES)
  assert len(LOOKUP_TABLES) == 17


@pytest.mark.parametrize(
  ("name", "expected"),
  [
    ("CAT", ("voc", "cat", "official name")),
    ("gray whale", ("imagenet", "grey whale", MATCHES[1])),
    ("apple-pie", ("food101", "apple_pie", MATCHES[1])),
    ("airplane", ("coco_object", "airplane", "official name")),
    ("hippo", ("imagenet", "hippopotamus", "synonym")),
    ("tee-shirt", ("imagenet", "T-shirt", MATCHES[3])),
    ("dogs", ("voc", "dog", MATCHES[4])),
    ("children", ("coco_stuff", "person", MATCHES[5])),
    # Not the plural of the timber.
    ("woods", ("eurosat", "Forest", MATCHES[5])),
    # Not SCLIP's background of VOC, which lists things, "river" among them.
    ("background", ("pascal_context", "background", "official name")),
    ("river", ("coco_stuff", "river", "official name")),
    ("person", ("cityscapes", "person", "official name")),
    ("frobnicator", None),
    ("", None),
  ],
)
def test_the_closest_match_of_the_first_table(name, expected):
  assert found(name) == [expected]


def test_tables_are_looked_into_in_the_order_that_is_given():
  assert found("couch", tables=("voc", "coco_object")) == [
    ("coco_object", "couch", "official name")
  ]
  assert found("couch", tables=("voc",)) == [("voc", "sofa", "synonym")]
  for tables in (("coco_stuff", "ade20k"), ("ade20k", "coco_stuff")):
    assert found("counter", tables=tables) == [
      (tables[0], "counter", "official name")
    ]


def test_two_meanings_are_listed_and_not_mixed():
  (counter,) = find("counter", tables=("coco_stuff", "ade20k"))
  assert "kitchen counter" in taken(counter).synonyms
  (other,) = counter.others
  assert (other.table, other.rule) == ("ade20k", "official name")
  assert "checkout counter" in other.entry.synonyms
  (sofa,) = find("sofa", tables=("voc", "ade20k"))
  assert sofa.others == (), "both have 'couch' too"


def test_twins_are_paired_in_order_if_both_are_asked_for():
  classes = load_lexicon("imagenet").classes
  first, second = find("missile", "missile")
  assert (taken(first), taken(second)) == (classes[657], classes[744])
  (alone,) = find("missile")
  assert taken(alone) == classes[657]
  assert [other.entry.label for other in alone.others] == [744]


def test_a_wordnet_id_says_which_class_is_meant():
  classes = load_lexicon("imagenet").classes
  (lookup,) = look_up(("crane",), (classes[517].wnid,))
  assert lookup.match == ("imagenet", classes[517], WORDNET_ID)


def test_a_synonym_is_nobodys_where_its_class_is_asked_for():
  """Else "kitten" would take all names of "cat", and both would lose them."""
  assert found("cat", "kitten") == [("voc", "cat", "official name"), None]
  assert find("cat", "kitten")[1].hint == ("means 'cat' of voc, as 'cat' does")
  assert found("kitten") == [("voc", "cat", "synonym")]
  assert found("man", "woman") == [None, None]
  assert found("car", "cars") == [("voc", "car", "official name"), None]


@pytest.mark.parametrize(
  ("name", "hint"),
  [
    ("crane", "'crane bird' of imagenet, 'construction crane' of imagenet"),
    ("elefant", "'elephant' of coco_object"),
    ("qqqq", ""),
  ],
)
def test_what_is_near_a_name_that_is_not_found(name, hint):
  assert [lookup.hint for lookup in find(name)] == [hint]


def test_names_in_the_plural_are_near_as_well():
  assert "'grey wolf' of imagenet" in find("wolves")[0].hint


@pytest.mark.parametrize("table", BENCHMARK_TABLES)
def test_a_tables_own_names_mean_its_own_classes(table):
  """Also the missiles and the sunglasses, of which ImageNet has two each."""
  classes = load_lexicon(table).classes
  skipped = {"background", "person"} if table in ("voc", "coco_object") else ()
  for entry, lookup in zip(
    classes, find(*(e.name for e in classes), tables=(table,)), strict=True
  ):
    if entry.name in skipped:
      assert lookup.match is None
    else:
      assert lookup.match is not None
      assert (lookup.match.table, lookup.match.rule) == (table, MATCHES[0])
      assert lookup.match.entry == entry
      names = other_names(entry.name.replace("_", " "), entry)
      assert tuple(names) == entry.synonyms
      assert tuple(names.values()) == entry.kinds
