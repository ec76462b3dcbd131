"""What a run says of its costs before it embeds."""

import functools
import itertools

import numpy as np

from s3_jax.clip import load_clip
from s3_jax.experiment.costs import (
  Cost,
  announce_texts,
  describe_costs,
  describe_methods,
)
from s3_jax.experiment.embedder import Embedder
from s3_jax.experiment.session import Session
from s3_jax.experiment.text_embedding import TextLookup


def test_costs_are_said_kind_by_kind():
  costs = (
    Cost("texts", 122_178, 0, 3480.0),
    Cost("images", 96, 404, 20.4),
    Cost("views", 0, 6400),
  )
  notes = ("`--methods=class_name,s3` needs 7,283",)
  assert describe_costs(costs, notes) == (
    "To embed: texts 122,178: 58 min; images 96 (404 more are in the cache):"
    " 20 s; `--methods=class_name,s3` needs 7,283."
  )
  assert describe_costs((Cost("texts", 3), Cost("images", 1))) == (
    "To embed: texts 3; images 1."
  )


def lookup(texts, *, same=(), stored=()):
  """Makes a lookup, in which a text may be another's token ids."""
  places = {text: index for index, text in enumerate(texts)}
  of_text = [places[dict(same).get(text, text)] for text in texts]
  flags = np.asarray([[text in stored for text in texts]])
  return TextLookup(
    tuple(texts),
    None,  # pyright: ignore[reportArgumentType]
    tuple(text.encode() for text in texts),
    np.asarray(of_text),
    None,  # pyright: ignore[reportArgumentType]
    flags,
  )


def test_the_method_that_most_texts_are_for_is_named():
  many = [f"t{index}" for index in range(20)]
  texts = ["a", "b", "c", "d", *many]
  prompts = {
    "class_name": ["a", "b"],
    "templates_80": many,
    "s3": ["a", "c", "d"],
    "local_center": ["a", "c", "d"],
  }
  cheaper = ("class_name", "s3")
  assert describe_methods(lookup(texts), prompts, cheaper) == (
    "20 of the texts are for templates_80 alone",
    "`--methods=class_name,s3` needs 4",
  )
  # What is stored costs nothing, nor does a text of another's token ids.
  found = lookup(texts, same=[("t0", "a")], stored=["c", *many[5:]])
  assert describe_methods(found, prompts, cheaper) == (
    "4 of the texts are for templates_80 alone",
    "`--methods=class_name,s3` needs 3",
  )


def test_methods_of_the_same_texts_are_one_kind():
  texts = ["a", "b", "c", "d"]
  prompts = {"class_name": ["a"], "s3": ["b", "c", "d"], "center": list("dcb")}
  assert describe_methods(lookup(texts), prompts, ("class_name", "s3")) == (
    "3 of the texts are for s3 and 1 like it alone",
  )


def test_a_choice_that_saves_little_is_not_proposed():
  texts = ["a", "b", "c"]
  prompts = {"class_name": ["a"], "s3": ["b"], "waffle": ["c"]}
  cheaper = ("class_name", "s3")
  assert describe_methods(lookup(texts), prompts, cheaper) == ()
  assert describe_methods(lookup(texts), prompts, cheaper, views=True) == (
    "`--methods=class_name,s3` needs 2 texts and no views",
  )
  assert describe_methods(lookup(texts), prompts, ()) == ()
  only = {"s3": texts}
  assert describe_methods(lookup(texts), only, ("s3",)) == ()


def test_a_task_says_what_its_texts_cost_if_that_is_long(
  checkpoint, tmp_path, monkeypatch
):
  clip = load_clip(checkpoint)
  # Two batches of 256 rows, of the same length.
  texts = tuple(map("".join, itertools.product("abcdefghijklmnopqr", repeat=2)))
  for seconds, said in (
    (4, []),
    (30, ["To embed: texts 324: 60 s; images 7."]),
  ):
    session = Session(tmp_path, config={"task": "predict"})
    clock = functools.partial(next, itertools.count(0, seconds))
    monkeypatch.setattr(session, "worked", clock)
    lines = []
    monkeypatch.setattr(session, "log", lines.append)
    embedder = Embedder(clip, "float32", 64, 0, tmp_path / f"c{seconds}")
    announce_texts(session, embedder, texts, Cost("images", 7))
    assert lines == said
