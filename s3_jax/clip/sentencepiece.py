"""SentencePiece models, the vocabulary of SigLIP.

A `.model` file is a unigram or byte-pair model with its own normalisation
inside; Google's `sentencepiece` runs it.
"""

import os
import pathlib
from collections.abc import Sequence
from typing import Any, NamedTuple


class SentencePiece(NamedTuple):
  """A SentencePiece model.

  Attributes:
    processor: of the library `sentencepiece`.
    content: the file's bytes, so that the model can be written elsewhere.
  """

  processor: Any
  content: bytes

  def encode(self, texts: Sequence[str]) -> list[list[int]]:
    """Cuts texts into pieces.

    The names of control pieces, such as `</s>`, are ordinary text here.

    Args:
      texts: cleaned texts.

    Returns:
      Ids, without a start or an end.
    """
    return self.processor.encode(list(texts))


def read_sentencepiece(path: str | os.PathLike[str]) -> SentencePiece:
  """Reads a SentencePiece model.

  Args:
    path: the file, such as spiece.model or tokenizer.model.

  Returns:
    The model.

  Raises:
    ValueError: the file is missing or broken.
  """
  import sentencepiece

  path = pathlib.Path(path)
  try:
    content = path.read_bytes()
  except OSError as error:
    raise ValueError(
      f"{path} must be a readable file, got: {error.strerror}."
    ) from error
  processor = sentencepiece.SentencePieceProcessor()
  try:
    processor.LoadFromSerializedProto(content)
  except RuntimeError as error:
    raise ValueError(
      f"{path} must be a SentencePiece model, got {len(content)} bytes that"
      " are none; fetch the file again."
    ) from error
  return SentencePiece(processor, content)
