"""What `import s3_jax` brings along, seen from a fresh process."""

import json
import subprocess
import sys

import pytest

SCRIPT = """
import json, sys
from absl import flags
import jax, flax.linen
flags_before = set(flags.FLAGS)
threads_before = sys.modules["threading"].active_count()

import s3_jax

modules = sorted({name.partition(".")[0] for name in sys.modules})
ours = [name for name in flags.FLAGS.flags_by_module_dict() if "s3_jax" in name]
new_flags = sorted(set(flags.FLAGS) - flags_before)
threads = sys.modules["threading"].active_count() - threads_before
# Refused as soon as anything has touched a device.
jax.config.update("jax_num_cpu_devices", 3)
print(json.dumps({
  "modules": modules,
  "flags": new_flags + ours,
  "threads": threads,
  "devices": jax.device_count(),
}))
"""

HEAVY = (
  "clu",
  "grain",
  "matplotlib",
  "pandas",
  "sklearn",
  "tensorflow",
  "tensorflow_datasets",
  "torch",
  "transformers",
)


@pytest.fixture(scope="module")
def after_import(repository):
  done = subprocess.run(
    [sys.executable, "-W", "error::DeprecationWarning:s3_jax", "-c", SCRIPT],
    cwd=repository,
    capture_output=True,
    text=True,
    timeout=120,
    check=False,
  )
  assert not done.returncode, done.stderr
  return json.loads(done.stdout)


@pytest.mark.parametrize("library", HEAVY)
def test_nothing_heavy_is_loaded(after_import, library):
  assert library not in after_import["modules"]


def test_jax_and_flax_are_loaded(after_import):
  assert {"jax", "flax", "s3_jax"} <= set(after_import["modules"])


def test_no_flag_is_defined(after_import):
  assert after_import["flags"] == []


def test_no_device_is_touched_and_no_thread_started(after_import):
  assert after_import["devices"] == 3
  assert after_import["threads"] == 0
