"""Texts of classes looked up in a list of names."""

from s3_jax.lexicon.matching import match_rows


def test_each_text_finds_its_rows():
  found = match_rows(
    [["sofa", "couch"], ["tea_cup", "mug"], ["sun"]],
    ["Couch", "a stool", "tea cup", "SOFA", "the sun"],
  )
  assert found.rows == ((3, 0), (2,), ())
  assert found.missing == ((1, "mug"), (2, "sun"))
  assert found.unofficial == (2,)
  assert found.unused == (1, 4)


def test_all_rows_of_a_name_are_taken_once():
  found = match_rows([["sofa", "so-fa"]], ["sofa", "cup", "Sofa"])
  assert found.rows == ((0, 2),)
  assert found.unused == (1,)


def test_classes_that_share_a_name_are_paired_where_it_comes_for_each():
  classes = [["crane"], ["heron"], ["crane"]]
  found = match_rows(classes, ["crane", "heron", "crane"])
  assert found.rows == ((0,), (1,), (2,))
  shared = match_rows(classes, ["crane", "heron"])
  assert shared.rows == ((0,), (1,), (0,))
  three = match_rows(classes, ["crane", "heron", "crane", "crane"])
  assert three.rows == ((0, 2, 3), (1,), (0, 2, 3))


def test_rows_of_each_form_are_paired_by_themselves():
  classes = [["crane"], ["crane"]]
  names = ["crane", "crane", "crane", "crane", "crane"]
  found = match_rows(classes, names, forms=[0, 1, 0, 1, 2])
  assert found.rows == ((0, 1, 4), (2, 3, 4))
