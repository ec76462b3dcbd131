"""The page of one's own computer: what it answers, whom it refuses."""

import contextlib
import http.client
import io
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from PIL import Image

import s3_jax
from configs.serve import get_config
from s3_jax.experiment import dry_run, run
from s3_jax.experiment.settings import Settings
from s3_jax.experiment.tasks.serve import (
  Serving,
  classifier,
  local_server,
  make_server,
)
from s3_jax.experiment.tasks.serve.cells import join_names, split_names
from s3_jax.lexicon.given_classes import read_classes
from s3_jax.messages import MAX_LINE
from tests.browser_test import LOOK

PLANE = pathlib.Path("docs/figures/airplane.png").resolve()
JETS = {"name": "jet", "names": "jet, airplane, plane"}
CATS = {"name": "cat", "names": "cat, kitten, cat face"}


class Page:
  """What the page's script does, without a browser."""

  def __init__(self, server):
    self.port = server.server_port
    page = self.get("/")[2].decode()
    self.token = page.split('name="token" content="')[1].split('"')[0]

  def send(self, method, path, body=b"", **headers):
    connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
    with contextlib.closing(connection):
      connection.request(
        method, path, body, {k.replace("_", "-"): v for k, v in headers.items()}
      )
      answer = connection.getresponse()
      return answer.status, answer.headers, answer.read()

  def get(self, path, **headers):
    return self.send("GET", path, **headers)

  def post(self, path, body, kind="application/json", **headers):
    if not isinstance(body, bytes):
      body = json.dumps(body).encode()
    headers = {"X-S3-Token": self.token, "Content-Type": kind} | headers
    status, _, answer = self.send("POST", path, body, **headers)
    return status, json.loads(answer)

  def add(self, data=None):
    data = PLANE.read_bytes() if data is None else data
    return self.post("/pictures", data, "application/octet-stream")

  def ask(self, *rows, pictures=()):
    return self.post("/answers", {"classes": rows, "pictures": list(pictures)})


@pytest.fixture(scope="module")
def server():
  config = get_config().to_dict() | {"port": 0, "max_bytes": 300_000}
  serving = Settings(config).read(Serving)
  with make_server(serving) as server:
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()


@pytest.fixture(scope="module")
def page(server) -> Page:
  return Page(server)


@pytest.fixture(scope="module")
def plane(page) -> str:
  status, answer = page.add()
  assert (status, answer["width"], answer["height"]) == (200, 64, 64)
  return answer["picture"]


@pytest.fixture(scope="module")
def clip():
  return s3_jax.load_clip("s3_jax/pictographs")


def test_the_numbers_are_those_of_classify(page, plane, clip):
  """The page keeps texts and fills arrays up; no number may know of it."""
  start = page.post("/start", {})[1]["classes"]
  known = read_classes("pictographs")
  assert [row["name"] for row in start] == list(known.names)
  found = page.ask(*start, pictures=[plane])[1]
  space = s3_jax.embed_classes(clip, "pictographs")
  expected = s3_jax.classify(clip, space, PLANE)
  assert tuple(map(tuple, found["left_out"])) == space.left_out
  assert sum(map(len, found["left_out"])) == 54
  assert (found["texts"], found["embedded"]) == (575, 0)
  (answer,) = found["answers"]
  best = np.argsort(-expected.scores[0], kind="stable")[:8]
  assert [row["label"] for row in answer["ranking"]] == best.tolist()
  for key, values in (
    ("score", expected.scores[0, best]),
    ("probability", expected.probabilities[0, best]),
  ):
    got = [row[key] for row in answer["ranking"]]
    np.testing.assert_allclose(got, values, atol=1e-5)
  first = answer["ranking"][0]
  assert (first["name"], first["text"]) == ("jet", "airplane")
  assert first["text"] == expected.texts[0]
  assert first["cosine"] == pytest.approx(float(expected.cosines[0]), abs=1e-5)


def test_the_map_has_the_cosines_across(page, plane, clip):
  (answer,) = page.ask(JETS, CATS, pictures=[plane])[1]["answers"]
  names = [*split_names(JETS["names"]), *split_names(CATS["names"])]
  prompts = [f"a photo of a {name}." for name in names]
  texts = s3_jax.embed_texts(clip.spec, clip.params, clip.tokenize(prompts))
  pixels = clip.preprocess(Image.open(PLANE))[None]
  image = s3_jax.embed_images(clip.spec, clip.params, pixels)[0]
  texts, image = np.asarray(texts, np.float64), np.asarray(image, np.float64)
  rows = answer["map"]
  assert [row["text"] for row in rows] == names
  assert [row["official"] for row in rows] == [True, False, False] * 2
  np.testing.assert_allclose([r["x"] for r in rows], texts @ image, atol=1e-5)
  # Up: the largest variance of what is orthogonal to the picture.
  rest = texts - np.outer(texts @ image, image)
  values = np.linalg.eigvalsh(np.cov(rest.T, bias=True))
  up = np.array([row["y"] for row in rows])
  assert up.mean() == pytest.approx(0, abs=1e-5)
  assert up.var() == pytest.approx(values[-1], rel=1e-3)
  decides = [row["text"] for row in rows if row["decides"]]
  assert decides == [row["text"] for row in answer["ranking"]]


def test_an_edit_embeds_what_is_new(page, plane):
  page.ask(JETS, CATS)
  rows = (JETS, {"name": "cat", "names": "cat, kitten, cat face, tigress"})
  assert page.ask(*rows, pictures=[plane])[1]["embedded"] == 1
  start = time.perf_counter()
  found = page.ask(*rows, pictures=[plane])[1]
  assert found["embedded"] == 0 and time.perf_counter() - start < 5
  assert [r["name"] for r in found["answers"][0]["ranking"]] == ["jet", "cat"]
  # Who takes the names away takes the picture.
  swapped = (
    {"name": "cat", "names": JETS["names"]},
    {"name": "jet", "names": CATS["names"]},
  )
  found = page.ask(*swapped, pictures=[plane])[1]
  first = found["answers"][0]["ranking"][0]
  assert (first["name"], first["label"]) == ("cat", 0)
  assert first["probability"] > 0.9
  # A class without names is its own; one class has all of the probability.
  found = page.ask({"name": "airplane", "names": " "}, pictures=[plane])[1]
  (only,) = found["answers"][0]["ranking"]
  assert only["text"] == "airplane" and only["probability"] == 1


def test_what_a_reader_should_know_is_said(page):
  words = " ".join(["striped"] * 90)
  found = page.ask(JETS, {"name": "plane", "names": f"plane, {words}"})[1]
  notes = " ".join(found["notes"])
  assert "knows pictographs only" in notes
  assert "'plane' of 0, 1" in notes
  assert "longer than the model reads, which were cut: 1." in notes


def test_a_forgotten_picture_is_asked_for_again(page, plane, monkeypatch):
  name = "0" * 64
  found = page.ask(JETS, pictures=[name, plane])[1]["answers"]
  assert found[0] == {"picture": name} and "ranking" in found[1]
  kept = classifier._Kept(2)
  for key in ("a", "b", "a", "c"):
    kept.put(key, key.upper())
  assert [kept.get(key) for key in "abc"] == ["A", None, "C"]


@pytest.mark.parametrize(
  ("text", "names", "cells"),
  [
    ("cat, dog", ["cat", "dog"], ["cat", "dog"]),
    (
      "cat: cat, kitten\ndog: dog\n",
      ["cat", "dog"],
      ["cat, kitten", "dog"],
    ),
    ("cat: cat, kitten", ["cat"], ["cat, kitten"]),
    ("cat\ndog", ["cat", "dog"], ["cat", "dog"]),
    ('{"cat": ["cat", "a cat, asleep"]}', ["cat"], ["cat; a cat, asleep;"]),
    ('[\n"cat",\n"dog"\n]', ["cat", "dog"], ["cat", "dog"]),
  ],
)
def test_pasted_lists(page, text, names, cells):
  status, found = page.post("/classes", {"list": text})
  assert status == 200, found
  assert [row["name"] for row in found["classes"]] == names
  assert [row["names"] for row in found["classes"]] == cells
  assert page.ask(*found["classes"])[0] == 200


def test_pasted_tables_are_the_packaged_ones(page):
  found = page.post("/classes", {"list": " imagenet\n"})[1]["classes"]
  known = read_classes("imagenet")
  assert [row["name"] for row in found] == list(known.names)
  cells = [tuple(split_names(row["names"])) for row in found]
  assert cells == list(known.texts)


def test_a_pasted_list_opens_no_file(page, tmp_path):
  path = tmp_path / "secret.txt"
  path.write_text("password\nother\n", "utf-8")
  status, found = page.post("/classes", {"list": str(path)})
  assert status == 400 and "password" not in found["problem"]


@pytest.mark.parametrize(
  "names",
  [("cat",), ("cat", "kitten"), ("a cat, asleep",), ("cat", "cat, asleep")],
)
def test_cells_hold_every_name(names):
  assert split_names(join_names(names)) == list(names)


def test_cells_refuse_what_they_cannot_hold():
  with pytest.raises(ValueError, match="no semicolon, got 'a; b'"):
    join_names(["cat", "a; b"])
  assert split_names(" , cat,, ") == ["cat"]


def _png(width, height):
  data = io.BytesIO()
  Image.new("1", (width, height)).save(data, "PNG")
  return data.getvalue()


@pytest.mark.parametrize(
  ("data", "says"),
  [
    (b"", "empty file"),
    (b"GIF89a", "cannot be used"),
    (b"<svg onload='alert(1)'/>", "not an image of a known format"),
    (PLANE.read_bytes()[:200], "cannot be used"),
    (_png(10_000, 9_000), "90000000"),
    (_png(3_000, 10), "sides further apart"),
  ],
  ids=["empty", "gif", "svg", "cut", "pixels", "ratio"],
)
def test_bad_pictures_are_one_line(page, data, says):
  if says == "90000000":
    says = "10000 x 9000 pixels, more than"
  status, found = page.add(data)
  assert status == 400 and says in found["problem"]
  assert len(found["problem"]) <= MAX_LINE and "\n" not in found["problem"]


def test_names_are_data(page, plane):
  evil = "<img src=x onerror=alert(1)>\u202e</script>"
  found = page.ask({"name": evil, "names": evil}, pictures=[plane])
  assert found[0] == 200
  assert found[1]["answers"][0]["ranking"][0]["name"] == evil
  status, found = page.ask({"name": "\ud800", "names": ""})
  assert status == 400 and "can be read" in found["problem"]


@pytest.mark.parametrize(
  ("value", "says"),
  [
    ({"classes": [], "pictures": []}, "at least one class"),
    ({"classes": [{"name": "cat"}], "pictures": []}, "list of rows"),
    ({"classes": {"cat": ["cat"]}, "pictures": []}, "list of rows"),
    ({"classes": [JETS], "pictures": [3]}, "list of names"),
    ({"classes": [JETS], "pictures": ["x"] * 257}, "at most 256, got 257"),
    (
      {"classes": [{"name": "", "names": "a"}], "pictures": []},
      "must have a name",
    ),
    ([1], "list of rows"),
    (b"[" * 100_000, "must be JSON"),
    (b"\xff", "must be JSON"),
  ],
)
def test_questions_that_are_none(page, value, says):
  status, found = page.post("/answers", value)
  assert status == 400 and says in found["problem"]


def test_too_many_texts(page):
  names = ", ".join(f"name {i}" for i in range(20_001))
  status, found = page.ask({"name": "cat", "names": names})
  assert status == 400 and "at most 20,000 texts" in found["problem"]


def test_strangers_are_refused(page):
  body = {"classes": [JETS], "pictures": []}
  ok = page.post("/answers", body, Origin=f"http://127.0.0.1:{page.port}")
  assert ok[0] == 200
  tunnel = {"Host": "localhost:9000", "Origin": "http://localhost:9000"}
  assert page.post("/answers", body, **tunnel)[0] == 200
  for headers, status in (
    ({"X-S3-Token": ""}, 403),
    ({"X-S3-Token": page.token[:-1]}, 403),
    ({"X-S3-Token": "é"}, 403),
    ({"Origin": "http://evil.example"}, 403),
    ({"Origin": "null"}, 403),
    ({"Host": "evil.example"}, 421),
    ({"Host": f"evil.example:{page.port}"}, 421),
    ({"Host": "127.0.0.1.evil.example"}, 421),
    ({"Host": "["}, 421),
  ):
    got, answer = page.post("/answers", body, **headers)
    assert got == status, headers
    assert set(answer) == {"problem"}
  assert page.get("/", Host="evil.example")[0] == 421
  assert page.token not in str(page.get("/", Host="evil.example")[2])


def test_requests_are_bounded(page):
  for path, kind, most in (
    ("/pictures", "application/octet-stream", 300_000),
    ("/answers", "application/json", 1 << 22),
  ):
    # The length alone is enough: nothing of it is read.
    headers = {"Content-Length": str(most + 1), "Host": "localhost"}
    headers |= {"X-S3-Token": page.token, "Content-Type": kind}
    with socket.create_connection(("127.0.0.1", page.port), 30) as peer:
      lines = [f"POST {path} HTTP/1.1"]
      lines += [f"{name}: {value}" for name, value in headers.items()]
      peer.sendall("\r\n".join([*lines, "", ""]).encode())
      assert b" 413 " in peer.recv(100)
  assert page.add(b"\0" * 300_001)[0] == 413
  assert page.post("/answers", b"{}", "text/plain")[0] == 415
  assert page.post("/answers", b"{}", Transfer_Encoding="chunked")[0] == 411


def test_paths_and_methods(page):
  assert page.get("/favicon.ico")[0] == 200
  assert page.get("/serve.js")[0] == 200
  for path in ("/answers", "/../etc/passwd", "/index.html", "//evil.example"):
    assert page.get(path)[0] == 404
  assert page.post("/other", {})[0] == 404
  assert page.send("PUT", "/")[0] == 501


def test_the_page_trusts_nobody(page):
  status, headers, body = page.get("/?x=<script>")
  assert status == 200 and b"x=<" not in body
  policy = headers["Content-Security-Policy"]
  assert policy.startswith("default-src 'none'; script-src 'self';")
  assert "frame-ancestors 'none'" in policy and "http" not in policy
  assert headers["X-Content-Type-Options"] == "nosniff"
  assert headers["Cache-Control"] == "no-store"
  assert headers["Server"] == "s3_jax"
  script = page.get("/serve.js")[2].decode()
  for word in ("innerHTML", "outerHTML", "insertAdjacent", "eval", "Function("):
    assert word not in script
  assert "http" not in script.replace("http://www.w3.org/2000/svg", "")


def test_a_slow_request_is_given_up(page, monkeypatch):
  monkeypatch.setattr(local_server, "_SECONDS", 0.5)
  head = (
    "POST /classes HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n"
    f"Content-Type: application/json\r\nX-S3-Token: {page.token}\r\n\r\n"
  )
  # Silent, with headers that never end, with a body that never does.
  for start, trickle, says in (
    ("", "", b""),
    ("GET / HTTP/1.1\r\n", "a: b\r\n", b""),
    (head, "", b" 408 "),
    (head, " ", b" 408 "),
  ):
    with socket.create_connection(("127.0.0.1", page.port), 30) as peer:
      peer.sendall(start.encode())
      peer.settimeout(0.2)
      end, found = time.monotonic() + 30, None
      while found is None:
        assert time.monotonic() < end
        try:
          found = peer.recv(100)
        except TimeoutError:
          peer.sendall(trickle.encode())
        except ConnectionError:
          found = b""
      assert found[8:13] == says, start


def test_a_refusal_can_be_read_after_a_large_body(page):
  """A connection that is closed on what it has not read loses the answer."""
  kind = "application/json"
  body = b" " * (1 << 24)
  assert page.post("/answers", body)[0] == 413
  assert page.post("/answers", body, X_S3_Token="old")[0] == 403
  with socket.create_connection(("127.0.0.1", page.port), 30) as peer:
    head = f"POST /answers HTTP/1.1\r\nHost: x\r\nContent-Type: {kind}\r\n"
    peer.sendall(f"{head}Content-Length: {1 << 50}\r\n\r\n".encode())
    with pytest.raises(ConnectionError):  # its end is not waited for
      for _ in range(1 << 10):
        peer.sendall(b" " * (1 << 20))


def test_too_many_requests_are_turned_away(page):
  peers = []
  with contextlib.ExitStack() as stack:
    for _ in range(local_server._AT_ONCE):
      peer = socket.create_connection(("127.0.0.1", page.port), 30)
      peers.append(stack.enter_context(peer))
    with pytest.raises((http.client.HTTPException, OSError)):
      page.get("/favicon.ico")
  end = time.monotonic() + 30
  while True:  # until the threads have seen that the others are gone
    try:
      assert page.get("/favicon.ico")[0] == 200
      break
    except (http.client.HTTPException, OSError):
      assert time.monotonic() < end
      time.sleep(0.05)


def test_a_bug_is_said_and_shown_in_the_terminal(capsys):
  def fail(body):
    raise RuntimeError("a bug of ours")

  routes = {("GET", "/"): local_server.Route("text/html", fail)}
  with local_server.open_server(routes, port=0, token="x") as server:
    threading.Thread(target=server.serve_forever, daemon=True).start()
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port)
    with contextlib.closing(connection):
      connection.request("GET", "/")
      answer = connection.getresponse()
      assert answer.status == 500 and b"a bug of ours" not in answer.read()
    server.shutdown()
  assert "RuntimeError: a bug of ours" in capsys.readouterr().err


def test_settings():
  dry_run(get_config())
  config = get_config()
  config.port = 65_536
  with pytest.raises(ValueError, match=r"config\.port` must be in 0\.\.65535"):
    dry_run(config)
  with pytest.raises(ValueError, match="`workdir` must be left out"):
    run(get_config(), "somewhere")
  assert not pathlib.Path("somewhere").exists()


def test_a_port_that_is_taken(server):
  with pytest.raises(ValueError, match=r"config\.port` must be free, got"):
    local_server.open_server({}, port=server.server_port, token="x")


def test_the_command_says_where_and_writes_nothing(tmp_path, repository):
  command = [sys.executable, "-m", "s3_jax", "serve", "jet, cat", "--port=0"]
  environment = os.environ | {"PYTHONPATH": str(repository)}
  with subprocess.Popen(
    command,
    cwd=tmp_path,
    env=environment,
    text=True,
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
  ) as process:
    assert process.stdout is not None
    assert process.stdout.readline().startswith("Loading s3_jax/pictographs")
    line = process.stdout.readline()
    address = line.split("http://127.0.0.1:")[1].split("/")[0]
    connection = http.client.HTTPConnection("127.0.0.1", int(address))
    with contextlib.closing(connection):
      connection.request("GET", "/")
      assert connection.getresponse().status == 200
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
  assert process.returncode == 130
  assert errors.strip() == "s3_jax: stopped; it keeps nothing."
  assert list(tmp_path.iterdir()) == []


# In a browser.

STATUS = "document.getElementById('status').textContent"


@pytest.fixture
def opened(browser, server):
  browser.look(width=1280)
  browser.open(f"http://127.0.0.1:{server.server_port}/")
  browser.wait_for(f"{STATUS}.startsWith('90 classes, 575 texts, 54 of')")
  return browser


def _click(browser, name):
  browser.run(f"document.getElementById('{name}').click()")


def _show_plane(browser):
  browser.choose_files("#files", PLANE)
  return browser.wait_for(
    "document.querySelector('.bars li:first-child bdi')?.textContent"
  )


def test_two_classes_and_a_picture(opened):
  """Somebody types, drops, reads, and edits."""
  _click(opened, "clear")
  opened.wait_for(f"{STATUS}.startsWith('Write a class')")
  for name, names in (("cat", "cat, kitten"), ("jet", "jet, plane")):
    _click(opened, "add")
    opened.type(name)
    opened.press("Tab")
    opened.type(names)
  opened.wait_for(f"{STATUS}.startsWith('2 classes, 4 texts, 0 of')")
  assert _show_plane(opened) == "jet"
  assert "nearest: “plane”" in opened.run("document.body.innerText")
  seen = opened.run(
    """
    [...document.querySelectorAll(".bars li")].map(li => li.innerText)
      .concat([...document.querySelectorAll(".map circle title")].map(
        each => each.textContent.split(",")[0]))
    """
  )
  assert seen[0].split("\n")[0] == "jet" and seen[1].split("\n")[0] == "cat"
  assert seen[2:] == ["jet", "plane", "cat", "kitten"]
  picture = opened.run(
    "document.images[0].naturalWidth + ' ' + document.images[0].alt"
  )
  assert picture == "64 airplane.png"
  opened.run("document.querySelectorAll('#rows input')[3].focus()")
  opened.type(", airplane")
  opened.wait_for(f"{STATUS}.startsWith('2 classes, 5 texts, 0 of')")
  opened.wait_for("document.body.innerText.includes('nearest: “airplane”')")
  opened.run("document.querySelectorAll('#rows button')[1].click()")
  opened.wait_for(f"{STATUS}.startsWith('1 class, 2 texts')")
  first = "document.querySelector('.bars li bdi').textContent"
  assert opened.run(first) == "cat"
  assert opened.errors() == []


def test_a_pasted_list_and_what_is_left_out(opened):
  left_out = "[...document.querySelectorAll('#rows s')].map(s => s.textContent)"
  assert len(opened.run(left_out)) == 54
  assert "gamp" in opened.run(left_out)
  opened.run("document.querySelector('details').open = true")
  opened.run("document.getElementById('list').focus()")
  opened.type("cat: cat, kitten\n<b>dog</b>: dog")
  _click(opened, "paste")
  opened.wait_for(f"{STATUS}.startsWith('2 classes, 3 texts')")
  values = "[...document.querySelectorAll('#rows input')].map(i => i.value)"
  assert opened.run(values) == ["cat", "cat, kitten", "<b>dog</b>", "dog"]
  assert opened.run(left_out) == []
  opened.run("document.getElementById('list').value = 'nothing like it'")
  _click(opened, "paste")
  opened.wait_for("!document.getElementById('problem').hidden")
  assert "there is no such file or table" in opened.run(
    "document.getElementById('problem').textContent"
  )


def test_a_bad_picture_is_said_on_its_card(opened, tmp_path):
  bad, large = tmp_path / "<i>.png", tmp_path / "large.png"
  bad.write_bytes(b"no picture")
  large.write_bytes(b"\0" * 300_001)
  opened.choose_files("#files", bad, large)
  opened.wait_for("document.querySelectorAll('article.bad').length == 2")
  text = opened.run("document.getElementById('pictures').innerText")
  assert "not an image of a known format" in text and "<i>.png" in text
  assert "at most 300000 bytes, got 300001" in text


def test_fewer_pictures_are_asked_about_again(opened, monkeypatch, tmp_path):
  monkeypatch.setattr(classifier, "MAX_PICTURES", 1)
  Image.new("RGB", (64, 64)).save(tmp_path / "black.png")
  opened.choose_files("#files", PLANE, tmp_path / "black.png")
  problem = "document.getElementById('problem')"
  opened.wait_for(f"!{problem}.hidden")
  assert "at most 1, got 2" in opened.run(f"{problem}.textContent")
  opened.run("document.querySelector('#pictures button').click()")
  opened.wait_for(f"{problem}.hidden")
  assert opened.run("document.querySelector('.bars bdi').textContent") == "jet"


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_the_page_is_readable(opened, width, dark):
  _show_plane(opened)
  opened.look(width=width, dark=dark)
  seen = opened.run(LOOK)
  assert seen["texts"] > 50 and seen["pictures"] == 1
  assert seen["wide"] <= width == seen["width"]
  assert seen["faint"] == [] and seen["broken"] == []
  assert seen["missing"] == seen["nameless"] == seen["skips"] == 0
  assert (seen["ground"]["r"] < 60) == dark
  outside = opened.run(
    """
    [...document.querySelectorAll(".map text")].filter(each => {
      const [box, map] = [each, each.ownerSVGElement].map(
        element => element.getBoundingClientRect());
      return box.left < map.left || box.right > map.right
        || box.top < map.top || box.bottom > map.bottom;
    }).map(each => each.textContent)
    """
  )
  assert outside == []
  assert opened.errors() == []
