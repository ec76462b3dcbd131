"""Bad input from the command line: exit code 2, one line, nothing written."""

import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time
import types
import warnings

import PIL.Image
import pytest
from absl import logging

import s3_jax
from s3_jax import __main__ as cli
from s3_jax import experiment


class PanicException(BaseException):
  """As libraries written in Rust raise it."""


def flag(value):
  return types.SimpleNamespace(value=value)


@pytest.fixture
def call(monkeypatch, capsys):
  """Calls main with the flags' values; returns exit code, stdout, stderr."""
  monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)
  verbosity = logging.get_verbosity()

  def call(config, workdir, *, debug=False, argv=("main.py",)):
    monkeypatch.setattr(cli, "_CONFIG", flag(config))
    monkeypatch.setattr(cli, "_WORKDIR", flag(workdir and str(workdir)))
    monkeypatch.setattr(cli, "_DEBUG", flag(debug))
    for name in ("PLATFORM", "COORDINATOR", "NUM_PROCESSES", "PROCESS_ID"):
      monkeypatch.setattr(cli, f"_{name}", flag(None))
    # Some tests put a word in the place of a config.
    monkeypatch.setattr(experiment, "computes", lambda config: True)
    try:
      cli.main(list(argv))
      code = 0
    except SystemExit as stop:
      code = stop.code
    return code, *capsys.readouterr()

  yield call
  logging.set_verbosity(verbosity)


def opening(task, workdir):
  """The line that a run has before its files are read."""
  return f"s3_jax {s3_jax.__version__}: {task}, results in {workdir}\n"


def damage(folder: pathlib.Path, fault: str) -> None:
  weights = folder / "model.safetensors"
  if fault == "truncated":
    weights.write_bytes(weights.read_bytes()[:-100])
  elif fault == "header":
    weights.write_bytes(weights.read_bytes()[:20])
  elif fault == "empty":
    weights.write_bytes(b"")
  else:
    (folder / fault).unlink()


FILES = (
  "config.json",
  "model.safetensors",
  "preprocessor_config.json",
  "tokenizer.json",
)


@pytest.mark.parametrize("fault", ["truncated", "header", "empty", *FILES])
def test_a_broken_checkpoint(call, read_config, checkpoint, tmp_path, fault):
  folder, workdir = tmp_path / "broken", tmp_path / "run"
  shutil.copytree(checkpoint, folder)
  damage(folder, fault)
  code, out, err = call(read_config("pictographs", model=str(folder)), workdir)
  assert code == 2 and out == opening("benchmark", workdir)
  assert err.count("\n") == 1 and err.startswith("s3_jax: ")
  assert "broken" in err and "Traceback" not in err
  name = fault if fault in FILES else "model.safetensors"
  assert name in err
  assert list(workdir.rglob("*")) == []


@pytest.mark.parametrize(
  ("changes", "words"),
  [
    ({"methods": ("class_name", "magic")}, ("config.methods", "'magic'")),
    ({"neighbors": 0}, ("config.neighbors", ">= 1", "got 0")),
    ({"model": "no/such/folder"}, ("`source`", "'no/such/folder'")),
    ({"lexicon": "nosuch"}, ("lexicon 'nosuch'",)),
    ({"nonsense": 1}, ("config.nonsense", "unknown field")),
  ],
  ids=["method", "neighbors", "model", "lexicon", "field"],
)
def test_a_bad_setting(call, read_config, tmp_path, changes, words):
  workdir = tmp_path / "run"
  code, out, err = call(read_config("pictographs", **changes), workdir)
  assert code == 2
  # Files are read only once a run has said what it is.
  reads = {"model", "lexicon"} & changes.keys()
  assert out == (opening("benchmark", workdir) if reads else "")
  assert err.count("\n") == 1 and err.startswith("s3_jax: ")
  assert all(word in err for word in words)
  assert list(tmp_path.rglob("*")) in ([], [tmp_path / "run"])


def test_a_workdir_that_cannot_be_written(call, read_config, tmp_path):
  (tmp_path / "file").write_text("mine")
  workdir = tmp_path / "file" / "run"  # not even root can write there
  code, out, err = call(read_config("pictographs"), workdir)
  assert code == 2 and out == ""
  assert err.count("\n") == 1 and "`workdir`" in err and str(workdir) in err
  assert (tmp_path / "file").read_text() == "mine"


def test_debug_shows_where(call, read_config, tmp_path):
  with pytest.raises(ValueError, match="config.neighbors"):
    call(read_config("pictographs", neighbors=0), tmp_path / "run", debug=True)


def test_arguments_are_flags(call, tmp_path):
  code, _, err = call(None, tmp_path, argv=("main.py", "stray"))
  assert code == 2 and "got 'stray'" in err and err.count("\n") == 1


@pytest.mark.parametrize(
  ("error", "code", "words"),
  [
    (OSError(28, "No space left on device"), 2, "No space left"),
    (OSError(13, "Permission denied", "a\x1b[31mb"), 2, r"'a\x1b[31mb' can"),
    (ValueError("two\nlines"), 2, "s3_jax: two lines\n"),
    (ValueError("name \x1b]0;x\x07\u202e."), 2, r"name \x1b]0;x\x07\u202e."),
    (ValueError("list: " + "word, " * 900 + "w. Do this."), 2, "Do this.\n"),
    (ValueError("embedded null byte"), 2, "a path must not hold a NUL"),
    (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"), 2, "must be UTF-8"),
    (json.JSONDecodeError("Expecting value", "", 0), 2, "JSON file must be"),
    (PanicException("at the disco"), 2, "a library gave up"),
    (KeyboardInterrupt(), 130, "stopped"),
  ],
  ids=lambda value: type(value).__name__,
)
def test_what_stops_a_run(call, monkeypatch, error, code, words):
  def run(config, workdir):
    raise error

  monkeypatch.setattr(experiment, "run", run)
  stopped, _, err = call(None, None)
  assert stopped == code and words in err
  assert err.lstrip("\n").count("\n") == 1 and len(err) <= 301 + (code == 130)


@pytest.mark.parametrize(
  ("task", "workdir", "words"),
  [
    ("predict", None, "the same command starts anew"),
    ("segment", "run", "the same command starts anew"),
    ("export", None, "the same command starts anew"),
    ("benchmark", None, "goes on from here, with what is in "),
    ("synonyms", "some/run", "goes on from here, with some/run"),
    ("train", None, "if --workdir names this run's folder"),
  ],
)
def test_a_stopped_run_promises_what_is_true(
  call, monkeypatch, task, workdir, words
):
  def run(config, workdir):
    raise KeyboardInterrupt

  monkeypatch.setattr(experiment, "run", run)
  code, _, err = call({"task": task}, workdir)
  assert code == 130 and err.startswith("\ns3_jax: stopped; ")
  assert words in err and err.count("\n") == 2
  assert ("goes on" in err) == bool(experiment.resumes({"task": task}))


def test_every_task_that_resumes_is_one():
  for name, task in experiment.TASKS.items():
    assert task.resumes in ("", "cache", "workdir")
    # Without a tower there is nothing to keep.
    if task.shared and not name.startswith("embeddings"):
      assert task.resumes == "cache", name


def interrupted(repository, tmp_path, ready, *flags):
  """Starts a run and interrupts it as soon as `ready` is true."""
  process = subprocess.Popen(
    [sys.executable, "main.py", f"--workdir={tmp_path / 'run'}", *flags],
    cwd=repository,
    env={**os.environ, "JAX_PLATFORMS": "cpu"},
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
  )
  end = time.monotonic() + 120
  while not ready() and time.monotonic() < end:
    assert process.poll() is None, process.communicate()
    time.sleep(0.01)
  process.send_signal(signal.SIGINT)
  _, err = process.communicate(timeout=120)
  return process.returncode, err


@pytest.mark.parametrize("delay", [0.0, 0.4, 1.2])
def test_an_interrupt_of_predict_ends_it_in_peace(
  repository, checkpoint, tmp_path, delay
):
  """While its programs compile, in threads of XLA."""
  images = tmp_path / "images"
  images.mkdir()
  PIL.Image.new("RGB", (300, 200), (77, 9, 9)).save(images / "0.jpg")
  # Enough that a quick machine is not done before the interrupt comes.
  for number in range(1, 5_000):
    os.link(images / "0.jpg", images / f"{number}.jpg")
  log = tmp_path / "run" / "log.txt"
  since = []

  def ready():
    if not since and log.exists():
      since.append(time.monotonic())
    return since and time.monotonic() - since[0] >= delay

  code, err = interrupted(
    repository,
    tmp_path,
    ready,
    "--config=configs/predict.py",
    f"--config.images={images}",
    "--config.classes=cat,dog",
    f"--config.model={checkpoint}",
    f"--config.cache_dir={tmp_path / 'cache'}",
    "--config.batch_size=1",
  )
  assert code == 130, err
  assert err.splitlines()[-1] == (
    "s3_jax: stopped; its results are not complete, and the same command starts"
    " anew."
  )
  assert "Traceback" not in err
  assert {path.name for path in (tmp_path / "run").iterdir()} == {"log.txt"}


def test_an_interrupt_that_was_swallowed_comes_again(tmp_path):
  """As in a callback of the garbage collection."""
  program = tmp_path / "program.py"
  program.write_text(
    "import gc, os, signal, time\n"
    "from s3_jax import __main__ as cli\n"
    "cli._AGAIN = 0.2\n"
    "signal.signal(signal.SIGINT, cli._interrupt)\n"
    "signal.signal(signal.SIGALRM, cli._interrupt)\n"
    "def swallow(*args):\n"
    "  gc.callbacks.clear()\n"
    "  os.kill(os.getpid(), signal.SIGINT)\n"
    "  time.sleep(0.01)\n"
    "gc.callbacks.append(swallow)\n"
    "try:\n"
    "  gc.collect()\n"
    "  time.sleep(20)\n"
    "except KeyboardInterrupt:\n"
    "  print('interrupted')\n"
    "  os._exit(0)\n"
  )
  done = subprocess.run(
    [sys.executable, str(program)],
    cwd=pathlib.Path(cli.__file__).parent.parent,
    env={**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONPATH": os.getcwd()},
    capture_output=True,
    text=True,
    timeout=60,
    check=False,
  )
  assert done.stdout == "interrupted\n", done.stderr
  assert "ignored" in done.stderr


def test_a_bug_is_no_bad_input(call, monkeypatch):
  def run(config, workdir):
    raise TypeError("ours")

  monkeypatch.setattr(experiment, "run", run)
  with pytest.raises(TypeError, match="ours"):
    call(None, None)


@pytest.mark.filterwarnings("default")
def test_a_warning_is_one_line(call, monkeypatch):
  def run(config, workdir):
    warnings.warn("mind this", stacklevel=1)

  monkeypatch.setattr(experiment, "run", run)
  code, out, err = call(None, None)
  assert (code, out, err) == (0, "", "s3_jax: mind this\n")


def test_a_run_gets_config_and_workdir(call, monkeypatch):
  given = []
  monkeypatch.setattr(
    experiment, "run", lambda config, workdir: given.append((config, workdir))
  )
  assert call("config", "some/where")[0] == 0
  assert call("config", None)[0] == 0
  assert given == [("config", "some/where"), ("config", None)]


# Whole processes, started together: what each is given and must say.
COMMANDS = {
  "config's argument": (["--config=configs/demo.py:x"], ["demo.py:x"]),
  "nearest field": (
    ["--config=configs/demo.py", "--config.neighbor=3"],
    ["`--config.neighbor` must", "it may be neighbors, "],
  ),
  "folder": (["--config=."], ["`--config` must be a file", "'.'"]),
  "config": (["--config=no/such/config.py"], ["no/such/config.py"]),
  "field": (["--config.nonsense=1"], ["--config", "nonsense"]),
  "value": (["--config.neighbors=many"], ["config.neighbors", "many"]),
  "checkpoint": (["--config.model={broken}"], ["model.safetensors"]),
}


@pytest.fixture(scope="module")
def finished(repository, checkpoint, tmp_path_factory):
  root = tmp_path_factory.mktemp("cli")
  broken = root / "broken"
  shutil.copytree(checkpoint, broken)
  damage(broken, "truncated")
  running = {}
  for name, (flags, _) in COMMANDS.items():
    (root / name).mkdir()
    running[name] = subprocess.Popen(
      [
        sys.executable,
        str(repository / "main.py"),
        "--workdir=results",
        *(
          text.format(broken=broken).replace(
            "=configs", f"={repository}/configs"
          )
          for text in flags
        ),
      ],
      cwd=root / name,
      env={**os.environ, "XDG_CACHE_HOME": str(root / name)},
      stdout=subprocess.PIPE,
      stderr=subprocess.PIPE,
      text=True,
    )
  return root, {
    name: (*process.communicate(timeout=120), process.returncode)
    for name, process in running.items()
  }


@pytest.mark.parametrize("name", COMMANDS)
def test_a_bad_command_is_refused_in_one_line(finished, name):
  root, results = finished
  out, err, code = results[name]
  begun = opening("benchmark", "results") if name == "checkpoint" else ""
  assert (code, out) == (2, begun), err
  assert err.count("\n") == 1 and err.startswith("s3_jax: "), err
  assert len(err) <= 301
  assert all(word in err for word in COMMANDS[name][1]), err
  left = {path.name for path in (root / name).rglob("*")}
  # At most the empty folders of the run and of the cache.
  assert left <= {"results", "s3_jax"}


def typed(*words, cwd):
  """Runs the command as a person types it."""
  return subprocess.run(
    [sys.executable, "-m", "s3_jax", *words],
    cwd=cwd,
    env={
      **os.environ,
      "JAX_PLATFORMS": "cpu",
      "PYTHONPATH": str(pathlib.Path(cli.__file__).parent.parent),
    },
    capture_output=True,
    text=True,
    timeout=120,
    check=False,
  )


def test_without_stderr_exit_codes_stay(tmp_path):
  command = [sys.executable, "-m", "s3_jax", "predict", "none.png"]
  done = subprocess.run(
    ["sh", "-c", 'exec "$@" 2>&-', "sh", *command],
    cwd=tmp_path,
    env={
      **os.environ,
      "JAX_PLATFORMS": "cpu",
      "PYTHONPATH": str(pathlib.Path(cli.__file__).parent.parent),
    },
    timeout=120,
    check=False,
  )
  assert done.returncode == 2


def test_plain_words_and_lists_reach_the_run(repository, tmp_path):
  picture = repository / "docs" / "figures" / "airplane.png"
  for name in ("a, b.png", "c.png", "not_named.png"):
    shutil.copy(picture, tmp_path / name)
  done = typed(
    *("predict", "a, b.png", "c.png", "--classes", "cat, jet", "--top", "1"),
    *("--nocontact_sheet", "--workdir=run"),
    cwd=tmp_path,
  )
  assert done.returncode == 0, done.stderr
  found = json.loads((tmp_path / "run" / "predictions.json").read_text())
  assert found["config"]["images"] == ["a, b.png", "c.png"]
  assert found["config"]["top"] == 1
  answers = [row["predictions"][0]["class"] for row in found["images"]]
  assert answers == ["jet", "jet"]
  assert not list((tmp_path / "run").glob("*.html"))


@pytest.mark.parametrize(
  ("words", "says"),
  [
    (("predict", "none.png"), "got 'none.png', which does not exist"),
    (("demo", "--methods=class_name,centr"), "`--methods` must hold one of"),
    (("demo", "--neighbors=few"), "`--neighbors` must be of the type"),
    (("demmo",), "must be one of demo"),
  ],
)
def test_what_is_wrong_is_named_as_it_was_typed(tmp_path, words, says):
  done = typed(*words, cwd=tmp_path)
  assert done.returncode == 2 and done.stdout == ""
  assert says in done.stderr and done.stderr.count("\n") == 1
  assert "`config." not in done.stderr and not list(tmp_path.rglob("runs/*"))
