"""The settings of conftest.py are in force."""

import os
import socket

import jax
import jax.numpy as jnp
import pytest


def test_several_cpu_devices():
  assert len(jax.devices("cpu")) == 8


def test_rank_promotion_is_an_error():
  with pytest.raises(ValueError, match="rank_promotion"):
    jnp.zeros((2, 3)) + jnp.zeros(3)


@pytest.mark.parametrize("call", ["connect", "connect_ex"])
def test_other_machines_are_out_of_reach(call):
  # An address of the block that is reserved for documentation.
  with (
    socket.socket() as client,
    pytest.raises(RuntimeError, match="192.0.2.1"),
  ):
    getattr(client, call)(("192.0.2.1", 80))


def test_this_machine_is_in_reach():
  with socket.create_server(("127.0.0.1", 0)) as server:
    socket.create_connection(server.getsockname(), timeout=5).close()


def test_figures_need_no_screen():
  assert os.environ["MPLBACKEND"] == "Agg"
