"""The embedded world's scenes with masks: drawn once, then read like any other.

As `pictograph_sets` for single pictographs; the masks stay encoded.
"""

import pathlib
import threading
from collections.abc import Sequence
from typing import Any

from s3_jax.data.quiet import quiet_tfds
from s3_jax.data.specs import TfdsSource

__all__ = ["Scenes"]


class Scenes:
  """Records of images and masks, prepared when the first one is asked for.

  A run whose results are all in the cache never draws them.
  """

  def __init__(self, source: TfdsSource, examples: int, folder: pathlib.Path):
    self._source = source
    self._examples = examples
    self._folder = folder
    self._lock = threading.Lock()
    self._records: Sequence[Any] | None = None

  def __len__(self) -> int:
    return self._examples

  def __getitem__(self, index: int) -> dict[str, bytes]:
    with self._lock:
      if self._records is None:
        self._records = self._open()
    record = self._records[index]
    return {"image": record["image"], "mask": record["segmentation_mask"]}

  def _open(self) -> Sequence[Any]:
    import tensorflow_datasets as tfds

    from s3_jax.data.pictograph_builder import Pictographs

    self._folder.mkdir(parents=True, exist_ok=True)
    with quiet_tfds():
      make_builder: Any = Pictographs  # TFDS's decorator hides its arguments
      builder = make_builder(
        data_dir=str(self._folder),
        config=self._source.config,
        file_format="array_record",
      )
      builder.download_and_prepare()
      skip = tfds.decode.SkipDecoding()
      records = builder.as_data_source(
        self._source.split,
        decoders={"image": skip, "segmentation_mask": skip},
      )
    if len(records) != self._examples:
      raise ValueError(
        f"the scenes must be {self._examples}, and {builder.data_path} holds"
        f" {len(records)}: remove the folder to prepare it again."
      )
    return records
