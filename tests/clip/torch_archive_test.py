"""What torch writes, read without torch and without running any of it."""

import io
import pickle
import zipfile

import numpy as np
import pytest
import torch

from s3_jax.clip.readers import read_arrays


class Inner(torch.nn.Module):
  """A module with all that a TorchScript archive may keep."""

  def __init__(self):
    super().__init__()
    self.seq = torch.nn.Sequential(
      torch.nn.Linear(2, 3), torch.nn.BatchNorm1d(3)
    )
    self.positions = torch.nn.Parameter(torch.randn(4, 2))
    self.register_buffer("context_length", torch.tensor(77))
    self.sizes = [1, 2]
    self.resolution = 224

  def forward(self, x):
    return self.seq(x) + self.positions.sum() + self.sizes[0]


class Outer(torch.nn.Module):
  """Holds `Inner` and a half-precision parameter."""

  def __init__(self):
    super().__init__()
    self.visual = Inner()
    self.logit_scale = torch.nn.Parameter(torch.tensor(4.6).half())

  def forward(self, x):
    return self.visual(x) * self.logit_scale


@pytest.fixture(scope="module")
def model():
  torch.manual_seed(0)
  return Outer().eval()


def as_numpy(state):
  return {
    name: value.detach().float().numpy()
    if value.dtype == torch.bfloat16
    else value.detach().numpy()
    for name, value in state.items()
  }


def equal(found, state):
  assert found.keys() == state.keys()
  for name, value in as_numpy(state).items():
    kind = str(state[name].dtype).removeprefix("torch.")
    assert found[name].dtype.name == kind, name
    assert found[name].shape == value.shape, name
    np.testing.assert_array_equal(found[name].astype(value.dtype), value)


def one_line_error(path) -> str:
  with pytest.raises(ValueError) as caught:
    read_arrays(path)
  message = str(caught.value)
  assert "\n" not in message
  assert str(path) in message
  return message


@pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")
@pytest.mark.parametrize("form", ["script", "trace"])
def test_torchscript_archives(model, tmp_path, form):
  path = tmp_path / "model.pt"
  if form == "script":
    module = torch.jit.script(model)
  else:
    module = torch.jit.trace(model, torch.ones(1, 2))
  torch.jit.save(module, str(path))
  arrays, _ = read_arrays(path)
  equal(arrays, model.state_dict())


def states(model):
  state = model.state_dict()
  big = torch.arange(24.0).reshape(2, 3, 4)
  yield "plain", state, state
  yield "ordinary dict", dict(state), state
  yield "training", {"epoch": 3, "state_dict": state, "name": "x"}, state
  yield (
    "parameters",
    dict(model.named_parameters()),
    dict(model.named_parameters()),
  )
  views = {"t": big.permute(2, 0, 1), "row": big[1, 2], "cut": big[:, 1:, ::2]}
  yield "views of one storage", views, views
  kinds = (torch.float64, torch.bfloat16, torch.int32, torch.uint8, torch.bool)
  kinds = {str(kind): torch.ones(2, 2).to(kind) for kind in kinds}
  yield "types", kinds, kinds
  empty = {"empty": torch.zeros(0, 4), "scalar": torch.tensor(3.0)}
  yield "empty and scalar", empty, empty


CASES = [case[0] for case in states(Outer())]


@pytest.mark.parametrize("case", CASES)
def test_state_dicts(model, tmp_path, case):
  stored, expected = {name: rest for name, *rest in states(model)}[case]
  path = tmp_path / "pytorch_model.bin"
  torch.save(stored, path)
  equal(read_arrays(path)[0], expected)


def rewrite(source, target, changes, *, compress=()):
  """Copies an archive, members replaced, added (new) or dropped (None)."""
  with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
    names = [*old.namelist(), *(set(changes) - set(old.namelist()))]
    for name in names:
      content = changes[name] if name in changes else old.read(name)
      if content is not None:
        kind = zipfile.ZIP_DEFLATED if name in compress else None
        new.writestr(name, content, kind)


@pytest.fixture
def saved(model, tmp_path):
  path = tmp_path / "saved.pt"
  torch.save(model.state_dict(), path)
  return path


@pytest.mark.parametrize("length", [0, 10, 100, 1000, -1, -30])
def test_a_cut_off_archive(saved, length):
  saved.write_bytes(saved.read_bytes()[:length])
  assert "zip archive" in one_line_error(saved)


def test_an_altered_number(saved):
  data = bytearray(saved.read_bytes())
  with zipfile.ZipFile(saved) as archive:
    content = archive.read("saved/data/1")
  data[data.index(content) + 1] ^= 4
  saved.write_bytes(data)
  assert "checksum of the member 'saved/data/1'" in one_line_error(saved)


def tensor(offset=0, size=(2, 2), stride=(2, 1), key="0", count=4, **other):
  """Pickles one tensor of a made description."""
  kind = other.get("kind", "FloatStorage")
  word = other.get("word", "storage")

  class Storage:
    """Written as a persistent id."""

  class Pickler(pickle._Pickler):
    """Writes globals that need not exist."""

    def persistent_id(self, value):
      if isinstance(value, Storage):
        return (word, Named(f"torch {kind}"), key, "cpu", count)
      return None

    def save(self, value, save_persistent_id=True):
      if isinstance(value, Named):
        module, name = value.name.split(" ")
        self.write(f"c{module}\n{name}\n".encode())
      elif isinstance(value, Tensor):
        self.save(Named("torch._utils _rebuild_tensor_v2"))
        self.save((Storage(), offset, size, stride, False, {}))
        self.write(pickle.REDUCE)
      else:
        super().save(value, save_persistent_id)

  class Named:
    """A global."""

    def __init__(self, name):
      self.name = name

  class Tensor:
    """A call of the rebuilding function."""

  stream = io.BytesIO()
  Pickler(stream, 2).dump({"weight": Tensor()})
  return stream.getvalue()


@pytest.fixture
def described(tmp_path):
  """Writes an archive with four numbers and one tensor of a description."""

  def write(**description):
    path = tmp_path / "tensor.pt"
    numbers = np.arange(4, dtype="f4").tobytes()
    with zipfile.ZipFile(path, "w") as archive:
      archive.writestr("x/data.pkl", tensor(**description))
      archive.writestr("x/data/0", numbers)
      archive.writestr("x/other/0", numbers)
    return path

  return write


def test_a_made_tensor_is_read(described):
  expected = np.arange(4, dtype="f4").reshape(2, 2)
  weight = read_arrays(described())[0]["weight"]
  np.testing.assert_array_equal(weight, expected)
  weight = read_arrays(described(stride=(1, 2)))[0]["weight"]
  np.testing.assert_array_equal(weight, expected.T)


@pytest.mark.parametrize(
  "description",
  [
    {"offset": 1},
    {"offset": -1},
    {"offset": 1.0},
    {"offset": True},
    {"size": (3, 2)},
    {"size": (2, 2, 2), "stride": (0, 2, 1)},
    {"size": (1 << 40,), "stride": (0,)},
    {"size": (2,)},
    {"size": (-1, -1)},
    {"size": 4},
    {"size": (2.0, 2)},
    {"stride": (3, 1)},
    {"stride": (-2, 1)},
    {"stride": (1 << 62, 1)},
    {"count": 5},
    {"count": 3},
    {"count": -4},
    {"count": "4"},
    {"key": "1"},
    {"key": "../other/0"},
    {"key": 0},
    {"kind": "HalfStorage"},
    {"word": "module"},
  ],
)
def test_a_tensor_outside_its_storage(described, description):
  assert "'weight'" in one_line_error(described(**description))


def test_members_of_a_wrong_name(saved, tmp_path):
  for name in ("../x", "saved/../../x", "/etc/x", "a\\b", "c:x"):
    path = tmp_path / "names.pt"
    rewrite(saved, path, {name: b"x"})
    assert "member name" in one_line_error(path)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_member_that_comes_twice(saved):
  with zipfile.ZipFile(saved, "a") as archive:
    archive.writestr("saved/data/0", b"1234")
  assert "'saved/data/0' twice" in one_line_error(saved)


def test_archives_of_another_kind(saved, tmp_path):
  path = tmp_path / "other.pt"
  rewrite(saved, path, {"saved/data.pkl": None})
  assert "0 members named data.pkl" in one_line_error(path)
  rewrite(saved, path, {"other/data.pkl": b"}."})
  assert "2 members named data.pkl" in one_line_error(path)
  rewrite(saved, path, {"saved/byteorder": b"big"})
  assert "byte order b'big'" in one_line_error(path)
  rewrite(saved, path, {"saved/data/0": None})
  assert "no member 'saved/data/0'" in one_line_error(path)


def test_compressed_members(saved, model, tmp_path):
  """Small ones are read; a large one could be a bomb."""
  path = tmp_path / "small.pt"
  rewrite(saved, path, {}, compress=("saved/data.pkl", "saved/data/1"))
  equal(read_arrays(path)[0], model.state_dict())
  name = "saved/data/1"
  bomb = {name: bytes(1 << 25)}
  rewrite(saved, path, bomb, compress=(name,))
  assert path.stat().st_size < 1 << 18
  assert f"compressed member '{name}'" in one_line_error(path)


def test_files_of_old_torch_versions(model, tmp_path):
  path = tmp_path / "old.pt"
  torch.save(model.state_dict(), path, _use_new_zipfile_serialization=False)
  assert "since version 1.6" in one_line_error(path)
