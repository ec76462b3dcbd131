"""The embedded checkpoint, and pictures that it tells apart."""

import pytest

import s3_jax


@pytest.fixture(scope="session")
def clip():
  return s3_jax.load_clip("s3_jax/pictographs")


@pytest.fixture(scope="session")
def airplane(repository):
  return repository / "docs" / "figures" / "airplane.png"
