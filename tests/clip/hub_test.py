"""Files from the network: a made hub, and a server on this machine."""

import hashlib
import http.server
import pathlib
import shutil
import threading

import pytest
import safetensors.numpy

from s3_jax.clip import ZOO, load_clip, locations
from s3_jax.clip.hf_files import hf_files
from s3_jax.clip.hub import commit_of, download, fetch_file
from s3_jax.clip.layouts import from_params
from s3_jax.clip.open_clip_files import open_clip_files
from s3_jax.clip.sentencepiece import read_sentencepiece
from s3_jax.clip.zoo import Source

COMMIT = "0123456789abcdef0123456789abcdef01234567"
CONTENT = bytes(range(256)) * 4096


def one_line_error(function, *args, **options) -> str:
  with pytest.raises(ValueError) as caught:
    function(*args, **options)
  message = str(caught.value)
  assert "\n" not in message
  return message


# An address


class Handler(http.server.BaseHTTPRequestHandler):
  """Serves one file, whole, cut off or altered."""

  def do_GET(self):
    self.server.requests += 1
    if self.path.startswith("/missing"):
      self.send_error(404)
      return
    content = CONTENT
    if self.path.startswith("/altered"):
      content = CONTENT[:-1] + b"x"
    self.send_response(200)
    if not self.path.startswith("/endless"):
      self.send_header("Content-Length", str(len(CONTENT)))
    self.end_headers()
    if self.path.startswith(("/cut", "/endless")):
      content = CONTENT[:100_000]
    self.wfile.write(content)

  def log_message(self, *args):
    pass


@pytest.fixture
def server():
  server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
  server.requests = 0
  thread = threading.Thread(target=server.serve_forever, args=(0.01,))
  thread.start()
  yield server
  server.shutdown()
  thread.join()
  server.server_close()


def address(server, path):
  return f"http://127.0.0.1:{server.server_address[1]}/{path}"


SHA256 = hashlib.sha256(CONTENT).hexdigest()


def test_a_file_is_fetched_once(server, tmp_path):
  where = address(server, "models/ViT.pt")
  folder = tmp_path / "new" / "folder"
  path = fetch_file(where, folder, sha256=SHA256)
  assert path == folder / "ViT.pt"
  assert path.read_bytes() == CONTENT
  assert fetch_file(where, folder, sha256=SHA256) == path
  assert server.requests == 1
  assert [child.name for child in folder.iterdir()] == ["ViT.pt"]


@pytest.mark.parametrize(
  ("kind", "reason"),
  [
    ("missing", "404"),
    ("cut", "100000 of 1048576 bytes before the stream was cut"),
    ("endless", "the sha256"),
    ("altered", f"for {SHA256}"),
  ],
)
def test_a_file_that_cannot_be_had_leaves_nothing(
  server, tmp_path, kind, reason
):
  where = address(server, f"{kind}/ViT.pt")
  message = one_line_error(fetch_file, where, tmp_path, sha256=SHA256)
  assert where in message
  assert reason in message
  assert f"put that file at {tmp_path / 'ViT.pt'}" in message
  assert not list(tmp_path.iterdir())


def test_no_server(server, tmp_path):
  where = address(server, "ViT.pt").replace("http://", "https://")
  message = one_line_error(fetch_file, where, tmp_path, sha256=SHA256)
  assert "put that file at" in message


@pytest.mark.parametrize("scheme", ["file:///etc/", "http://example.org/", ""])
def test_other_addresses_are_refused(tmp_path, scheme):
  message = one_line_error(
    fetch_file, f"{scheme}hosts", tmp_path, sha256=SHA256
  )
  assert "https://" in message


# The hub


def test_without_a_network_the_files_are_named(tmp_path):
  """HF_HUB_OFFLINE is set in all tests: the real client refuses."""
  message = one_line_error(
    download,
    "openai/clip-vit-base-patch32",
    ["config.json", "model.safetensors"],
    cache_dir=tmp_path,
  )
  for part in (
    "openai/clip-vit-base-patch32 must be fetched",
    "put config.json, model.safetensors of https://huggingface.co/openai/clip",
    "tree/main into a folder and give that folder as `source`",
  ):
    assert part in message


def test_all_files_come_from_one_commit(monkeypatch, tmp_path):
  import huggingface_hub

  asked = []
  folder = tmp_path / "snapshots" / COMMIT

  def fake(repository, file, *, revision, cache_dir):
    asked.append((repository, file, revision, cache_dir))
    return str(folder / file)

  monkeypatch.setattr(huggingface_hub, "hf_hub_download", fake)
  assert download("a/b", ["x", "y"], revision="main") == folder
  assert asked == [("a/b", "x", "main", None), ("a/b", "y", COMMIT, None)]
  assert commit_of(folder) == COMMIT
  download("a/b", ["x"], cache_dir=tmp_path)
  assert asked[-1] == ("a/b", "x", None, tmp_path / "hub")


@pytest.mark.parametrize("name", ["snapshots/main", f"other/{COMMIT}", "x"])
def test_other_folders_have_no_commit(name):
  assert commit_of(pathlib.Path(name)) is None
  assert commit_of(None) is None


@pytest.fixture
def repository(tmp_path, monkeypatch, tiny, tiny_params, bpe, pieces):
  """Fills a folder as a repository of a family would be, behind `download`."""

  def make(family, file, **fields):
    spec = tiny[family]._replace(name=f"tiny/{family}", **fields)
    folder = tmp_path / "snapshots" / COMMIT
    folder.mkdir(parents=True)
    calls = []
    if file.startswith("open_clip"):
      layout, files = "open_clip", open_clip_files(spec)
    else:
      pieced = family == "siglip"
      vocabulary = read_sentencepiece(pieces) if pieced else bpe
      layout, files = "hugging_face", hf_files(spec, vocabulary)
    for name, content in files.items():
      (folder / name).write_bytes(content)
    bpe.save(str(folder / "tokenizer.json"))
    shutil.copy(pieces, folder / "spiece.model")
    arrays = from_params(tiny_params[family], spec, layout)
    safetensors.numpy.save_file(arrays, folder / file)

    def fake(repository, files, *, revision, cache_dir):
      calls.append((repository, list(files), revision, cache_dir))
      for name in files:
        assert (folder / name).is_file(), name
      return folder

    monkeypatch.setattr(locations, "download", fake)
    row = spec._replace(source=Source(repository="tiny/x", file=file))
    monkeypatch.setitem(ZOO, row.name, row)
    return row, calls

  return make


def test_a_name_of_the_zoo_in_the_hugging_face_layout(repository, bpe):
  row, calls = repository(
    "clip",
    "model.safetensors",
    school="transformers",
    pad_token_id=bpe.get_vocab_size() - 1,
  )
  clip = load_clip("tiny/clip")
  assert clip.spec == row
  assert clip.revision == COMMIT
  files = [
    "config.json",
    "preprocessor_config.json",
    "tokenizer.json",
    "model.safetensors",
  ]
  assert calls == [("tiny/x", files, None, None)]


def test_names_of_the_zoo_in_other_layouts(repository):
  row, calls = repository("resnet", "open_clip_model.safetensors")
  clip = load_clip("tiny/resnet", revision="v1", cache_dir="cache")
  assert clip.spec == row
  ((_, files, revision, cache_dir),) = calls
  assert files == [
    "open_clip_config.json",
    "tokenizer.json",
    "open_clip_model.safetensors",
  ]
  assert (revision, cache_dir) == ("v1", pathlib.Path("cache"))


def test_a_siglip_of_the_zoo(repository):
  row, calls = repository("siglip", "model.safetensors")
  assert load_clip("tiny/siglip").spec == row
  assert calls[0][1] == [
    "config.json",
    "preprocessor_config.json",
    "tokenizer_config.json",
    "spiece.model",
    "model.safetensors",
  ]


def test_a_repository_that_differs_from_the_zoo(repository):
  row, _ = repository("resnet", "open_clip_model.safetensors")
  ZOO["tiny/resnet"] = row._replace(activation="gelu")  # taken back by the test
  message = one_line_error(load_clip, "tiny/resnet")
  assert (
    "open_clip_config.json must have the settings of tiny/resnet" in message
  )
  assert "activation='quick_gelu' for 'gelu'" in message


def test_a_repository_whose_weights_changed(repository):
  row, _ = repository("resnet", "open_clip_model.safetensors")
  source = row.source._replace(sha256="0" * 64)
  ZOO["tiny/resnet"] = row._replace(source=source)
  message = one_line_error(load_clip, "tiny/resnet")
  assert f"must have the sha256 {'0' * 64} of tiny/resnet" in message
  assert "delete it" in message


def test_a_bare_file_of_the_zoo(
  server, tmp_path, monkeypatch, tiny, tiny_params, bpe
):
  """OpenAI's files: the weights and the list of merges have an address."""
  file = tmp_path / "tiny.safetensors"
  arrays = from_params(tiny_params["clip"], tiny["clip"], "open_clip")
  safetensors.numpy.save_file(arrays, file)
  sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
  vocabulary = tmp_path / "bpe.json"
  bpe.save(str(vocabulary))
  source = Source(file=f"https://x/{sha256}/tiny.safetensors", sha256=sha256)
  row = tiny["clip"]._replace(name="tiny/bare", source=source)
  monkeypatch.setitem(ZOO, "tiny/bare", row)
  fetched = []

  def fake(address, folder, *, sha256):
    fetched.append((address.rpartition("/")[2], folder, sha256))
    return vocabulary if address.endswith(".gz") else file

  monkeypatch.setattr(locations, "fetch_file", fake)
  clip = load_clip("tiny/bare", cache_dir=tmp_path)
  assert clip.spec == row
  assert clip.sha256 == sha256
  assert clip.revision is None
  folder = tmp_path / "weights"
  merges = "924691ac288e54409236115652ad4aa250f48203de50a9e4722a6ecd48d6804a"
  assert fetched == [
    ("bpe_simple_vocab_16e6.txt.gz", folder, merges),
    ("tiny.safetensors", folder / sha256[:16], sha256),
  ]
  other = tiny["clip"]._replace(name="other", activation="gelu")
  message = one_line_error(load_clip, "tiny/bare", spec=other)
  assert "settings of other, got activation='quick_gelu' for 'gelu'" in message
  message = one_line_error(load_clip, "tiny/bare", revision="main")
  assert "`revision`" in message


def test_the_list_of_merges_is_openais(reference):
  path = reference / "clip_bpe_vocab_16e6.txt.gz"
  digest = hashlib.sha256(path.read_bytes()).hexdigest()
  assert digest == locations.MERGES_SHA256


def test_the_bar_is_silent_without_a_terminal(server, tmp_path, capsys):
  fetch_file(address(server, "ViT.pt"), tmp_path, sha256=SHA256)
  captured = capsys.readouterr()
  assert captured.out == captured.err == ""
