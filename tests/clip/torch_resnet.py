"""OpenAI's modified ResNet written down with torch's own layers.

The oracle of resnet_test.py and of benchmarks/parity.py; it takes the weights
under OpenAI's names.

References:
  Radford et al. 2021 (arXiv 2103.00020), section 2.4, and OpenAI's CLIP,
  clip/model.py.
"""

import itertools
from collections.abc import Mapping

import numpy as np
import torch
from torch import nn


def modified_resnet(
  arrays: Mapping[str, np.ndarray], images: np.ndarray, heads: int
) -> np.ndarray:
  """Embeds normalised images; not unit vectors.

  Args:
    arrays: weights under OpenAI's names, other names than `visual.*` ignored.
    images: f32[batch, rows, cols, 3].
    heads: of the attention pooling.

  Returns:
    f32[batch, dim].
  """
  state = {
    name.removeprefix("visual."): torch.tensor(value)
    for name, value in arrays.items()
    if name.startswith("visual.")
  }

  def convolve(x, name, *, stride=1):
    weight = state[f"{name}.weight"]
    padding = weight.shape[-1] // 2
    return nn.functional.conv2d(x, weight, stride=stride, padding=padding)

  def normalise(x, name):
    return nn.functional.batch_norm(
      x,
      state[f"{name}.running_mean"],
      state[f"{name}.running_var"],
      state[f"{name}.weight"],
      state[f"{name}.bias"],
      eps=1e-5,
    )

  def has_block(name):
    return f"{name}.conv1.weight" in state

  halve = nn.AvgPool2d(2)
  x = torch.tensor(images).permute(0, 3, 1, 2)
  for index, stride in ((1, 2), (2, 1), (3, 1)):
    x = convolve(x, f"conv{index}", stride=stride)
    x = normalise(x, f"bn{index}").relu()
  x = halve(x)
  for stage in range(1, 5):
    blocks = itertools.count()
    names = (f"layer{stage}.{block}" for block in blocks)
    for name in itertools.takewhile(has_block, names):
      smaller = halve if stage > 1 and name.endswith(".0") else nn.Identity()
      y = normalise(convolve(x, f"{name}.conv1"), f"{name}.bn1").relu()
      y = normalise(convolve(y, f"{name}.conv2"), f"{name}.bn2").relu()
      y = normalise(convolve(smaller(y), f"{name}.conv3"), f"{name}.bn3")
      if f"{name}.downsample.0.weight" in state:
        x = convolve(smaller(x), f"{name}.downsample.0")
        x = normalise(x, f"{name}.downsample.1")
      x = (x + y).relu()
  cells = x.flatten(2).permute(2, 0, 1)
  cells = torch.cat([cells.mean(0, keepdim=True), cells])
  cells += state["attnpool.positional_embedding"][:, None]
  mixed, _ = nn.functional.multi_head_attention_forward(
    query=cells[:1],
    key=cells,
    value=cells,
    embed_dim_to_check=cells.shape[-1],
    num_heads=heads,
    in_proj_weight=None,
    in_proj_bias=torch.cat(
      [state[f"attnpool.{map}_proj.bias"] for map in "qkv"]
    ),
    bias_k=None,
    bias_v=None,
    add_zero_attn=False,
    dropout_p=0.0,
    out_proj_weight=state["attnpool.c_proj.weight"],
    out_proj_bias=state["attnpool.c_proj.bias"],
    training=False,
    need_weights=False,
    use_separate_proj_weight=True,
    q_proj_weight=state["attnpool.q_proj.weight"],
    k_proj_weight=state["attnpool.k_proj.weight"],
    v_proj_weight=state["attnpool.v_proj.weight"],
  )
  return mixed[0].numpy()
