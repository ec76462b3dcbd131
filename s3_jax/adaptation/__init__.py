"""Test-time adaptation: classification that adapts to each image by itself.

From an image's embedded views, the original first, several ways lead to scores:

| name | what moves | what it needs |
|---|---|---|
| `adapted_scores`, method "ts3" | every class's space | gradients |
| the same, method "tps" | every class's one vertex | gradients |
| `robust_mean_shift` (MTA) | the image's embedding | no gradient |
| `average_views` | the image's embedding | an average |
| `anchored_average` | the image's embedding | logits of the views |
| `adapted_scores` on `spectral_directions` | all vertices alike | gradients |
| `majority_vote` (ZERO) | nothing: views vote | logits of the views |

`tda_scores` and `dmn_scores` learn from the images before one, in their order.

One image in; `adapt_in_chunks` and `jax.vmap` are outside. See
docs/ADAPTATION.md.
"""

from s3_jax.adaptation.adapt import (
  adapt_in_chunks,
  adapt_space,
  adapted_scores,
)
from s3_jax.adaptation.prototypes import (
  center_space,
  template_descriptor_classifier,
)
from s3_jax.adaptation.spectra import spectral_directions
from s3_jax.adaptation.streams import (
  DmnOptions,
  TdaOptions,
  dmn_scores,
  tda_scores,
)
from s3_jax.adaptation.view_averages import (
  anchored_average,
  average_views,
  robust_mean_shift,
)
from s3_jax.adaptation.votes import majority_vote

__all__ = [
  "DmnOptions",
  "TdaOptions",
  "adapt_in_chunks",
  "adapt_space",
  "adapted_scores",
  "anchored_average",
  "average_views",
  "center_space",
  "dmn_scores",
  "majority_vote",
  "robust_mean_shift",
  "spectral_directions",
  "tda_scores",
  "template_descriptor_classifier",
]
