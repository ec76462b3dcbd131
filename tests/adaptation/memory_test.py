"""The memory of a run over many images, by what XLA sets aside."""

import jax
import jax.numpy as jnp
import numpy as np

from s3_jax.adaptation import adapt_in_chunks
from tests.adaptation import oracles

CLASSES, SYNONYMS, DIM, VIEWS = 300, 4, 256, 16


def temporary_bytes(images, chunk, **options):
  points = jax.ShapeDtypeStruct((CLASSES, SYNONYMS, DIM), jnp.float32)
  few = oracles.exact_space(*oracles.make_texts(2, SYNONYMS, 8), np.float32)
  space = jax.tree.map(
    lambda x: jax.ShapeDtypeStruct((CLASSES, *x.shape[1:]), x.dtype), few
  )._replace(points=points)
  views = jax.ShapeDtypeStruct((images, VIEWS, DIM), jnp.float32)
  program = jax.jit(
    lambda views, space: adapt_in_chunks(
      views, space, oracles.LOG_SCALE, chunk=chunk, **options
    )
  )
  compiled = program.lower(views, space).compile()
  analysis = compiled.memory_analysis()
  assert analysis is not None
  return analysis.temp_size_in_bytes


def test_memory_is_that_of_a_chunk_however_many_the_images():
  few, many = temporary_bytes(8, 8), temporary_bytes(256, 8)
  bound = 16 * 8 * CLASSES * (DIM + VIEWS) + (32 << 20)
  result = 256 * CLASSES * 4
  assert many <= few + 2 * result
  assert few <= bound
  # Shifted points of a chunk alone would take as much as four such shifts.
  assert few < 8 * CLASSES * SYNONYMS * DIM * 4
  steps = temporary_bytes(8, 8, metric="center", steps=3)
  assert steps <= bound
  directions = np.eye(60, DIM, dtype=np.float32)
  steered = {"shift": "shared", "directions": directions, "predict": "all"}
  assert temporary_bytes(8, 8, **steered) <= bound
  assert temporary_bytes(256, 8, **steered) <= bound + 2 * result
