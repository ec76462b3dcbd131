"""Which images of a prediction are answered "none of these"."""

import math
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float32

from s3_jax.clip import MODELS
from s3_jax.evaluation.rejection import (
  answer_by_share,
  answer_by_texts,
  least_error,
  unrelated_names,
)
from s3_jax.experiment.embedder import Embedder
from s3_jax.experiment.tasks.predict.settings import BY_TEXTS, Prediction
from s3_jax.experiment.tasks.predict.stream import FilePredictions
from s3_jax.lexicon.other_names import NAME_TABLES, other_names
from s3_jax.lexicon.prompts import NAME_TEMPLATE, fill_template
from s3_jax.messages import visible
from s3_jax.space import SynonymousSpace

_FEWEST = 1000  # a quantile of fewer names is coarse
_PER_TEXT = 3  # names at the least p-values that still answer


class Rejection(NamedTuple):
  """What images of no class are compared with.

  Attributes:
    rule: BY_TEXTS, or the share of the images that is refused.
    false_answers: share of images of no class that may be answered.
    texts: of the classes' cores.
    names: unit embeddings of unrelated names.
    related: names that were left out, as a class is among their nearest.
  """

  rule: str | float
  false_answers: float
  texts: int
  names: Float32[np.ndarray, "names dim"]
  related: int

  @property
  def about(self) -> str:
    """How images are judged, before there is a result."""
    how = f"the share {self.rule} that they reach most often is refused"
    if self.rule == BY_TEXTS:
      share = f"{100 * self.false_answers:g} %"
      how = f"about {share} of images of no class get an answer"
    return (
      f"None of these: {self.texts:,} texts of classes against"
      f" {len(self.names):,} unrelated names ({self.related:,} near to a class"
      f" left out); {how}."
    )

  def answer(self, looked: FilePredictions) -> Bool[np.ndarray, " files"]:
    """Says which files get an answer; bad ones get none."""
    answered = looked.good
    above = looked.above[answered]
    if self.rule == BY_TEXTS:
      some = answer_by_texts(
        above,
        texts=self.texts,
        names=len(self.names),
        false_answers=self.false_answers,
      )
    else:
      cosines = np.asarray(looked.ranking.cosines)[answered, 0]
      some = answer_by_share(above, cosines, share=float(self.rule))
    answered[answered] = some
    return answered

  def describe(self, *, answered: int, good: int) -> dict[str, Any]:
    """Returns what predictions.json says of it."""
    by_texts = self.rule == BY_TEXTS
    return {
      "rule": self.rule,
      "false_answers": self.false_answers if by_texts else None,
      "texts": self.texts,
      "unrelated_names": len(self.names),
      "related_names": self.related,
      "answered": answered,
      "none": good - answered,
      "coverage": answered / good if good else None,
    }


def find_unrelated(
  prediction: Prediction, embedder: Embedder, space: SynonymousSpace
) -> Rejection:
  """Embeds names of other things, and leaves out those near to a class."""
  own = np.asarray(space.points)[np.asarray(space.mask)]
  rule, error = prediction.reject, prediction.false_answers
  # What a core left out is the name of nothing else either.
  given = [text for texts in prediction.classes.texts for text in texts]
  world = MODELS.get(embedder.clip.spec.name)
  tables = (world.name,) if world else NAME_TABLES
  candidates = other_names([*given, *prediction.classes.names], tables=tables)
  wanted = max(_FEWEST, math.ceil(_PER_TEXT * len(own) / error))
  candidates = candidates[:wanted]
  if not candidates:
    raise ValueError(
      "`config.reject` must have names of other things to compare with, and"
      f" there are none: {visible(prediction.classes.title)} is all that"
      f" {', '.join(tables)} names."
    )
  if rule == BY_TEXTS:
    _check_error(len(own), len(candidates), error)
  # Names beside whole sentences are no sample of what sentences score; a
  # sentence about each is.
  template = prediction.template
  template = NAME_TEMPLATE if template == "{}" else template
  prompts = [fill_template(template, name) for name in candidates]
  names = embedder.texts(tuple(dict.fromkeys(prompts))).embeddings
  unrelated = unrelated_names(names, own)
  if rule == BY_TEXTS:
    _check_error(len(own), int(unrelated.sum()), error)
  return Rejection(
    rule=rule,
    false_answers=error,
    texts=len(own),
    names=names[unrelated],
    related=int(np.sum(~unrelated)),
  )


def _check_error(texts: int, names: int, error: float) -> None:
  least = math.ceil(1000 * least_error(texts=texts, names=names)) / 1000
  if least_error(texts=texts, names=names) > error:
    raise ValueError(
      f"`config.false_answers` must be at least {least:g} with {texts:,} texts"
      f" of classes and {names:,} unrelated names, got {error:g}: raise it,"
      " give fewer texts, or let `config.reject` be the share of images to"
      " refuse."
    )
