"""Starts a run of several processes on this computer.

    python -m s3_jax.launch --processes=2 -- --config=configs/imagenet.py

All processes get the flags behind `--`, a free port of this computer as their
coordinator's, and numbers. Process 0 has the terminal; lines of the others
begin with their number. The status is 0 if all ended well, else that of the
first process that did not.
"""

import argparse
import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence

# The least value, which is the default where it is 0.
_OPTIONS = {
  "processes": (1, None),
  "cpu_devices": (
    0,
    "virtual devices that each process makes of the processor",
  ),
  "gpus": (0, "GPUs that each has for itself"),
  "port": (0, "of the coordinator; a free one"),
}


def command_lines(
  processes: int, port: int, flags: Sequence[str]
) -> list[list[str]]:
  """Lists what to run."""
  return [
    [
      sys.executable,
      "-m",
      "s3_jax",
      f"--coordinator_address=127.0.0.1:{port}",
      f"--num_processes={processes}",
      f"--process_id={number}",
      *flags,
    ]
    for number in range(processes)
  ]


def environment(
  number: int, *, cpu_devices: int = 0, gpus: int = 0
) -> dict[str, str]:
  """Says which devices a process sees."""
  own = dict(os.environ)
  if cpu_devices:
    own |= {"JAX_PLATFORMS": "cpu", "JAX_NUM_CPU_DEVICES": str(cpu_devices)}
  if gpus:
    first, last = number * gpus, (number + 1) * gpus
    seen = [str(each) for each in range(last)]
    if own.get("CUDA_VISIBLE_DEVICES"):
      seen = own["CUDA_VISIBLE_DEVICES"].split(",")
    if len(seen) < last:
      raise ValueError(
        f"--gpus must be at most what CUDA_VISIBLE_DEVICES shows, {len(seen)},"
        f" for all processes together, got {gpus} for process {number}."
      )
    own["CUDA_VISIBLE_DEVICES"] = ",".join(seen[first:last])
  return own


def free_port() -> int:
  """Returns a port of this computer that nothing listens on."""
  with socket.socket() as probe:
    probe.bind(("127.0.0.1", 0))
    return probe.getsockname()[1]


def launch(
  processes: int,
  flags: Sequence[str],
  *,
  cpu_devices: int = 0,
  gpus: int = 0,
  port: int = 0,
) -> int:
  """Runs all processes to their ends."""
  commands = command_lines(processes, port or free_port(), flags)
  environments = [
    environment(number, cpu_devices=cpu_devices, gpus=gpus)
    for number in range(processes)
  ]
  running: list[subprocess.Popen[str]] = []
  readers = []
  with _passing_on(running):
    for number, command in enumerate(commands):
      child = subprocess.Popen(
        command,
        env=environments[number],
        stdout=None if number == 0 else subprocess.PIPE,
        stderr=None if number == 0 else subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,  # signals come from here, once
      )
      running.append(child)
      if number:
        reader = threading.Thread(target=_repeat, args=(number, child))
        reader.start()
        readers.append(reader)
    statuses = [child.wait() for child in running]
  for reader in readers:
    reader.join()
  statuses = [each if each >= 0 else 128 - each for each in statuses]
  return next((each for each in statuses if each), 0)


@contextlib.contextmanager
def _passing_on(running: Sequence[subprocess.Popen[str]]) -> Iterator[None]:
  """Lets an interrupt, or a request to end, reach each process once."""

  def pass_on(number, frame):
    del frame
    for child in running:
      if child.poll() is None:
        child.send_signal(number)

  before = {
    number: signal.signal(number, pass_on)
    for number in (signal.SIGINT, signal.SIGTERM)
  }
  try:
    yield
  finally:
    for number, handler in before.items():
      signal.signal(number, handler)


def _repeat(number: int, child: subprocess.Popen[str]) -> None:
  assert child.stdout is not None
  with child.stdout:
    for line in child.stdout:
      sys.stderr.write(f"[{number}] {line}")
      sys.stderr.flush()


def main(arguments: Sequence[str] | None = None) -> int:
  """Reads the command line and launches."""
  parser = argparse.ArgumentParser(
    prog="python -m s3_jax.launch",
    description="Starts a run of several processes on this computer.",
  )
  for name, (least, text) in _OPTIONS.items():
    parser.add_argument(
      f"--{name}", type=int, default=least, required=least > 0, help=text
    )
  parser.add_argument("flags", nargs="*", help="behind --: flags of the run")
  given = parser.parse_args(arguments)
  for name, (least, _) in _OPTIONS.items():
    if getattr(given, name) < least:
      parser.error(f"--{name} must be >= {least}, got {getattr(given, name)}")
  try:
    return launch(**vars(given))
  except ValueError as error:
    parser.error(str(error))


if __name__ == "__main__":
  sys.exit(main())
