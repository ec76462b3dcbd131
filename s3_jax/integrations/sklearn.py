"""scikit-learn's estimator: zero-shot classes in pipelines and scorers.

from s3_jax.integrations.sklearn import S3Classifier

model = S3Classifier("openai/clip-vit-base-patch16")
model.fit({"cat": ["cat", "kitten"], "dog": ["dog", "puppy"]})
model.predict(["photo.jpg"])
"""

import os
from typing import Any, cast

import jax
import numpy as np
from jaxtyping import Float32, Shaped

from s3_jax.clip import Clip, load_clip
from s3_jax.lexicon.given_classes import ClassList, read_classes
from s3_jax.lexicon.prompts import NAME_TEMPLATE
from s3_jax.messages import nearest
from s3_jax.named_classes import (
  NamedSpace,
  Predictions,
  classify,
  embed_classes,
)
from s3_jax.named_classes.cores import TWO_WITNESSES
from s3_jax.named_classes.images import is_embedded

try:
  from sklearn.base import BaseEstimator, ClassifierMixin
  from sklearn.utils import check_array, column_or_1d
  from sklearn.utils.multiclass import check_classification_targets
  from sklearn.utils.validation import check_is_fitted, validate_data
except ImportError as error:
  raise ImportError(
    "`s3_jax.integrations.sklearn` needs scikit-learn 1.6 or newer: pip install"
    ' "scikit-learn>=1.6"'
  ) from error

__all__ = ["S3Classifier"]


class S3Classifier(ClassifierMixin, BaseEstimator):
  """Classifies images, or embeddings, by the words for their classes.

  Nothing is learned from images. `fit` takes the words:

  - `fit(classes)`: anything that `embed_classes` takes, such as `{"cat":
    ["cat", "kitten"]}`, a list of names, or a file of them.
  - `fit(images, names)`, as scikit-learn's own tools call it: the classes are
    the distinct names, and the images are not looked at. With `classes` set,
    these are the classes, and each name must be one of them.
  - Without a model `fit(embedded_texts, names)`: f32[texts, dim] of any
    encoder, and the class of each text.

  Images are what `classify` takes: paths, PIL images, arrays of pixels, or
  embeddings f32[images, dim]; without a model embeddings alone. One that cannot
  be used is an error. Classes are sorted by name, as scikit-learn's scorers
  expect, and no two may have one name.

  Attributes:
    classes_: the names, sorted.
    space_: their `NamedSpace`, in the order of `classes_`.
    clip_: the checkpoint; None without a model.
    n_features_in_: dimensions of the embeddings.
  """

  def __init__(
    self,
    model: Any = None,
    classes: Any = None,
    *,
    template: Any = NAME_TEMPLATE,
    scale: Any = TWO_WITNESSES,
    metric: Any = "soft_local_center",
    neighbors: Any = 4,
    logit_scale: Any = None,
    batch_size: Any = 64,
  ):
    """Keeps the settings, whatever they are; `fit` and `predict` check them.

    Args:
      model: what `load_clip` takes, or a checkpoint that is loaded, which
        `sklearn.base.clone` copies; None where all is embedded already.
      classes: as for `embed_classes`; None where `fit` is given them.
      template: as for `embed_classes`.
      scale: as for `embed_classes`.
      metric: as for `classify`.
      neighbors: as for `classify`.
      logit_scale: as for `embed_classes`; needed without a model.
      batch_size: as for `classify`.
    """
    self.model = model
    self.classes = classes
    self.template = template
    self.scale = scale
    self.metric = metric
    self.neighbors = neighbors
    self.logit_scale = logit_scale
    self.batch_size = batch_size

  def fit(self, X: Any = None, y: Any = None) -> "S3Classifier":  # noqa: N803
    """Makes the spaces of the classes.

    Args:
      X: the classes where `y` is None; embedded texts where there is neither a
        model nor `classes`; otherwise not looked at.
      y: names of classes, one a row of `X`.

    Returns:
      The estimator.

    Raises:
      ValueError: as `embed_classes` does, two classes have one name, or a name
        of `y` is none of `classes`.
    """
    labels = None if y is None else _distinct(y)
    self.clip_ = self.model
    if isinstance(self.model, str | os.PathLike):
      self.clip_ = load_clip(self.model)
    elif not isinstance(self.model, Clip | None):
      raise ValueError(
        "`model` must be what `load_clip` takes, what it gives, or None, got"
        f" {self.model!r:.60}."
      )
    if self.classes is not None:
      classes = self.classes
    elif labels is None:
      classes = _words(X)
    elif self.clip_ is None:
      X, y = validate_data(self, X, cast(Any, y), dtype=np.float32)
      classes = {label: X[y == label] for label in labels.tolist()}
    else:
      classes = _named(labels)
    space = embed_classes(
      self.clip_,
      classes,
      template=self.template,
      scale=self.scale,
      logit_scale=self.logit_scale,
    )
    if labels is not None and self.classes is None:
      self.classes_, self.space_ = labels, space
    else:
      self.classes_, self.space_ = _sorted(space)
      _check_known(labels, self.classes_)
    if self.clip_ is None:
      self.n_features_in_ = self.space_.space.points.shape[-1]
    return self

  def predict(self, X: Any) -> Shaped[np.ndarray, " images"]:  # noqa: N803
    """Names the class of each image.

    Args:
      X: images, or embeddings.

    Returns:
      Of `classes_`, one an image.

    Raises:
      ValueError: as `classify` does.
    """
    labels = self._answers(X).labels
    return self.classes_[labels]

  def predict_proba(
    self,
    X: Any,  # noqa: N803
  ) -> Float32[np.ndarray, "images classes"]:
    """Shares 1 out among the classes of each image, in the order of `classes_`.

    Args:
      X: images, or embeddings.

    Returns:
      The probabilities of `classify`.

    Raises:
      ValueError: as `classify` does.
    """
    return self._answers(X).probabilities

  def _answers(self, images: Any) -> Predictions:
    check_is_fitted(self)
    if self.clip_ is None:
      images = validate_data(self, images, reset=False, dtype=np.float32)
    return classify(
      self.clip_,
      self.space_,
      images,
      metric=self.metric,
      neighbors=self.neighbors,
      batch_size=self.batch_size,
    )

  def __getstate__(self) -> dict[str, Any]:
    # A checkpoint holds functions, which no file takes; its name is enough.
    state = dict(cast(Any, super().__getstate__()))
    if isinstance(self.model, str | os.PathLike):
      state.pop("clip_", None)
    return state

  def __setstate__(self, state: dict[str, Any]) -> None:
    super().__setstate__(state)
    if hasattr(self, "space_") and isinstance(self.model, str | os.PathLike):
      self.clip_ = load_clip(self.model)

  def __sklearn_tags__(self):
    tags = super().__sklearn_tags__()
    tags.target_tags.required = self.classes is None
    tags.input_tags.string = self.model is not None
    return tags


def _distinct(y: Any) -> Shaped[np.ndarray, " classes"]:
  """Lists the labels of a target, sorted."""
  y = check_array(y, ensure_2d=False, dtype=cast(Any, None), input_name="y")
  y = column_or_1d(y, warn=True)
  check_classification_targets(y)
  return np.unique(y)


def _words(classes: Any) -> Any:
  """Refuses what can be no classes: numbers whose target was forgotten."""
  if classes is None or is_embedded(classes):
    raise ValueError(
      "`fit` requires y to be passed, but the target y is None: without it"
      " `X` must be the classes, such as {'cat': ['cat', 'kitten']}."
    )
  return classes


def _named(labels: Shaped[np.ndarray, " classes"]) -> ClassList:
  """Reads names that are labels as well: they stay as they are spelled."""
  names = labels.tolist()
  for name in names:
    if not isinstance(name, str):
      raise ValueError(
        f"`y` must hold names of classes, got {name!r:.60}: give"
        " names[y], or set `classes` and leave `y` out."
      )
  return read_classes(names, "`y`")._replace(names=tuple(names))


def _sorted(space: NamedSpace) -> tuple[Shaped[np.ndarray, " _"], NamedSpace]:
  """Sorts classes by their names."""
  names, order = np.unique(space.names, return_index=True)
  if len(names) < len(space.names):
    twice = next(name for name in space.names if space.names.count(name) > 1)
    raise ValueError(
      f"`classes` must have different names, got {twice!r:.60} twice: a"
      " prediction is a name."
    )
  return names, NamedSpace(
    jax.tree.map(lambda array: array[order], space.space),
    tuple(names.tolist()),
    tuple(space.texts[label] for label in order.tolist()),
    space.logit_scale,
  )


def _check_known(labels: Any, names: Shaped[np.ndarray, " classes"]) -> None:
  """Refuses a target that is none of the classes."""
  known = set(names.tolist())
  for label in [] if labels is None else labels.tolist():
    if label not in known:
      raise ValueError(
        "`y` must hold names of `classes`, which are"
        f" {nearest(known, label)}, got {label!r:.60}."
      )
