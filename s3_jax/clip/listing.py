"""The checkpoints that can be loaded by name, in words."""

from s3_jax.clip.checkpoints import ZOO
from s3_jax.clip.zoo import MODELS, ModelSpec
from s3_jax.messages import nearest

__all__ = ["describe_towers", "list_models"]

_EMBEDDED = "comes with the package; knows {}, and nothing of photos"


def list_models(*, contains: str = "") -> dict[str, str]:
  """Lists the names that `load_clip` takes, each with a line about it.

  Args:
    contains: a part of the names, such as "siglip" or "laion".

  Returns:
    name -> image tower, pixels of its input, dimension of the embeddings, and
    licence of the weights where their publisher states one.

  Raises:
    ValueError: no name has this part.

  References:
    docs/MODELS.md has the whole table.
  """
  lines = {name: _EMBEDDED.format(name.rpartition("/")[2]) for name in MODELS}
  lines |= {name: _line(spec) for name, spec in ZOO.items()}
  found = {name: line for name, line in lines.items() if contains in name}
  if not found:
    raise ValueError(
      "`contains` must be a part of a name, such as"
      f" {nearest(lines, contains)}; got {contains!r:.60}."
    )
  return found


def _line(spec: ModelSpec) -> str:
  licence = f", {spec.source.licence}" if spec.source.licence else ""
  return (
    f"{describe_towers(spec)[0]}, {spec.image_size} pixels,"
    f" {spec.embed_dim} dimensions{licence}"
  )


def describe_towers(spec: ModelSpec) -> tuple[str, str]:
  """Describes the image and the text tower, blocks x channels."""
  if spec.image_tower == "resnet":
    blocks = "-".join(map(str, spec.image_stages))
    image = f"ResNet {blocks} x {spec.image_width}"
  else:
    size = f"{spec.image_layers} x {spec.image_width}"
    image = f"ViT/{spec.patch_size} {size}"
  return image, f"{spec.text_layers} x {spec.text_width}"
