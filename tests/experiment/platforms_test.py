"""The platform that was asked for, or an error; never a silent CPU."""

import os
import subprocess
import sys
import types

import pytest

from s3_jax.experiment.machine import platforms
from s3_jax.experiment.machine.platforms import Machine, check_backend


def machine(asked="", installed=(), **present):
  return Machine(asked, frozenset(installed), present)


@pytest.fixture
def fake_jax(monkeypatch):
  """Puts something in the place of jax that records what it is told."""

  def make(backend, platforms_set=None):
    told = []

    def default_backend():
      if isinstance(backend, Exception):
        raise backend
      return backend

    config = types.SimpleNamespace(
      update=lambda *pair: told.append(pair), jax_platforms=platforms_set
    )
    fake = types.SimpleNamespace(config=config, default_backend=default_backend)
    monkeypatch.setattr(platforms, "jax", fake)
    return told

  return make


@pytest.mark.parametrize(
  ("name", "installed", "wanted"),
  [
    ("cpu", (), "cpu"),
    ("gpu", (), "cuda"),
    ("gpu", ("cuda", "rocm"), "cuda"),
    ("gpu", ("rocm",), "rocm"),
    ("tpu", ("cuda",), "tpu"),
  ],
)
def test_a_platform_is_required(fake_jax, monkeypatch, name, installed, wanted):
  told = fake_jax(name)
  monkeypatch.setattr(
    platforms, "describe_machine", lambda: machine(installed=installed)
  )
  platforms.require_platform(name)
  assert told == [("jax_platforms", wanted)]


@pytest.mark.parametrize(
  ("error", "words"),
  [
    (RuntimeError("no such backend"), "no such backend"),
    (AssertionError(), "no such device"),
  ],
)
def test_a_platform_that_cannot_be_started(fake_jax, error, words):
  fake_jax(error)
  with pytest.raises(ValueError, match=f"`--platform` .*'gpu': .*{words}"):
    platforms.require_platform("gpu")


def test_another_platform_was_there_first(fake_jax):
  fake_jax("cpu")
  with pytest.raises(ValueError, match="`--platform` .*'tpu' after 'cpu'"):
    platforms.require_platform("tpu")


def test_an_unknown_platform():
  with pytest.raises(ValueError, match="`--platform` .*cpu, gpu, tpu, got 'x'"):
    platforms.require_platform("x")


def test_the_real_jax_has_no_gpu_here(repository):
  """In a process of its own, as a backend is started once."""
  script = (
    "from s3_jax.experiment.machine import platforms\n"
    "try:\n"
    "  platforms.require_platform('gpu')\n"
    "except ValueError as error:\n"
    "  print(error)\n"
  )
  if any(platforms.describe_machine().present):
    pytest.skip("a GPU may be here")
  environment = {**os.environ}
  environment.pop("JAX_PLATFORMS", None)
  done = subprocess.run(
    [sys.executable, "-c", script],
    cwd=repository,
    env=environment,
    capture_output=True,
    text=True,
    timeout=60,
  )
  assert not done.returncode, done.stderr
  assert done.stdout.startswith("`--platform` must be a platform that JAX")


GPU = {"cuda": "/dev/nvidia0"}


@pytest.mark.parametrize(
  ("facts", "backend"),
  [
    (machine(), "cpu"),
    (machine(installed=("cuda", "tpu")), "cpu"),  # nothing is there
    (machine(installed=("cuda",), **GPU), "gpu"),
    (machine("cpu", ("cuda",), **GPU), "cpu"),  # as asked
    (machine("cpu", **GPU), "cpu"),
    (machine(**GPU), "tpu"),
  ],
)
def test_what_is_as_expected(facts, backend):
  check_backend(facts, backend)


@pytest.mark.parametrize(
  ("key", "title", "file"),
  [
    ("cuda", "an NVIDIA GPU", "/dev/nvidia0"),
    ("rocm", "an AMD GPU", "/dev/kfd"),
    ("tpu", "a TPU", "/dev/accel0"),
  ],
)
def test_a_silent_fall_back_is_refused(key, title, file):
  facts = machine(installed=(key,), **{key: file})
  with pytest.raises(ValueError) as caught:
    check_backend(facts, "cpu")
  message = str(caught.value)
  assert message.startswith(f"JAX must run on {title}, which is there ({file})")
  assert "another process" in message and "driver" in message
  assert "`--platform=cpu`" in message and "\n" not in message


@pytest.mark.parametrize(
  ("key", "extra"),
  [("cuda", "jax[cuda13]"), ("rocm", "jax[rocm7"), ("tpu", "jax[tpu]")],
)
def test_missing_support_is_one_warning(key, extra):
  facts = machine(**{key: "/dev/x"})
  with pytest.warns(UserWarning) as caught:
    check_backend(facts, "cpu")
  (warning,) = caught
  assert extra in str(warning.message) and "/dev/x" in str(warning.message)
  assert "\n" not in str(warning.message)


def test_jax_that_does_not_start(fake_jax, monkeypatch):
  fake_jax(RuntimeError("Unable to initialize backend 'cuda': busy"))
  with pytest.raises(ValueError, match="'cuda': busy; `--platform=cpu`"):
    platforms.check_fallback()
  # Nothing is started where a platform was named.
  fake_jax(RuntimeError("never asked"), "cuda")
  platforms.check_fallback()


def touch(root, *names):
  for name in names:
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).touch()


def test_device_files(tmp_path):
  names = ("null", "nvidiactl", "accel/accel0", "vfio/vfio", "vfio/0")
  touch(tmp_path, *(f"dev/{name}" for name in names))
  assert platforms.describe_machine(tmp_path, {}).present == {}
  touch(tmp_path, "dev/nvidia1", "dev/nvidia0", "dev/kfd", "dev/accel0")
  assert platforms.describe_machine(tmp_path, {}).present == {
    "cuda": "/dev/nvidia0",
    "rocm": "/dev/kfd",
    "tpu": "/dev/accel0",
  }


@pytest.mark.parametrize(
  ("environment", "found"),
  [
    ({"CUDA_VISIBLE_DEVICES": ""}, {"rocm"}),
    ({"CUDA_VISIBLE_DEVICES": "-1"}, {"rocm"}),
    ({"CUDA_VISIBLE_DEVICES": "0,1"}, {"cuda", "rocm"}),
    ({"HIP_VISIBLE_DEVICES": "-1"}, {"cuda"}),
    ({"ROCR_VISIBLE_DEVICES": "", "CUDA_VISIBLE_DEVICES": "NoDevFiles"}, set()),
  ],
)
def test_hidden_devices(tmp_path, environment, found):
  touch(tmp_path, "dev/nvidia0", "dev/kfd")
  machine = platforms.describe_machine(tmp_path, environment)
  assert set(machine.present) == found


def test_support_is_found_by_module_or_entry_point(monkeypatch):
  monkeypatch.setattr(
    platforms.importlib.util, "find_spec", lambda name: name == "libtpu" or None
  )
  monkeypatch.setattr(
    platforms.importlib.metadata,
    "entry_points",
    lambda group: types.SimpleNamespace(names={"xla_rocm7"}),
  )
  assert platforms.describe_machine().installed == {"rocm", "tpu"}


def test_jax_says_what_was_asked(fake_jax):
  fake_jax("cpu", "cuda,cpu")
  assert platforms.describe_machine().asked == "cuda,cpu"
  fake_jax("cpu", None)
  assert platforms.describe_machine().asked == ""
