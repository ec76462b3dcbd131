"""The libraries that `pip install s3_jax` leaves out, under the extra of each.

They are imported inside functions, after `require`, which says in one line how
to get what is absent.
"""

import importlib.util
from collections.abc import Mapping

__all__ = ["EXTRAS", "require"]

EXTRAS: Mapping[str, Mapping[str, str]] = {
  "data": {
    "tensorflow_datasets": "TensorFlow Datasets",
    "importlib_resources": "importlib_resources",
    "array_record": "array_record",
    "grain": "Grain",
    "pyarrow": "pyarrow",
    "matplotlib": "matplotlib",
  },
  "export": {"flatbuffers": "FlatBuffers"},
  "fast": {"numba": "Numba", "simplejpeg": "simplejpeg"},
  "figures": {"matplotlib": "matplotlib"},
  "generate": {"openai": "the library openai"},
  "segmentation": {"cv2": "OpenCV", "matplotlib": "matplotlib"},
}
"""Extra of pyproject.toml -> module -> what its library is called."""


def require(extra: str, *modules: str, by: str) -> None:
  """Refuses to go on without libraries that an extra brings.

  Args:
    extra: a key of EXTRAS.
    *modules: of that extra; all of them by default.
    by: what needs them, as the beginning of a sentence.

  Raises:
    ValueError: if one is not installed, with the command that brings it.
  """
  for module in modules or EXTRAS[extra]:
    if importlib.util.find_spec(module) is None:
      raise ValueError(
        f"{by} needs {EXTRAS[extra][module]}, which is not installed: pip"
        f" install 's3_jax[{extra}]'."
      )
