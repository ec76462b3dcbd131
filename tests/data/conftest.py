"""A world of six classes, small enough to draw in every test."""

import io

import numpy as np
import pytest

from s3_jax.lexicon.synonyms import load_lexicon


@pytest.fixture(scope="session")
def six_classes():
  """The first six classes of the packaged table."""
  lexicon = load_lexicon("pictographs")
  return lexicon._replace(classes=lexicon.classes[:6])


@pytest.fixture(scope="session")
def png():
  """Encodes pixels without loss."""
  from PIL import Image

  def encode(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()

  return encode
