"""Files from the network: the one module that opens a connection.

`download` stands before the Hugging Face hub and `fetch_file` before a bare
address. Without a network both say in one line which file to put where.
"""

import contextlib
import hashlib
import http.client
import logging
import pathlib
import re
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence

from s3_jax import hosts
from s3_jax.files import replacing

_CHUNK = 1 << 20  # bytes
_TIMEOUT = 60  # seconds without a byte


def download(
  repository: str,
  files: Sequence[str],
  *,
  revision: str | None = None,
  cache_dir: pathlib.Path | None = None,
) -> pathlib.Path:
  """Brings files of a Hugging Face repository onto this machine."""
  from huggingface_hub import hf_hub_download

  folder = None
  for file in files:
    try:
      # Its own bar is for terminals.
      with _quiet("huggingface_hub"), hosts.step(f"fetch {file}"):
        path = hf_hub_download(
          repository,
          file,
          # All from one commit, even if the repository changes meanwhile.
          revision=commit_of(folder) or revision,
          cache_dir=None if cache_dir is None else cache_dir / "hub",
        )
    except Exception as error:  # network, hub and disk have a kind each
      page = f"https://huggingface.co/{repository}/tree/{revision or 'main'}"
      raise ValueError(
        f"{repository} must be fetched from the Hugging Face hub, got for "
        f"{file}: {_one_line(error)}; put {', '.join(files)} of {page} into a "
        "folder and give that folder as `source`."
      ) from error
    folder = pathlib.Path(path).parent
  if folder is None:
    raise ValueError(f"`files` of {repository} must name a file, got none.")
  return folder


@contextlib.contextmanager
def _quiet(name: str) -> Iterator[None]:
  """Keeps a library from logging what the error will say in one line."""
  logger = logging.getLogger(name)
  level = logger.level
  logger.setLevel(logging.CRITICAL)
  try:
    yield
  finally:
    logger.setLevel(level)


def commit_of(folder: pathlib.Path | None) -> str | None:
  """Returns the commit that a folder of the hub's cache holds."""
  if folder is None or folder.parent.name != "snapshots":
    return None
  return folder.name if re.fullmatch("[0-9a-f]{40}", folder.name) else None


def fetch_file(
  address: str, folder: pathlib.Path, *, sha256: str
) -> pathlib.Path:
  """Brings a file from an address, unless it is there already.

  The bytes go to a temporary name; the file gets its own once they are all
  there and have the right sha256. A file that is there is not checked again.
  """
  path = folder / address.rpartition("/")[2]
  if path.is_file():
    return path
  if not address.startswith(("https://", "http://127.0.0.1:")):
    raise ValueError(f"`address` must begin with https://, got {address!r}.")
  try:
    with replacing(path) as temporary:
      _stream(address, temporary, sha256)
  except _UNREACHABLE as error:
    if isinstance(error, urllib.error.HTTPError):
      error.close()  # the answer's connection
    raise ValueError(
      f"{address} must be fetched, got {_one_line(error)}; put that file at"
      f" {path} and run again."
    ) from error
  return path


class _WrongFile(Exception):
  """What an address held is not the file."""


_UNREACHABLE = (
  _WrongFile,
  http.client.HTTPException,
  urllib.error.URLError,
  ConnectionError,
  TimeoutError,
)


def _stream(address: str, path: pathlib.Path, sha256: str) -> None:
  """Writes what an address holds, and raises where that is another file."""
  digest, received = hashlib.sha256(), 0
  with (
    urllib.request.urlopen(address, timeout=_TIMEOUT) as response,
    open(path, "xb") as file,
  ):
    length = response.headers.get("Content-Length")
    total = int(length) if length and length.isdigit() else None
    with hosts.progress_bar(
      total=total, unit="B", desc=address.rpartition("/")[2], leave=True
    ) as bar:
      while chunk := response.read(_CHUNK):
        file.write(chunk)
        digest.update(chunk)
        received += len(chunk)
        bar.update(len(chunk))
  if total is not None and received != total:
    raise _WrongFile(f"{received} of {total} bytes before the stream was cut")
  if digest.hexdigest() != sha256:
    raise _WrongFile(f"the sha256 {digest.hexdigest()} for {sha256}")


def _one_line(error: Exception) -> str:
  reason = " ".join(str(error).split())[:300].rstrip(".")
  named = isinstance(error, _WrongFile)
  return reason if named else f"{type(error).__name__}: {reason}"
