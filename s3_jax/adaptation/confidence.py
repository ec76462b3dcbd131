"""How sure a classifier is of views: entropies, selection, and what is lowered.

Classes lie on the last axis. Where one class has nearly all the probability,
`1 - p` is never formed: entropies and gradients of sure views keep their digits
in float32.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float, Int


def entropies(
  logits: Float[Array, "views classes"],
) -> Float[Array, " views"]:
  """Entropy `-sum_c p_c log p_c` of each row's softmax, in nats.

  References:
    Shannon's entropy, as TPT (arXiv 2209.07511) and TPS (arXiv 2403.12952) take
    it for confidence.
  """
  logs = _log_softmax(logits)
  return -jnp.sum(jnp.exp(logs) * logs, axis=-1)


def most_confident(
  logits: Float[Array, "views classes"], count: int
) -> Int[Array, " count"]:
  """Chooses the views of the lowest entropy; of equal ones the lower index.

  References:
    TPT (arXiv 2209.07511); the ties are ours.
  """
  return jnp.argsort(entropies(logits), stable=True)[:count]


def log_mean_softmax(
  logits: Float[Array, "views classes"],
) -> Float[Array, " classes"]:
  """Logarithm of the mean of the views' softmaxes.

  References:
    The marginal distribution of TPT (arXiv 2209.07511).
  """
  return _log_mean(_log_softmax(logits))


def marginal_entropy(
  logits: Float[Array, "views classes"],
) -> tuple[Float[Array, ""], Float[Array, "views classes"]]:
  """Entropy of the mean of the views' softmaxes, and its gradient.

  With `p_b` the softmax of view `b` and `q` their mean over `n` views, the loss
  is `-sum_c q_c log q_c` and its derivative with respect to the logit of view
  `b` and class `c` is `-(p_bc / n) (log q_c - sum_k p_bk log q_k)`.

  References:
    The loss of TPT (arXiv 2209.07511) and TPS (arXiv 2403.12952); this form of
    it is ours.
  """
  views = logits.shape[0]
  logs = _log_softmax(logits)
  mean_logs = _log_mean(logs)
  loss = -jnp.sum(jnp.exp(mean_logs) * mean_logs)
  # Relative to the view's top class, whose own term is then exactly 0.
  top = jnp.argmax(logits, axis=1)
  relative = mean_logs[None] - mean_logs[top][:, None]
  probabilities = jnp.exp(logs)
  expected = jnp.sum(probabilities * relative, axis=1, keepdims=True)
  return loss, (expected - relative) * probabilities / views


def _log_mean(logs):
  """Logarithm of the mean over views of probabilities given as logarithms."""
  most = jnp.max(logs, axis=0)
  mean_less_one = jnp.mean(jnp.expm1(logs - most[None]), axis=0)
  return most + jnp.log1p(mean_less_one)


def _log_softmax(logits):
  """Logarithm of the softmax; that of a probability near 1 is exact as well."""
  # By index, not by `== max`: fused kernels may round a logit in two ways.
  top = jnp.argmax(logits, axis=-1, keepdims=True)
  is_top = jnp.arange(logits.shape[-1])[None, :] == top
  below = logits - jnp.max(logits, axis=-1, keepdims=True)
  below = jnp.where(is_top, 0.0, below)
  rest = jnp.where(is_top, 0.0, jnp.exp(below))
  return below - jnp.log1p(jnp.sum(rest, axis=-1, keepdims=True))
