"""The index of a checkpoint that is cut into several files."""

import pathlib

from s3_jax.clip.documents import parse_object

INDEX_SUFFIX = ".index.json"


def read_index(path: pathlib.Path) -> dict[str, set[str]]:
  """Reads which file of a sharded checkpoint holds which tensors.

  Args:
    path: the index, a JSON object whose `weight_map` maps tensors to files.

  Returns:
    File names, which lie beside the index, and the tensors of each.

  Raises:
    ValueError: the index is broken, names a tensor twice, or a file elsewhere.
    OSError: it cannot be read.
  """
  document = parse_object(path.read_bytes(), path)
  weight_map = document.get("weight_map")
  if not isinstance(weight_map, dict) or not weight_map:
    raise ValueError(f"{path} must hold a `weight_map` of tensors to files.")
  shards: dict[str, set[str]] = {}
  for name, shard in weight_map.items():
    if not isinstance(shard, str) or pathlib.PurePath(shard).name != shard:
      raise ValueError(
        f"{path} must name files beside itself, got {shard!r} for {name!r}."
      )
    shards.setdefault(shard, set()).add(name)
  return shards
