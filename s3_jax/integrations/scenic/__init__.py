"""Inside Google's Scenic: its weights, an evaluator, a data set.

Scenic (github.com/google-research/scenic) keeps parameters in a nested dict,
feeds batches with a leading axis of local devices to steps under `jax.pmap`,
and reports a measure as a sum and a normaliser. The functions here speak that
language and need nothing of Scenic but, to register a data set, its registry.
Scenic's "metrics" are our measures; `metric` means a point-to-space metric.
docs/SCENIC.md shows them at work.

References:
  Scenic's conventions are those of its repository at commit 4a38d475, of
  July 2026.
"""

from s3_jax.integrations.scenic.dataset import (
  Dataset,
  make_dataset,
  register_dataset,
)
from s3_jax.integrations.scenic.evaluation import (
  Writer,
  eval_step,
  evaluate,
  metric_pairs,
)
from s3_jax.integrations.scenic.inputs import (
  BYTES,
  IMAGENET,
  UNIT,
  PixelScaling,
)
from s3_jax.integrations.scenic.variables import from_variables, to_variables

__all__ = [
  "BYTES",
  "IMAGENET",
  "UNIT",
  "Dataset",
  "PixelScaling",
  "Writer",
  "eval_step",
  "evaluate",
  "from_variables",
  "make_dataset",
  "metric_pairs",
  "register_dataset",
  "to_variables",
]
