"""Which processes a run has, as flags and launchers say it."""

import pathlib
import re
import socket
import subprocess
import sys
import time

import pytest

from s3_jax.experiment.machine.cluster import (
  BIND,
  Cluster,
  bind_address,
  find_cluster,
)
from s3_jax.launch import environment, free_port

SLURM = {
  "SLURM_JOB_ID": "4099",
  "SLURM_STEP_NODELIST": "tpu[07-09,12],other",
  "SLURM_STEP_NUM_TASKS": "8",
  "SLURM_PROCID": "5",
}
OPEN_MPI = {
  "OMPI_COMM_WORLD_SIZE": "4",
  "OMPI_COMM_WORLD_RANK": "3",
  "OMPI_MCA_orte_hnp_uri": "8192.0;tcp://10.96.0.1,10.148.0.1:34911",
}
LOCAL_SLURM = {"SLURM_LOCALID": "1", "SLURM_STEP_TASKS_PER_NODE": "2(x4)"}
LOCAL_MPI = {
  "OMPI_COMM_WORLD_LOCAL_SIZE": "2",
  "OMPI_COMM_WORLD_LOCAL_RANK": "1",
}
POD = {"TPU_WORKER_HOSTNAMES": "10.0.0.1,10.0.0.2", "TPU_WORKER_ID": "1"}


@pytest.mark.parametrize(
  ("environ", "expected"),
  [
    ({}, None),
    (SLURM, Cluster("tpu07:61443", 8, 5, "Slurm")),
    # A batch script that does not start its step by srun.
    ({**SLURM, "SLURM_STEP_NUM_TASKS": "1"}, None),
    ({k: v for k, v in SLURM.items() if k != "SLURM_STEP_NUM_TASKS"}, None),
    (
      {**SLURM, "SLURM_STEP_NODELIST": "alone"},
      Cluster("alone:61443", 8, 5, "Slurm"),
    ),
    (
      {**SLURM, "SLURM_STEP_NODELIST": "a-1,b[2-3]"},
      Cluster("a-1:61443", 8, 5, "Slurm"),
    ),
    (
      {**SLURM, "JAX_COORDINATOR_PORT": "7000"},
      Cluster("tpu07:7000", 8, 5, "Slurm"),
    ),
    (OPEN_MPI, Cluster("10.96.0.1:61442", 4, 3, "Open MPI")),
    ({**OPEN_MPI, "OMPI_COMM_WORLD_SIZE": "1"}, None),
    # One accelerator each where a node has several tasks, ...
    (
      {**SLURM, **LOCAL_SLURM},
      Cluster("tpu07:61443", 8, 5, "Slurm", 1),
    ),
    (
      {**SLURM, **LOCAL_SLURM, "SLURM_STEP_TASKS_PER_NODE": "2,1(x6)"},
      Cluster("tpu07:61443", 8, 5, "Slurm", 1),
    ),
    (
      {**OPEN_MPI, **LOCAL_MPI},
      Cluster("10.96.0.1:61442", 4, 3, "Open MPI", 1),
    ),
    # ... unless it has one, or sees only its own.
    (
      {**SLURM, **LOCAL_SLURM, "SLURM_STEP_TASKS_PER_NODE": "1(x8)"},
      Cluster("tpu07:61443", 8, 5, "Slurm"),
    ),
    (
      {**SLURM, **LOCAL_SLURM, "CUDA_VISIBLE_DEVICES": "3"},
      Cluster("tpu07:61443", 8, 5, "Slurm"),
    ),
    (
      {**SLURM, **LOCAL_SLURM, "CUDA_VISIBLE_DEVICES": "2,3"},
      Cluster("tpu07:61443", 8, 5, "Slurm", 1),
    ),
    # All on one computer: nobody else has to reach the coordinator.
    (
      {**SLURM, "SLURM_STEP_NUM_NODES": "1"},
      Cluster("127.0.0.1:61443", 8, 5, "Slurm"),
    ),
    (
      {**OPEN_MPI, **LOCAL_MPI, "OMPI_COMM_WORLD_LOCAL_SIZE": "4"},
      Cluster("127.0.0.1:61442", 4, 3, "Open MPI", 1),
    ),
    # Open MPI's daemons are a step of Slurm's, with other numbers.
    ({**SLURM, **OPEN_MPI}, Cluster("10.96.0.1:61442", 4, 3, "Open MPI")),
    (POD, Cluster("10.0.0.1:8476", 2, 1, "the TPU pod")),
    ({**POD, "TPU_WORKER_HOSTNAMES": "localhost"}, None),
    ({**POD, "MEGASCALE_NUM_SLICES": "2"}, None),
  ],
)
def test_launchers(environ, expected):
  assert find_cluster(environ) == expected


def test_flags_go_before_launchers():
  assert find_cluster(SLURM, num_processes=1) is None
  assert find_cluster(
    {}, coordinator_address="h:1", num_processes=2, process_id=0
  ) == Cluster("h:1", 2, 0, "flags")
  assert find_cluster(SLURM, coordinator_address="[::1]:9") == Cluster(
    "[::1]:9", 8, 5, "Slurm"
  )
  assert find_cluster({}, coordinator_address="auto") == Cluster(
    "auto", None, None, "JAX"
  )
  without = {**OPEN_MPI, "OMPI_MCA_orte_hnp_uri": ""}
  assert find_cluster(without, coordinator_address="h:1") == Cluster(
    "h:1", 4, 3, "Open MPI"
  )


@pytest.mark.parametrize(
  ("environ", "given", "message"),
  [
    ({}, {"num_processes": 2}, "in every process, and is not set"),
    (
      {},
      {"coordinator_address": "host", "num_processes": 2, "process_id": 0},
      "got 'host'",
    ),
    (
      {},
      {"coordinator_address": "h:1"},
      "`--num_processes` must be a whole number >= 1, got None",
    ),
    (
      {},
      {"coordinator_address": "h:1", "num_processes": 2},
      "`--process_id` must be in 0..1, another in each process, got None",
    ),
    (
      {},
      {"coordinator_address": "h:1", "num_processes": 2, "process_id": 2},
      "in 0..1, another in each process, got 2",
    ),
    (
      {**OPEN_MPI, "OMPI_MCA_orte_hnp_uri": ""},
      {},
      "`--coordinator_address` must be host:port of process 0 in a run of 4"
      " processes under Open MPI",
    ),
  ],
)
def test_what_contradicts_itself_is_refused(environ, given, message):
  with pytest.raises(ValueError, match=re.escape(message)):
    find_cluster(environ, **given)


def cluster(address, process=0):
  return Cluster(address, 2, process, "flags")


@pytest.mark.parametrize("address", ["127.0.0.1:7654", "localhost:7654"])
def test_a_coordinator_listens_where_it_was_asked_to(address):
  bind, note = bind_address(cluster(address), {})
  assert bind == address
  assert re.fullmatch(r"listens at .*127\.0\.0\.1.*, for this .* alone", note)


def test_only_a_variable_opens_the_coordinator_to_all():
  wide = {BIND: "[::]:7654"}
  bind, note = bind_address(cluster("127.0.0.1:7654"), wide)
  assert bind == "[::]:7654" and note == f"listens at [::]:7654 ({BIND})"


@pytest.mark.parametrize("address", ["auto", "127.0.0.1:7654"])
def test_another_process_listens_nowhere(address):
  assert bind_address(cluster(address, process=1), {}) == (None, "")
  assert bind_address(cluster("auto"), {}) == (None, "")


@pytest.mark.parametrize(
  "address", ["203.0.113.9:7654", "[2001:db8::9]:7654", "no.such.invalid:7654"]
)
def test_a_coordinator_of_another_computer_is_refused(address):
  with pytest.raises(
    ValueError, match="must be an address of process 0's"
  ) as e:
    bind_address(cluster(address), {})
  assert f"{BIND}=0.0.0.0:7654" in str(e.value)
  assert address in str(e.value) and len(str(e.value)) <= 300


def listeners(port):
  """Reads at which IPv4 addresses, or "all", something listens to a port."""
  found = set()
  for name in ("tcp", "tcp6"):
    file = pathlib.Path("/proc/net") / name
    lines = file.read_text().splitlines()[1:] if file.exists() else []
    for fields in map(str.split, lines):
      address, its_port = fields[1].split(":")
      if int(its_port, 16) == port and fields[3] == "0A":
        last = bytes.fromhex(address)[-4:][::-1]
        found.add(".".join(map(str, last)) if any(last) else "all")
  return found


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_nobody_outside_reaches_a_coordinator_on_loopback(repository, tmp_path):
  port = free_port()
  command = [
    *(sys.executable, "main.py", "--config=configs/models.py"),
    *(f"--coordinator_address=127.0.0.1:{port}", "--num_processes=2"),
    *("--process_id=0", f"--workdir={tmp_path}"),
  ]
  waiting = subprocess.Popen(
    command,
    cwd=repository,
    env=environment(0, cpu_devices=1),
    stderr=subprocess.PIPE,
    text=True,
  )
  try:
    end = time.monotonic() + 60
    while not (found := listeners(port)) and time.monotonic() < end:
      assert waiting.poll() is None
      time.sleep(0.1)
    assert found == {"127.0.0.1"}
    # Another address of this computer, which "all" would have answered.
    with pytest.raises(ConnectionRefusedError):
      socket.create_connection(("127.0.0.2", port), timeout=5)
  finally:
    waiting.kill()
    _, err = waiting.communicate()
  assert "(listens at 127.0.0.1, for this computer alone)" in err
