"""Lines to the user: visible, short, with the names that were meant."""

import pytest

from s3_jax.clip.checkpoints import ZOO
from s3_jax.data.datasets import DATASETS
from s3_jax.messages import MAX_LINE, nearest, one_line, visible, visible_lines


@pytest.mark.parametrize(
  ("text", "shown"),
  [
    ("cat.png", "cat.png"),
    ("é 猫 👩\u200d🔬", "é 猫 👩\u200d🔬"),
    ("a\x1b[31mb", r"a\x1b[31mb"),
    ("two\nlines\r", r"two\nlines\r"),
    ("\x9b2J\x07\x7f\x00", r"\x9b2J\x07\x7f\x00"),
    ("gpj\u202e.exe", r"gpj\u202e.exe"),
    ("a\u2066b\u2069\u200f\ufeff", r"a\u2066b\u2069\u200f\ufeff"),
    ("a\u2028b\u2029c\x85", r"a\u2028b\u2029c\x85"),
    ("not \udcff text", r"not \udcff text"),
    ("\U000e0041", r"\U000e0041"),
    ("", ""),
  ],
)
def test_every_character_is_visible(text, shown):
  assert visible(text) == shown
  assert visible_lines(f"{text}\n{text}").count("\n") == (
    1 + 2 * text.count("\n")
  )


def test_lists_that_are_read_at_a_glance_are_whole():
  assert nearest(["cpu", "gpu", "tpu"], "gpus") == "cpu, gpu, tpu"
  assert nearest([], "x") == ""


@pytest.mark.parametrize(
  ("names", "given", "first"),
  [
    (ZOO, "openai/ViT-B/31", "openai/ViT-B/32"),
    (ZOO, "OPENAI/vit-b/16", "openai/ViT-B/16"),
    (DATASETS, "cifar", None),
    (DATASETS, "imagenetv2", "imagenet_v2"),
    (DATASETS, "aircraft", "fgvc_aircraft"),
    (DATASETS, 7, None),
  ],
)
def test_the_nearest_names_come_first(names, given, first):
  text = nearest(names, given)
  assert len(text) <= 160 and text.endswith(f"and {len(names) - 4} others")
  listed = text.removesuffix(f" and {len(names) - 4} others").split(", ")
  assert len(set(listed)) == 4 and set(listed) <= set(names)
  assert first is None or first in listed[:2]


def test_nearest_names_of_anything_take_no_time():
  assert nearest(ZOO, "x" * 10**7)


def test_short_lines_stay():
  assert one_line("`a` must be b, got 'c'.") == "`a` must be b, got 'c'."
  assert one_line("two\n  lines\n") == "two lines"
  assert one_line("x" * MAX_LINE) == "x" * MAX_LINE


PATH = "/data/sets/of mine/some_folder/images/0001.jpg"


@pytest.mark.parametrize(
  "middle",
  [
    ", ".join(f"name_{number}" for number in range(99)),
    "'" + "v" * 5000 + "'",
    "w" * 999,
    "words " * 99,
    "\x1b[31m" * 200,
    "a/b " * 200,
  ],
  ids=["list", "quotation", "word", "words", "escapes", "paths"],
)
def test_long_lines_lose_their_middle(middle):
  text = f"`config.x` must be one of these: {middle}; set --config.x=NAME."
  line = one_line(text)
  assert len(line) <= MAX_LINE and "…" in line and line.isprintable()
  assert line.startswith("`config.x` must be one of these: ")
  assert line.endswith("set --config.x=NAME.")


@pytest.mark.parametrize("index", [0.0, 0.3, 0.5, 0.7, 1.0])
def test_a_path_is_not_cut(index):
  words = ["word"] * 150
  words.insert(int(index * 150), "/data/images/0001.jpg")
  line = one_line(" ".join(words))
  assert len(line) <= MAX_LINE and "/data/images/0001.jpg" in line


def test_of_a_long_path_both_ends_stay():
  path = "/data/" + "folder/" * 200 + "0001.jpg"
  line = one_line(f"`images` must be readable, got {path!r}; check it.")
  assert len(line) <= MAX_LINE and line.endswith("0001.jpg'; check it.")
  assert "'/data/folder/" in line


def test_enormous_texts_take_no_time():
  for text in ("a, " * 10**6, "'" * 10**6, "(" * 10**6, "a/" * 10**6):
    assert len(one_line(text)) <= MAX_LINE
