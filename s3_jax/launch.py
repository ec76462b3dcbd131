"""Starts a run of several processes on this computer.

    python -m s3_jax.launch --processes=2 -- --config=configs/imagenet.py

All processes get the flags behind `--`, a free port of this computer as their
coordinator's, and numbers. Process 0 has the terminal; lines of the others
begin with their number. The status is 0 if all ended well, else that of the
first process that did not.
"""

import argparse
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence


def command_lines(
  processes: int, port: int, flags: Sequence[str]
) -> list[list[str]]:
  """Lists what to run.

  Args:
    processes: how many.
    port: of the coordinator, on this computer.
    flags: of the run itself.

  Returns:
    The command of each process.
  """
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
  """Says which devices a process sees.

  Args:
    number: of the process.
    cpu_devices: virtual devices that it makes of the processor; 0 for none.
    gpus: GPUs that it has for itself; 0 leaves the choice to JAX.

  Returns:
    Its environment.
  """
  own = dict(os.environ)
  if cpu_devices:
    own |= {"JAX_PLATFORMS": "cpu", "JAX_NUM_CPU_DEVICES": str(cpu_devices)}
  if gpus:
    first = number * gpus
    seen = ",".join(map(str, range(first, first + gpus)))
    own["CUDA_VISIBLE_DEVICES"] = seen
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
  """Runs all processes to their ends.

  Args:
    processes: how many, at least 1.
    flags: of the run.
    cpu_devices: as for `environment`.
    gpus: as for `environment`.
    port: of the coordinator; 0 for a free one.

  Returns:
    0, or the status of the first process that did not end well; a process that
    a signal has ended counts as 128 + the signal.
  """
  commands = command_lines(processes, port or free_port(), flags)
  running: list[subprocess.Popen[str]] = []
  readers = []
  for number, command in enumerate(commands):
    others = None if number == 0 else subprocess.PIPE
    child = subprocess.Popen(
      command,
      env=environment(number, cpu_devices=cpu_devices, gpus=gpus),
      stdout=others,
      stderr=None if number == 0 else subprocess.STDOUT,
      text=True,
      errors="replace",
    )
    running.append(child)
    if number:
      reader = threading.Thread(target=_repeat, args=(number, child))
      reader.start()
      readers.append(reader)
  statuses = _wait(running)
  for reader in readers:
    reader.join()
  return next((each for each in statuses if each), 0)


def _wait(running: Sequence[subprocess.Popen[str]]) -> list[int]:
  """Waits for all; an interrupt or a termination reaches each of them once."""

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
    statuses = [child.wait() for child in running]
  finally:
    for number, handler in before.items():
      signal.signal(number, handler)
  return [each if each >= 0 else 128 - each for each in statuses]


def _repeat(number: int, child: subprocess.Popen[str]) -> None:
  assert child.stdout is not None
  with child.stdout:
    for line in child.stdout:
      sys.stderr.write(f"[{number}] {line}")
      sys.stderr.flush()


def main(arguments: Sequence[str] | None = None) -> int:
  """Reads the command line and launches.

  Args:
    arguments: of the command line; this process's own by default.

  Returns:
    The exit status.
  """
  parser = argparse.ArgumentParser(
    prog="python -m s3_jax.launch",
    description="Starts a run of several processes on this computer.",
  )
  parser.add_argument("--processes", type=int, required=True)
  parser.add_argument(
    "--cpu_devices",
    type=int,
    default=0,
    help="virtual devices that each process makes of the processor",
  )
  parser.add_argument(
    "--gpus", type=int, default=0, help="GPUs that each has for itself"
  )
  parser.add_argument(
    "--port", type=int, default=0, help="of the coordinator; a free one"
  )
  parser.add_argument("flags", nargs="*", help="behind --: flags of the run")
  given = parser.parse_args(arguments)
  if given.processes < 1:
    parser.error(f"--processes must be >= 1, got {given.processes}")
  return launch(
    given.processes,
    given.flags,
    cpu_devices=given.cpu_devices,
    gpus=given.gpus,
    port=given.port,
  )


if __name__ == "__main__":
  sys.exit(main())
