"""Adaptation of one image in float64, on points, by torch's autograd and AdamW.

Also MTA as loops. Nothing here knows Gram matrices of shifted spaces.
"""

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
import torch

from s3_jax.space import build_space

LOG_SCALE = float(np.log(20.0))
NEIGHBORS = 3
TEMPERATURE = 0.05


class Adaptation(NamedTuple):
  """What the oracle saw: of the first step, and after the last."""

  entropies: np.ndarray
  kept: list[int]
  loss: float
  gradient: np.ndarray
  shift: np.ndarray
  logits: np.ndarray


def unit(rng, *shape):
  x = rng.normal(size=shape)
  return x / np.linalg.norm(x, axis=-1, keepdims=True)


def make_texts(classes, synonyms, dim=16, *, seed=0):
  """Texts around a center a class, and which of them are real."""
  rng = np.random.default_rng(seed)
  points = unit(rng, classes, 1, dim) + 0.6 * unit(rng, classes, synonyms, dim)
  points /= np.linalg.norm(points, axis=-1, keepdims=True)
  mask = rng.random((classes, synonyms)) < 0.8
  mask[:, 0] = True
  return points, mask


def make_views(points, images=1, views=20, *, seed=1):
  """Views of images near texts; the later the view the farther away."""
  rng = np.random.default_rng(seed)
  classes, synonyms, dim = points.shape
  chosen = points[
    rng.integers(classes, size=images), rng.integers(synonyms, size=images)
  ]
  noise = rng.uniform(0.4, 1.6, size=(images, views, 1))
  noise = noise * unit(rng, images, views, dim)
  x = chosen[:, None] + noise
  return x / np.linalg.norm(x, axis=-1, keepdims=True)


def exact_space(points, mask, dtype: Any = np.float64):
  """The space of given points in any precision, without pruning."""
  space = build_space(points.astype(np.float32), mask, scale=None, keep="all")
  masked = np.where(mask[:, :, None], points, 0.0)
  gram = np.einsum("cid,cjd->cij", masked, masked)
  return space._replace(
    points=jnp.asarray(points, dtype), gram=jnp.asarray(gram, dtype)
  )


def _class_score(name, x, z):
  """Scores of all views `x` and one class's vertices `z`, torch float64."""
  s = x @ z.T
  if name == "nearest_point":
    return s.max(dim=1).values
  if name == "mean_similarity":
    return s.mean(dim=1)
  if name == "center":
    mean = z.mean(dim=0).expand(len(x), -1)
  elif name == "local_center":
    order = torch.argsort(s, dim=1, descending=True, stable=True)
    mean = z[order[:, :NEIGHBORS]].mean(dim=1)
  else:
    assert name == "soft_local_center"
    mean = torch.softmax(s / TEMPERATURE, dim=1) @ z
  return (x * mean).sum(dim=1) / mean.norm(dim=1)


def adapt(
  name,
  views,
  points,
  mask,
  *,
  log_scale=LOG_SCALE,
  fraction=0.3,
  steps=1,
  learning_rate=5e-3,
  weight_decay=0.01,
  shared=False,
  directions=None,
  predict="original",
):
  """Adapts to one image, from the formulas alone.

  With `directions` the optimiser's variables are coefficients of them. Logits
  of several views are the logarithm of the mean of their softmaxes.
  """
  x = torch.tensor(np.asarray(views, np.float64))
  cores = [
    torch.tensor(z[m])
    for z, m in zip(np.asarray(points, np.float64), mask, strict=True)
  ]
  groups = 1 if shared else len(cores)
  axes = torch.eye(x.shape[1], dtype=x.dtype)
  if directions is not None:
    axes = torch.tensor(np.asarray(directions, np.float64))
  variables = torch.zeros(groups, len(axes), dtype=x.dtype, requires_grad=True)

  def logits(x):
    scores = []
    shift = variables @ axes
    for c, z in enumerate(cores):
      moved = z + shift[0 if shared else c]
      moved = moved / moved.norm(dim=1, keepdim=True)
      scores.append(_class_score(name, x, moved))
    return np.exp(log_scale) * torch.stack(scores, dim=1)

  optimizer = torch.optim.AdamW(
    [variables], lr=learning_rate, weight_decay=weight_decay
  )
  seen: list[tuple] = []
  for _ in range(steps):
    logs = torch.log_softmax(logits(x), dim=1)
    entropies = -(logs.exp() * logs).sum(dim=1)
    order = torch.argsort(entropies, stable=True)
    kept = order[: max(1, int(fraction * len(x) + 1e-6))]
    mean = logs[kept].exp().mean(dim=0)
    loss = -(mean * mean.log()).sum()
    optimizer.zero_grad()
    loss.backward()
    assert variables.grad is not None
    seen.append(
      (
        entropies.detach().numpy(),
        kept.tolist(),
        loss.item(),
        variables.grad.numpy().copy(),
      )
    )
    optimizer.step()
  with torch.no_grad():
    seen_last = {"original": [0], "confident": seen[0][1]}
    final = logits(x[seen_last.get(predict, list(range(len(x))))])
    if predict == "original":
      final = final[0].numpy()
    else:
      final = final.softmax(dim=1).mean(dim=0).log().numpy()
  entropies, kept, loss, gradient = seen[0]
  final_shift = (variables @ axes).detach().numpy().copy()
  return Adaptation(entropies, kept, loss, gradient, final_shift, final)


def mean_shift(
  views,
  classifier,
  log_scale=LOG_SCALE,
  *,
  lambda_y=0.2,
  lambda_q=4.0,
  fraction=0.3,
  steps=5,
  inner_steps=5,
  tolerance=1e-6,
):
  """MTA by loops over views, in float64."""
  f = [np.asarray(view, np.float64) for view in views]
  n = len(f)
  logits = np.exp(log_scale) * np.stack(f) @ np.float64(classifier).T
  r = np.exp(logits - logits.max(axis=1, keepdims=True))
  r /= r.sum(axis=1, keepdims=True)
  affinity = r @ r.T
  near = max(1, int(fraction * (n - 1) + 1e-6))
  widths = []
  for p in range(n):
    others = [np.sum((f[p] - f[q]) ** 2) for q in range(n) if q != p]
    widths.append(max(0.5 * np.mean(sorted(others)[:near]), 1e-12))

  def kernel(mode):
    return np.array(
      [np.exp(-np.sum((f[p] - mode) ** 2) / (2 * widths[p])) for p in range(n)]
    )

  y, mode = np.full(n, 1 / n), f[0]
  for _ in range(steps):
    density = kernel(mode)
    for _ in range(inner_steps):
      old = y
      y = (density + lambda_q * affinity @ y) / lambda_y
      y = np.exp(y - y.max())
      y /= y.sum()
      if np.linalg.norm(y - old) < tolerance:
        break
    for _ in range(inner_steps):
      old = mode
      weights = y * kernel(mode)
      mode = sum(w * v for w, v in zip(weights, f, strict=True))
      mode = mode / np.linalg.norm(mode)
      if np.linalg.norm(mode - old) < tolerance:
        break
  return mode
