"""Which processes a run has, as flags and launchers say it."""

import re

import pytest

from s3_jax.experiment.cluster import Cluster, find_cluster

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
