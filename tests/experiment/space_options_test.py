"""What a config may say about the pruning of spaces."""

import json

import ml_collections
import numpy as np
import pytest

from s3_jax.experiment.methods.spaces import SpaceOptions
from s3_jax.fields import read
from s3_jax.space import build_space


def _read(**changes):
  fields = {
    "metric": "local_center",
    "neighbors": 4,
    "scale": "gap",
    "keep": "largest",
  }
  config = ml_collections.ConfigDict({**fields, **changes})
  return read(SpaceOptions, config.to_dict())


@pytest.mark.parametrize(
  ("given", "expected"),
  [
    ("gap", "gap"),
    (None, None),
    ("None", None),
    (1, 1.0),
    ("0.75", 0.75),
    (("quantile", 0.9), ("quantile", 0.9)),
    (("quantile", 0), ("quantile", 0.0)),
    (["coverage", 1], ("coverage", 1.0)),
  ],
)
def test_every_rule_reaches_the_space(given, expected):
  options = _read(scale=given)
  assert options.scale == expected
  assert json.loads(json.dumps({"scale": given}))  # as results.json stores it
  points = np.tile(np.eye(3, dtype=np.float32), (2, 1, 1))
  build_space(
    points, np.ones((2, 3), bool), scale=options.scale, keep=options.keep
  )


@pytest.mark.parametrize(
  "scale",
  [
    "quantile",
    -1.0,
    "nan",
    ("quantile",),
    ("quantile", 1.5),
    ("quantile", float("nan")),
    ("coverage", 0),
    ("coverage", "0.5"),
    ("coverage", True),
    ("median", 0.5),
    ("quantile", 0.5, 0.6),
    (),
  ],
)
def test_other_scales_are_refused(scale):
  with pytest.raises(ValueError, match="`config.scale` must be") as error:
    _read(scale=scale)
  assert "\n" not in str(error.value)


@pytest.mark.parametrize("keep", ["largest", "label", "all"])
def test_every_component_is_read(keep):
  assert _read(keep=keep).keep == keep


def test_other_components_are_refused():
  with pytest.raises(ValueError, match="`config.keep` must be one of largest,"):
    _read(keep="first")
