"""The adapter is there whether or not Scenic is."""

import subprocess
import sys

SCRIPT = """
import sys
from absl import flags
import jax, flax.linen
before = set(flags.FLAGS)
from s3_jax.integrations import scenic
import s3_jax.integrations.scenic as same
assert same is scenic and len(set(scenic.__all__)) == len(scenic.__all__)
assert all(hasattr(scenic, name) for name in scenic.__all__)
heavy = {"scenic", "tensorflow", "clu", "tensorflow_datasets", "grain", "torch"}
print(sorted(heavy & sys.modules.keys()), set(flags.FLAGS) - before)
"""


def test_nothing_heavy_is_imported_and_no_flag_defined(repository):
  done = subprocess.run(
    [sys.executable, "-c", SCRIPT],
    cwd=repository,
    capture_output=True,
    text=True,
    timeout=120,
    check=False,
  )
  assert not done.returncode, done.stderr
  assert done.stdout.strip() == "[] set()"
