"""Embeddings into files that `embedding_files` and other programs read."""

import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float32, Int

from s3_jax.files import replacing

__all__ = ["write_image_embeddings", "write_text_embeddings"]


def write_image_embeddings(
  path: pathlib.Path,
  embeddings: Float32[np.ndarray, "images dim"],
  labels: Int[np.ndarray, " images"] | None = None,
  files: Sequence[str] = (),
) -> None:
  """Writes embedded images; a reader sees the whole file or none.

  Args:
    path: ending in .npz.
    embeddings: one row an image.
    labels: class indices, if they are known.
    files: a name an image, or () for none.
  """
  arrays: dict[str, np.ndarray] = {"embeddings": embeddings}
  if labels is not None:
    arrays["labels"] = np.asarray(labels, np.int32)
  if files:
    arrays["files"] = np.array(files)
  _write(path, arrays)


def write_text_embeddings(
  path: pathlib.Path,
  embeddings: Float32[np.ndarray, "texts dim"],
  names: Sequence[str],
  *,
  class_index: Int[np.ndarray, " texts"] | None = None,
  forms: Int[np.ndarray, " texts"] | None = None,
  form_names: Sequence[str] = (),
  class_names: Sequence[str] = (),
) -> None:
  """Writes embedded texts; a reader sees the whole file or none.

  Args:
    path: ending in .npz.
    embeddings: one row a text.
    names: what each text is.
    class_index: the class of each text.
    forms: the kind of each text.
    form_names: of these kinds.
    class_names: of the classes.
  """
  arrays: dict[str, np.ndarray] = {
    "embeddings": embeddings,
    "names": np.array(names),
  }
  for key, numbers in (("class_index", class_index), ("forms", forms)):
    if numbers is not None:
      arrays[key] = np.asarray(numbers, np.int32)
  for key, words in (("form_names", form_names), ("class_names", class_names)):
    if words:
      arrays[key] = np.array(words)
  _write(path, arrays)


def _write(path: pathlib.Path, arrays: dict[str, Any]) -> None:
  if path.suffix != ".npz":
    raise ValueError(f"`path` must end in .npz, got {str(path)!r}.")
  with replacing(path) as temporary, open(temporary, "wb") as file:
    np.savez(file, **arrays)
