"""Settings of every test: strict ranks, several devices, no network."""

import gc
import ipaddress
import os
import pathlib
import socket

import pytest

# Read by jax, matplotlib and the Hub's clients when they are first imported,
# here and in every process that a test starts.
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ["MPLBACKEND"] = "Agg"
os.environ["HF_HUB_OFFLINE"] = "1"

import jax  # noqa: E402

from tests.browser import Browser, find_browser  # noqa: E402

CPU_DEVICES = 8

jax.config.update("jax_platforms", os.environ["JAX_PLATFORMS"])
jax.config.update("jax_num_cpu_devices", CPU_DEVICES)
jax.config.update("jax_numpy_rank_promotion", "raise")


def _is_local(family: int, address) -> bool:
  if family not in (socket.AF_INET, socket.AF_INET6):
    return True
  host = address[0]
  if host == "localhost":
    return True
  try:
    return ipaddress.ip_address(host).is_loopback
  except ValueError:
    return False


@pytest.fixture(scope="session", autouse=True)
def _no_network():
  """Makes every attempt to reach another machine an error."""
  connect = socket.socket.connect
  connect_ex = socket.socket.connect_ex

  def guarded(original):
    def call(self, address):
      if not _is_local(self.family, address):
        raise RuntimeError(f"A test tried to reach {address}.")
      return original(self, address)

    return call

  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(socket.socket, "connect", guarded(connect))
    patch.setattr(socket.socket, "connect_ex", guarded(connect_ex))
    yield


# Modules whose tests ask how much memory a compiled program takes.
OPTIMIZED = ("large_batches_test", "memory_test", "blocks_test")


@pytest.fixture(scope="module", autouse=True)
def _compile_fast(request):
  """Programs that run for milliseconds are not worth optimising."""
  optimize = request.module.__name__.endswith(OPTIMIZED)
  jax.config.update("jax_disable_most_optimizations", not optimize)
  yield
  jax.config.update("jax_disable_most_optimizations", False)


# Rooms whose tests take seconds together, and what a change breaks first.
FAST = (
  *("api", "fields", "files", "layering", "messages", "readme", "settings"),
  *("launch", "command", "zero_shot", "lexicon", "results", "storage"),
)
# Processes, kills, browsers, wheels, and runs of whole configs.
SLOW = (
  *(
    "browser",
    "packaging",
    "integrations",
    "experiment/processes",
    "experiment/killed",
  ),
  *("experiment/cluster", "experiment/cli", "experiment/compiled_programs"),
  *("experiment/train", "experiment/torch_baselines", "experiment/evidence"),
  *("experiment/synonyms_cli", "experiment/verify", "experiment/benchmark"),
  *("experiment/test_time", "golden"),
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
  """Marks tests as fast or slow by the table of their files and folders."""
  root = pathlib.Path(__file__).resolve().parent
  for item in items:
    name = item.path.relative_to(root).as_posix().removesuffix("_test.py")
    for mark, names in (("fast", FAST), ("slow", SLOW)):
      if any(name == each or name.startswith(f"{each}/") for each in names):
        item.add_marker(mark)


@pytest.fixture(scope="module", autouse=True)
def _few_programs():
  """Forgets compiled programs before they take too much memory.

  Each holds three or four memory maps, of which 65,530 are allowed; modules
  share few programs.
  """
  yield
  maps = pathlib.Path("/proc/self/maps")
  if maps.exists() and maps.read_bytes().count(b"\n") > 12_000:
    jax.clear_caches()
    gc.collect()


@pytest.fixture(scope="session")
def repository() -> pathlib.Path:
  """The root of the checkout."""
  return pathlib.Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def reference() -> pathlib.Path:
  """The folder of golden files that are too large for the repository."""
  folder = os.environ.get("S3_JAX_REFERENCE")
  if not folder:
    pytest.skip("S3_JAX_REFERENCE names no folder of golden files")
  path = pathlib.Path(folder)
  if not path.is_dir():
    pytest.fail(f"S3_JAX_REFERENCE must be a folder, got {folder!r}.")
  return path


@pytest.fixture(scope="session")
def browser():
  """A headless Chromium, one for all tests of a process."""
  program = find_browser()
  if program is None:
    pytest.skip("no Chromium is here; S3_JAX_BROWSER names one")
  opened = Browser(program)
  yield opened
  opened.close()
