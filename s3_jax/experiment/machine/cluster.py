"""Joining the other processes of a run, and leaving them.

The runtime is JAX's own. What it lacks is said here: which address all must
reach, how long that may take, and what happens when a peer is lost. Its own
time-outs end a process from within (status 134), where no line can be printed
any more, so the line comes first.
"""

import ipaddress
import os
import re
import socket
import sys
import threading
from collections.abc import Mapping
from typing import NamedTuple, NoReturn

import jax

from s3_jax.messages import visible

AUTO = "auto"
"""Coordinator address that leaves everything to JAX's detection."""

LOST = 134
"""Exit status after a lost peer, which is also that of JAX's runtime."""

BIND = "JAX_COORDINATOR_BIND_ADDRESS"
"""Variable in which JAX takes where the coordinator listens."""

_LOOPBACK = "127.0.0.1"
_GRACE = 15  # seconds by which JAX's own time-out, which aborts, comes later
_LEAVE = 10  # seconds that leaving together may take
_TPU_PORT = 8476
_PREEMPTION = "jax_enable_preemption_service"


class Cluster(NamedTuple):
  """The processes of a run.

  Attributes:
    address: host:port at which process 0 waits for the others; "auto" leaves
      it to JAX.
    processes: how many; None if JAX finds out.
    process: this one's number, from 0; None if JAX finds out.
    source: who said so, for messages.
    local_device: the accelerator of its computer that a process has for itself;
      None for all that it sees.
  """

  address: str
  processes: int | None
  process: int | None
  source: str
  local_device: int | None = None


def find_cluster(
  environ: Mapping[str, str],
  *,
  coordinator_address: str | None = None,
  num_processes: int | None = None,
  process_id: int | None = None,
) -> Cluster | None:
  """Reads flags, or what a launcher has put into the environment."""
  if num_processes == 1:
    return None
  # Open MPI first: within a Slurm job its daemons are a step of Slurm's.
  launched = _open_mpi(environ) or _slurm(environ) or _tpu(environ)
  given = (coordinator_address, num_processes, process_id)
  if given == (None, None, None):
    if launched is not None and not launched.address:
      raise ValueError(
        "`--coordinator_address` must be host:port of process 0 in a run of"
        f" {launched.processes} processes under {launched.source}, and is not"
        " set; --num_processes=1 runs each by itself."
      )
    return launched
  if coordinator_address == AUTO:
    return Cluster(AUTO, num_processes, process_id, "JAX")
  if launched is not None:
    cluster = launched._replace(
      address=coordinator_address or launched.address,
      processes=_either(num_processes, launched.processes),
      process=_either(process_id, launched.process),
    )
  else:
    cluster = Cluster(
      coordinator_address or "", num_processes, process_id, "flags"
    )
  _check(cluster)
  return cluster


def _either(given: int | None, found: int | None) -> int | None:
  return found if given is None else given


def _check(cluster: Cluster) -> None:
  if not cluster.address:
    raise ValueError(
      "`--coordinator_address` must be host:port of process 0, the same in"
      " every process, and is not set."
    )
  if not re.fullmatch(r"(\[[^\]]+\]|[^:\s\[\]]+):\d{1,5}", cluster.address):
    raise ValueError(
      "`--coordinator_address` must be host:port of process 0, the same in"
      f" every process, got {cluster.address!r}."
    )
  count, number = cluster.processes, cluster.process
  if count is None or count < 1:
    raise ValueError(
      f"`--num_processes` must be a whole number >= 1, got {count}: how many"
      " processes run this command."
    )
  if number is None or not 0 <= number < count:
    raise ValueError(
      f"`--process_id` must be in 0..{count - 1}, another in each process, got"
      f" {number}."
    )


def bind_address(
  cluster: Cluster, environ: Mapping[str, str]
) -> tuple[str | None, str]:
  """Says where the coordinator listens: at the address that was asked for.

  JAX alone would listen on every interface, and whoever reaches the port can
  join: the runtime asks for no secret.
  """
  if environ.get(BIND):
    return environ[BIND], f"listens at {environ[BIND]} ({BIND})"
  if cluster.address == AUTO or cluster.process != 0:
    return None, ""
  host, port = cluster.address.rsplit(":", 1)
  try:
    own = [each for each in _resolve(host.strip("[]")) if _is_own(each)]
  except OSError as error:
    own, why = [], f" ({error.strerror})"
  else:
    why = ""
  if not own:
    raise ValueError(
      "`--coordinator_address` must be an address of process 0's computer,"
      f" where it listens, got {cluster.address!r}{why}; behind a forwarded one"
      f" set {BIND}=0.0.0.0:{port}, which every host can reach."
    )
  inside = all(ipaddress.ip_address(each).is_loopback for each in own)
  note = f"listens at {', '.join(own)}"
  return cluster.address, note + (", for this computer alone" if inside else "")


def _resolve(host: str) -> list[str]:
  found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
  return list(dict.fromkeys(str(each[4][0]).split("%")[0] for each in found))


def _is_own(address: str) -> bool:
  """Says whether an address is one of this computer's."""
  family = socket.AF_INET6 if ":" in address else socket.AF_INET
  try:
    with socket.socket(family, socket.SOCK_STREAM) as probe:
      probe.bind((address, 0))
  except OSError:
    return False
  return True


def _slurm(environ: Mapping[str, str]) -> Cluster | None:
  """Reads what srun says; a batch script without srun is one process."""
  names = ("SLURM_JOB_ID", "SLURM_STEP_NODELIST", "SLURM_PROCID")
  count = int(environ.get("SLURM_STEP_NUM_TASKS", "1"))
  if count < 2 or not all(name in environ for name in names):
    return None
  # The first of `node1`, `node1,node2`, `node[01-04,07],other`.
  nodes = environ["SLURM_STEP_NODELIST"]
  host = re.sub(r"^([^,\[]*)\[([^\],-]+).*$", r"\1\2", nodes).split(",")[0]
  if environ.get("SLURM_STEP_NUM_NODES") == "1":
    host = _LOOPBACK
  # Jobs on one node get different ports, all of them unprivileged.
  port = _port(environ, 61440 + int(environ["SLURM_JOB_ID"]) % 4096)
  # Such as 8(x4), or 2,1: tasks of the step on each node.
  tasks = environ.get("SLURM_STEP_TASKS_PER_NODE", "1")
  shared = set(re.sub(r"\(x\d+\)", "", tasks).split(",")) != {"1"}
  return Cluster(
    f"{host}:{port}",
    count,
    int(environ["SLURM_PROCID"]),
    "Slurm",
    _own_device(environ, "SLURM_LOCALID") if shared else None,
  )


def _own_device(environ: Mapping[str, str], name: str) -> int | None:
  """Returns which accelerator a process has, of those on its computer.

  None where the launcher shows it just one, under whatever number.
  """
  seen = environ.get("CUDA_VISIBLE_DEVICES")
  if name not in environ or (seen is not None and "," not in seen):
    return None
  return int(environ[name])


def _open_mpi(environ: Mapping[str, str]) -> Cluster | None:
  count = int(environ.get("OMPI_COMM_WORLD_SIZE", "1"))
  if count < 2:
    return None
  local = int(environ.get("OMPI_COMM_WORLD_LOCAL_SIZE", "1"))
  # Open MPI 4 says where its launcher runs; later versions do not.
  found = re.match(
    r"(\d+)\.\d+;tcp6?://\[?([^,:\]]+)",
    environ.get("OMPI_MCA_orte_hnp_uri", ""),
  )
  address = ""
  if found:
    port = _port(environ, 61440 + int(found[1]) // 4096 % 4096)
    address = f"{_LOOPBACK if local == count else found[2]}:{port}"
  return Cluster(
    address,
    count,
    int(environ["OMPI_COMM_WORLD_RANK"]),
    "Open MPI",
    _own_device(environ, "OMPI_COMM_WORLD_LOCAL_RANK") if local > 1 else None,
  )


def _tpu(environ: Mapping[str, str]) -> Cluster | None:
  """Reads the list of workers of a pod, where the environment has it."""
  hosts = environ.get("TPU_WORKER_HOSTNAMES", "").split(",")
  number = environ.get("TPU_WORKER_ID")
  several_slices = environ.get("MEGASCALE_NUM_SLICES", "1") != "1"
  if len(hosts) < 2 or number is None or several_slices:
    return None
  address = f"{hosts[0]}:{_port(environ, _TPU_PORT)}"
  return Cluster(address, len(hosts), int(number), "the TPU pod")


def _port(environ: Mapping[str, str], default: int) -> int:
  return int(environ.get("JAX_COORDINATOR_PORT", default))


def join(
  cluster: Cluster,
  *,
  initialization_timeout: int,
  heartbeat_timeout: int,
  shards: str,
) -> None:
  """Waits for all processes, and says beforehand what will happen.

  Ends the process with status 2, and a line, if some do not come in time.
  """
  by_jax = cluster.address == AUTO
  bind, listens = bind_address(cluster, os.environ)
  where = "found by JAX" if by_jax else cluster.address
  number = "?" if cluster.process is None else cluster.process
  count = "?" if cluster.processes is None else cluster.processes
  _tell(
    f"process {number} of {count} (from {cluster.source}) on"
    f" {socket.gethostname()}, coordinator {where}"
    f"{f' ({listens})' if listens else ''}: waiting up to"
    f" {initialization_timeout} s for all to join. Should one be lost later,"
    f" the others end with status {LOST} within about {heartbeat_timeout} s;"
    f" finished shards stay in {shards}, and the same command, with any number"
    " of processes, goes on from them."
  )
  missing = (
    f"`--initialization_timeout`: not all of {count} processes joined at"
    f" {where} within {initialization_timeout} s: start all of them, with one"
    " coordinator address that each can reach (not a loopback address on"
    " several hosts, and a port that no firewall closes)."
  )
  failed: list[Exception] = []

  def initialize() -> None:
    try:
      jax.distributed.initialize(
        None if by_jax else cluster.address,
        cluster.processes,
        cluster.process,
        cluster.local_device,
        None if by_jax else "deactivate",
        initialization_timeout=initialization_timeout + _GRACE,
        heartbeat_timeout_seconds=heartbeat_timeout,
        shutdown_timeout_seconds=heartbeat_timeout,
        coordinator_bind_address=bind,
      )
    except Exception as error:
      failed.append(error)

  # JAX would catch the signal that asks a process to end, and go on.
  if hasattr(jax.config, _PREEMPTION):
    jax.config.update(_PREEMPTION, False)
  # In a thread, as nothing interrupts the wait itself.
  joining = threading.Thread(target=initialize, daemon=True)
  joining.start()
  joining.join(initialization_timeout)
  if joining.is_alive():
    _tell(missing)
    os._exit(2)
  if failed and not isinstance(failed[0], RuntimeError | ValueError):
    raise failed[0]
  if failed:
    raise ValueError(
      f"`--coordinator_address` must be one that all processes can use, got"
      f" {where}: {str(failed[0]).splitlines()[0]}"
    )


def leave(status: int) -> NoReturn:
  """Ends the process, together with the others where they end as well.

  Python's own end would wait for a peer that is gone.
  """
  if status in (0, 2):
    end = threading.Thread(target=_shut_down, daemon=True)
    end.start()
    end.join(_LEAVE)
  sys.stdout.flush()
  sys.stderr.flush()
  os._exit(status)


def _shut_down() -> None:
  try:
    jax.distributed.shutdown()
  except RuntimeError as error:
    _tell(f"left without the others: {str(error).splitlines()[0]}")


def _tell(text: str) -> None:
  sys.stderr.write(f"s3_jax: {visible(text)}\n")
  sys.stderr.flush()
