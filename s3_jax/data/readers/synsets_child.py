"""A program that reads ImageNet's meta.mat in a process of its own.

scipy's parser may end the process, or fill the memory, where a file is damaged
on purpose. This module imports nothing of the package, so that it starts fast;
`ground_truth` runs it with the file on its standard input and reads JSON lists
of [ILSVRC2012 id, WordNet id] from its standard output.
"""

import io
import json
import resource
import sys

MEMORY = 2 << 30
"""Bytes of address space, most of it numpy's and scipy's own."""

ROWS = 100_000
"""Of synsets: ILSVRC2012 has 1,860."""

SECONDS = 30
"""Of processor time."""


def main() -> None:
  """Reads one file; what scipy raises becomes a line of standard error."""
  for limit, value in (
    (resource.RLIMIT_AS, MEMORY),
    (resource.RLIMIT_CPU, SECONDS),
    (resource.RLIMIT_CORE, 0),
  ):
    try:
      resource.setrlimit(limit, (value, value))
    except (OSError, ValueError):  # a system without this limit, or a lower one
      continue
  from scipy.io import loadmat

  try:
    data = io.BytesIO(sys.stdin.buffer.read())
    synsets = loadmat(data, squeeze_me=True, variable_names=["synsets"])
    rows = synsets["synsets"][["ILSVRC2012_ID", "WNID"]].tolist()
    if len(rows) > ROWS:
      raise ValueError(f"{len(rows)} synsets")
    pairs = [[int(row[0]), str(row[1])[:20]] for row in rows]
  except BaseException as error:  # MemoryError and all that parsers raise
    sys.stderr.write(f"a file that scipy refuses ({type(error).__name__})")
    sys.exit(1)
  sys.stdout.write(json.dumps(pairs))


if __name__ == "__main__":
  main()
