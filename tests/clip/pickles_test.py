"""Pickles inside torch's archives: read as data, never run."""

import pickle
import zipfile

import pytest
import torch

from s3_jax.clip.readers import read_arrays


def one_line_error(path) -> str:
  with pytest.raises(ValueError) as caught:
    read_arrays(path)
  message = str(caught.value)
  assert "\n" not in message
  assert str(path) in message
  return message


@pytest.fixture
def saved(tmp_path):
  """A good archive, whose pickle the tests replace."""
  path = tmp_path / "saved.pt"
  torch.manual_seed(0)
  model = torch.nn.Sequential(
    torch.nn.Linear(2, 3), torch.nn.BatchNorm1d(3), torch.nn.Linear(3, 2)
  )
  torch.save(model.state_dict(), path)
  return path


def rewrite(source, target, changes):
  """Copies an archive, some members replaced."""
  with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
    for name in old.namelist():
      new.writestr(name, changes.get(name, old.read(name)))


class Payload:
  """What an attacker would put into a checkpoint."""

  def __init__(self, function, *arguments):
    self.call = function, arguments

  def __reduce__(self):
    return self.call


def payloads(marker):
  import builtins
  import os
  import subprocess

  touch = f"touch {marker}"
  yield "posix.system", Payload(os.system, touch)
  yield "builtins.eval", Payload(builtins.eval, f"open({str(marker)!r}, 'w')")
  yield "builtins.getattr", Payload(getattr, [], "append")
  yield "subprocess.Popen", Payload(subprocess.Popen, touch, -1)
  yield "torch.load", Payload(torch.load, "x")


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("name", [name for name, _ in payloads("x")])
def test_a_payload_is_named_and_not_run(saved, tmp_path, name, protocol):
  marker = tmp_path / "executed"
  payload = dict(payloads(marker))[name]
  path = tmp_path / "payload.pt"
  data = pickle.dumps({"weight": payload}, protocol)
  rewrite(saved, path, {"saved/data.pkl": data})
  # Old protocols call some modules by their names in Python 2.
  _, _, function = name.rpartition(".")
  assert f".{function}, which is not allowed" in one_line_error(path)
  assert not marker.exists()


def test_a_payload_behind_the_state_dict(saved, tmp_path):
  """Nothing of an object's state is looked up either."""
  marker = tmp_path / "executed"
  data = pickle.dumps(Payload(print, "x"), 2)
  with zipfile.ZipFile(saved) as archive:
    good = archive.read("saved/data.pkl")
  assert good.endswith(b".")
  path = tmp_path / "payload.pt"
  rewrite(saved, path, {"saved/data.pkl": good[:-1] + b"0" + data[2:]})
  assert "__builtin__.print" in one_line_error(path)
  assert not marker.exists()


def test_a_module_class_is_never_looked_up(saved, tmp_path):
  """`__torch__` names are containers, whatever they are called."""
  path = tmp_path / "x.pt"
  data = b"c__torch__.os\nsystem\n)\x81}X\x01\x00\x00\x00aK\x01sb."
  rewrite(saved, path, {"saved/data.pkl": data})
  assert read_arrays(path)[0] == {}
  called = b"c__torch__.os\nsystem\nX\x02\x00\x00\x00ls\x85R."
  rewrite(saved, path, {"saved/data.pkl": called})
  assert read_arrays(path)[0] == {}


@pytest.mark.parametrize(
  "data",
  [
    b"",
    b".",
    b"}",
    b"}}.",
    b"(.",
    b"t.",
    b"h\x05.",
    b"K\x01K\x02s.",
    b"}K\x01.",
    b"}]K\x01s.",
    b"]K\x01b.",
    b"]]R.",
    b"]K\x01\x81.",
    b"\x8e\xff\xff\xff\xff\xff\xff\xff\x7f.",
    b"\x8e\xff\xff\xff\xff\xff\xff\xff\xff.",
    b"\xfe.",
    b"c\n",
    b"ctorch.nn",
    b"P1\n.",
    b"(ios\nsystem\n.",
    b"(os.",
    b"\x82\x01.",
    b"S'a'\n.",
    b"}X\x01\x00\x00\x00aK\x01sX\x01\x00\x00\x00aK\x01s.",
    b"}X\x01\x00\x00\x00aK\x01s.",
    b"}X\x01\x00\x00\x00a}s.",
    b"}K\x01]s.",
    b"}X\x0a\x00\x00\x00state_dictK\x01s.",
    b"ccollections\nOrderedDict\n.",
    b"ctorch\nFloatStorage\n)R.",
    b"ctorch._utils\n_rebuild_tensor_v2\n)R.",
    b"}X\x01\x00\x00\x00actorch._utils\n_rebuild_tensor_v2\n)Rs.",
    b"}X\x01\x00\x00\x00actorch._utils\n_rebuild_parameter\n)Rs.",
    b"c__torch__\nA\n)\x81K\x01b.",
  ],
)
def test_a_broken_pickle(saved, tmp_path, data):
  path = tmp_path / "broken.pt"
  rewrite(saved, path, {"saved/data.pkl": data})
  one_line_error(path)


@pytest.mark.parametrize("length", range(0, 700, 61))
def test_a_cut_off_pickle(saved, tmp_path, length):
  with zipfile.ZipFile(saved) as archive:
    data = archive.read("saved/data.pkl")
  assert len(data) > 700
  path = tmp_path / "cut.pt"
  rewrite(saved, path, {"saved/data.pkl": data[:length]})
  one_line_error(path)


def test_a_module_that_holds_itself(saved, tmp_path):
  path = tmp_path / "x.pt"
  data = b"c__torch__\nA\n)\x81q\x00}X\x01\x00\x00\x00ah\x00sb."
  rewrite(saved, path, {"saved/data.pkl": data})
  assert "deep" in one_line_error(path)
