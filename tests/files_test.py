"""Files that are whole whatever happens, and names that stay in a folder."""

import os
import pathlib
import re
import subprocess
import sys
import time

import hypothesis
import pytest
from hypothesis import strategies as st

from s3_jax import files


@pytest.mark.parametrize("data", [b"", b"\x00\xff", "", "é\n", "a\r\nb"])
def test_writes_what_it_was_given(tmp_path, data):
  path = tmp_path / "new" / "folder" / "file"
  files.atomic_write(path, data)
  expected = data.encode() if isinstance(data, str) else data
  assert path.read_bytes() == expected
  assert [child.name for child in path.parent.iterdir()] == ["file"]


def test_json_is_written_in_one_form(tmp_path):
  path = tmp_path / "x.json"
  files.write_json(path, {"b": [1], "a": "é"})
  assert path.read_bytes() == b'{\n "b": [\n  1\n ],\n "a": "\\u00e9"\n}\n'
  files.write_json(path, "é", ascii=False)
  assert path.read_bytes() == '"é"\n'.encode()
  with pytest.raises(ValueError):
    files.write_json(path, float("nan"))
  assert path.read_bytes() == '"é"\n'.encode()


def test_replaces_an_old_file(tmp_path):
  path = tmp_path / "file"
  files.atomic_write(path, "a long old text")
  files.atomic_write(path, "new")
  assert path.read_text() == "new"


@pytest.mark.skipif(os.name != "posix", reason="permission bits")
def test_the_file_is_as_readable_as_any_other(tmp_path):
  (tmp_path / "plain").write_text("x")
  files.atomic_write(tmp_path / "atomic", "x")
  modes = {(tmp_path / name).stat().st_mode for name in ("plain", "atomic")}
  assert len(modes) == 1


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_failure_leaves_the_old_file_and_no_rest(tmp_path, monkeypatch, step):
  path = tmp_path / "file"
  files.atomic_write(path, "old")

  def fail(*_):
    raise OSError("disk full")

  monkeypatch.setattr(os, step, fail)
  with pytest.raises(OSError, match="disk full"):
    files.atomic_write(path, "new")
  monkeypatch.undo()
  assert path.read_text() == "old"
  assert len(list(tmp_path.iterdir())) == 1


def test_the_content_is_on_the_disk_before_the_rename(tmp_path, monkeypatch):
  events = []
  fsync, replace = os.fsync, os.replace
  monkeypatch.setattr(os, "fsync", lambda f: (events.append("sync"), fsync(f)))
  monkeypatch.setattr(
    os, "replace", lambda a, b: (events.append("rename"), replace(a, b))
  )
  files.atomic_write(tmp_path / "file", "x")
  assert events[:2] == ["sync", "rename"]


def test_a_killed_writer_leaves_a_whole_file(tmp_path):
  # The module alone, without the package around it, starts in no time.
  program = (
    "import runpy, pathlib, sys\n"
    "write = runpy.run_path(sys.argv[1])['atomic_write']\n"
    "path = pathlib.Path(sys.argv[2])\n"
    "number = 0\n"
    "while True:\n"
    "  number = (number + 1) % 10\n"
    "  write(path, str(number).encode() * 300_000)\n"
  )
  path = tmp_path / "file"
  for delay in (0.0, 0.003, 0.011):
    writer = subprocess.Popen(
      [sys.executable, "-c", program, files.__file__, str(path)]
    )
    started = path.stat().st_mtime_ns if path.exists() else 0
    limit = time.monotonic() + 60
    while not path.exists() or path.stat().st_mtime_ns == started:
      assert time.monotonic() < limit
      assert writer.poll() is None
      time.sleep(0.002)
    time.sleep(delay)
    writer.kill()
    writer.wait()
    content = path.read_bytes()
    assert len(content) == 300_000
    assert len(set(content)) == 1


NAMES = [
  "../x",
  "/etc/passwd",
  "CON",
  "a" * 300,
  "baluster / handrail",
  "F-16A/B",
  "\u202egnp.exe",
  "",
  "...",
  "日本語",
  "ß\x00\n",
  "\ud800",
]


@pytest.mark.parametrize("name", NAMES)
def test_names_stay_in_the_folder(tmp_path, name):
  safe = files.safe_name(3, name)
  assert re.fullmatch(r"0003-[a-z0-9-]{1,60}-[0-9a-f]{8}", safe)
  path = tmp_path / f"{safe}.png"
  assert path.resolve().parent == tmp_path.resolve()
  path.write_bytes(b"")


def test_every_name_gets_its_own():
  assert len({files.safe_name(0, name) for name in NAMES}) == len(NAMES)
  assert files.safe_name(0, "Tea-Cup") != files.safe_name(0, "tea cup")
  assert files.safe_name(1, "x") != files.safe_name(2, "x")
  assert files.safe_name(7, "Café au lait").startswith("0007-cafe-au-lait-")


@hypothesis.settings(
  max_examples=60, deadline=None, derandomize=True, database=None
)
@hypothesis.given(st.integers(0, 99_999), st.text(max_size=100))
def test_any_text_makes_a_plain_name(index, name):
  safe = files.safe_name(index, name)
  assert re.fullmatch(r"\d{4,5}-[a-z0-9](?:[a-z0-9-]{0,59})-[0-9a-f]{8}", safe)
  assert pathlib.PurePath(safe).name == safe


def test_a_negative_index_is_refused():
  with pytest.raises(ValueError, match="`index` must be >= 0, got -1"):
    files.safe_name(-1, "x")


def test_the_cache_is_the_users(monkeypatch, tmp_path):
  monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
  assert files.default_cache_dir() == tmp_path / "xdg" / "s3_jax"
  monkeypatch.setenv("XDG_CACHE_HOME", "")
  monkeypatch.setenv("HOME", str(tmp_path))
  assert files.default_cache_dir() == tmp_path / ".cache" / "s3_jax"


def test_a_body_that_fails_leaves_the_old_file(tmp_path):
  path = tmp_path / "file"
  files.atomic_write(path, "old")
  with (
    pytest.raises(RuntimeError, match="half way"),
    files.replacing(path) as temporary,
  ):
    temporary.write_text("new")
    raise RuntimeError("half way")
  assert path.read_text() == "old"
  assert list(tmp_path.iterdir()) == [path]


def test_a_pointer_of_git_lfs():
  pointer = (
    b"version https://git-lfs.github.com/spec/v1\n"
    b"oid sha256:" + b"0" * 64 + b"\nsize 12345\n"
  )
  assert files.is_lfs_pointer(pointer)
  assert files.is_lfs_pointer(pointer[: files.LFS_POINTER_BYTES])
  assert files.is_lfs_pointer(pointer.replace(b"\n", b"\r\n"))
  assert files.is_lfs_pointer(pointer.replace(b"v1", b"v2"))
  old = b"version http://git-media.io/spec/v1\n"
  assert files.is_lfs_pointer(
    old.replace(b"git-media.io", b"hawser.github.com")
  )
  for other in (b"", b"version 1\n", b"\x89PNG", b" " + pointer, pointer[:20]):
    assert not files.is_lfs_pointer(other)
