"""What docs/SEGMENTATION.md prints."""

import re

import pytest

from s3_jax.segmentation import SEGMENTATION_PROTOCOLS
from s3_jax.segmentation.protocols import DATA_SETS


@pytest.fixture(scope="module")
def page(repository):
  return (repository / "docs" / "SEGMENTATION.md").read_text("utf-8")


def test_the_code_runs_as_printed(page, repository, monkeypatch):
  """With the checkpoint that is at hand, whose patches are smaller."""
  (block,) = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)
  for there, here in (
    ('"openai/clip-vit-base-patch16"', '"s3_jax/pictographs"'),
    ('["sclip/voc21"]', '["sclip/voc21"]._replace(short_side=60)'),
  ):
    assert block.count(there) == 1
    block = block.replace(there, here)
  monkeypatch.chdir(repository)
  names: dict = {}
  exec(compile(block, "docs/SEGMENTATION.md", "exec"), names)
  assert set(names["labels"].ravel()) <= {0, 1}


def test_every_protocol_is_named(page):
  for key in (*SEGMENTATION_PROTOCOLS, *DATA_SETS):
    assert key.split("/")[-1] in page
