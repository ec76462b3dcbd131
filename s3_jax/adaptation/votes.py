"""ZERO: the views that are surest of a class vote for it."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from s3_jax.adaptation.confidence import log_mean_softmax, most_confident
from s3_jax.adaptation.options import confident_count

_LOG_HALF = float(np.log(0.5))


def majority_vote(
  logits: Float[Array | np.ndarray, "views classes"],
  *,
  confident_fraction: float = 0.1,
) -> Float[Array, " classes"]:
  """Counts the votes of the views that are surest of a class (ZERO).

  Each of the `n = max(1, floor(confident_fraction * B))` of `B` views whose
  softmax has the lowest entropy votes for its class of the largest logit. Where
  classes share the most votes, the surest of the other views that votes for one
  of them decides; where none does, the larger mean `q_c` of the softmaxes of
  the views that voted. A class with `v_c` votes gets `v_c + q_c / 2`, and the
  class that won a tie 1 / 2 more, divided by their sum over the classes: votes
  come first, and among equal votes the mean probability, so all classes are
  ranked.

  Args:
    logits: of every view, from any classifier or point-to-space metric.
    confident_fraction: share of the views that vote, in (0, 1].

  Returns:
    Logarithms of the shares, in float32 or wider: logits of the image. NaN
    where the logits of a view that votes hold one.

  Raises:
    ValueError: there is no view, or `confident_fraction` is out of range.

  References:
    ZERO (Farina et al., arXiv 2405.18330), whose first code has the share 0.1
    and its later one 0.3. Ours: half a vote that is shared out, so that classes
    without a vote have an order and a probability; a view of equal logits votes
    for the lower class, while a softmax near temperature zero would split its
    vote; the end of ties that no view breaks.
  """
  logits = jnp.asarray(logits)
  logits = logits.astype(jnp.promote_types(logits.dtype, jnp.float32))
  count, classes = logits.shape
  if count == 0:
    raise ValueError(
      "`logits` must hold at least the original view, got 0; "
      "put the image's own logits first."
    )
  kept = confident_count(count, confident_fraction)
  if classes == 0:
    return logits[0]
  order = most_confident(logits, count)
  mean = log_mean_softmax(logits[order[:kept]])
  favourites = jnp.argmax(logits, axis=1)[order]
  votes = jnp.bincount(favourites[:kept], length=classes)
  leads = votes == jnp.max(votes)
  winner = jnp.argmax(jnp.where(leads, mean, -jnp.inf))
  if kept < count:
    later = favourites[kept:]
    breaks = leads[later]
    winner = jnp.where(jnp.any(breaks), later[jnp.argmax(breaks)], winner)
  was_tied = jnp.sum(leads) > 1
  bonus = jnp.where((jnp.arange(classes) == winner) & was_tied, 0.5, 0.0)
  # In logarithms, as the mean of classes without a vote may underflow.
  counted = jnp.log(votes.astype(logits.dtype) + bonus.astype(logits.dtype))
  shares = jnp.logaddexp(counted, mean + _LOG_HALF)
  return shares - jax.nn.logsumexp(shares)
