"""Settings of the tests of adaptation."""

import jax
import pytest


@pytest.fixture(scope="module", autouse=True)
def _compile_fast(request):
  """Programs that run for milliseconds are not worth optimising."""
  optimize = request.module.__name__.endswith("memory_test")
  jax.config.update("jax_disable_most_optimizations", not optimize)
  yield
  jax.config.update("jax_disable_most_optimizations", False)
