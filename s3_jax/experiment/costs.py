"""What embedding will cost, said once, before it is done."""

import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from s3_jax import hosts
from s3_jax.data.datasets import DatasetSpec
from s3_jax.data.records import OpenedDataset
from s3_jax.experiment.embedder import Embedder
from s3_jax.experiment.image_embedding import ViewOptions
from s3_jax.experiment.session import Session
from s3_jax.experiment.text_embedding import TextLookup
from s3_jax.progress import format_duration

WORTH_SAYING = 10.0
"""Seconds from which on what a run costs is worth a line more."""


class Cost(NamedTuple):
  """What is to be embedded of one kind.

  Attributes:
    what: "texts", "images" or "views".
    missing: how many the cache lacks.
    stored: how many it has.
    seconds: what they will take; None where nothing has been timed.
  """

  what: str
  missing: int
  stored: int = 0
  seconds: float | None = None


def describe_costs(costs: Sequence[Cost], notes: Sequence[str] = ()) -> str:
  """Says in one line what is left to be embedded, kind by kind."""
  parts = []
  for cost in costs:
    if not cost.missing:
      continue
    part = f"{cost.what} {cost.missing:,}"
    if cost.stored:
      part += f" ({cost.stored:,} more are in the cache)"
    if cost.seconds is not None:
      part += f": {format_duration(cost.seconds)}"
    parts.append(part)
  return f"To embed: {'; '.join((*parts, *notes))}."


def text_cost(session: Session, embedder: Embedder, found: TextLookup) -> Cost:
  """Times the first texts, which are kept."""
  with session.timed("embed_text"), hosts.step("time the text tower"):
    seconds = embedder.time_texts(found, session.worked)
  total = len(found.contents)
  return Cost("texts", found.missing, total - found.missing, seconds)


def image_cost(
  session: Session,
  embedder: Embedder,
  what: str,
  sets: Sequence[tuple[DatasetSpec, OpenedDataset, ViewOptions | None]],
) -> Cost:
  """Times the first images, or views, of the first set that lacks some."""
  missing, stored = 0, 0
  timed = None
  with session.timed("estimate"):
    for spec, opened, options in sets:
      layout = embedder.layout(spec, opened, options)
      lacking = embedder.count_missing(layout)
      if lacking and timed is None:
        timed = spec, opened, options
      missing += lacking
      stored += layout.total * (options.views if options else 1) - lacking
  seconds = None
  if timed is not None:
    with session.timed(f"embed_{what}"), hosts.step("time the image tower"):
      seconds = embedder.time_images(*timed, session.worked)
  if seconds is not None:
    seconds *= -(-missing // hosts.count())  # which processes share
  return Cost(what, missing, stored, seconds)


def announce_texts(
  session: Session,
  embedder: Embedder,
  texts: Sequence[str],
  *others: Cost,
) -> None:
  """Says what a run costs that embeds texts, if it is worth a line."""
  cost = text_cost(session, embedder, embedder.look_up(texts))
  costs = (cost, *others)
  if sum(each.seconds or 0.0 for each in costs) >= WORTH_SAYING:
    session.log(describe_costs(costs))


def describe_methods(
  found: TextLookup,
  prompts: Mapping[str, Sequence[str]],
  cheaper: Sequence[str],
  *,
  views: bool = False,
) -> tuple[str, ...]:
  """Says which method most texts are for, and what a cheaper choice needs.

  Args:
    found: the texts of all methods.
    prompts: method -> its texts.
    cheaper: methods that would do, without views; none where none would.
    views: whether views are to be embedded.

  Returns:
    What there is to say: nothing of texts that no method alone dominates, and
    of a choice that needs more than half of them.
  """
  place = dict(zip(found.texts, found.of_text.tolist(), strict=True))
  missing = np.flatnonzero(~found.stored.any(axis=0))
  missing = set(missing.tolist())
  # Methods of the same texts are one kind.
  kinds: dict[frozenset[int], list[str]] = {}
  for name, texts in prompts.items():
    own = frozenset(missing.intersection(place[text] for text in texts))
    kinds.setdefault(own, []).append(name)
  users = Counter(itertools.chain.from_iterable(kinds))
  alone = {
    tuple(names): sum(users[each] == 1 for each in own)
    for own, names in kinds.items()
  }
  names, most = max(alone.items(), key=lambda item: item[1])
  notes = []
  if len(kinds) > 1 and 2 * most >= len(users):
    others = f" and {len(names) - 1} like it" if names[1:] else ""
    notes.append(f"{most:,} of the texts are for {names[0]}{others} alone")
  fewer = set().union(
    *(own for own, names in kinds.items() if set(names) & set(cheaper))
  )
  if cheaper and (views or 2 * len(fewer) <= len(users)):
    needs = f"{len(fewer):,} texts and no views" if views else f"{len(fewer):,}"
    notes.append(f"`--methods={','.join(cheaper)}` needs {needs}")
  return tuple(notes)
