"""The index of a checkpoint that is cut into several files."""

import pathlib

from s3_jax.clip.documents import parse_object, read_content, shown

INDEX_SUFFIX = ".index.json"
_LARGEST = 1 << 26  # bytes


def read_index(path: pathlib.Path) -> dict[str, set[str]]:
  """Reads which file of a sharded checkpoint holds which tensors."""
  document = parse_object(read_content(path, limit=_LARGEST), path)
  weight_map = document.get("weight_map")
  if not isinstance(weight_map, dict) or not weight_map:
    raise ValueError(f"{path} must hold a `weight_map` of tensors to files.")
  shards: dict[str, set[str]] = {}
  for name, shard in weight_map.items():
    good = isinstance(shard, str) and shard.isprintable()
    if not good or pathlib.PurePath(shard).name != shard:
      raise ValueError(
        f"{path} must name files beside itself, got {shown(shard)} for"
        f" {shown(name)}."
      )
    shards.setdefault(shard, set()).add(name)
  return shards
