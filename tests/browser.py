"""A headless browser that tests look at pages with.

Chromium is spoken to in its DevTools protocol over two pipes: no port, no
driver and no library is needed, and it can reach no other machine.

References:
  https://chromedevtools.github.io/devtools-protocol
"""

import base64
import json
import os
import pathlib
import select
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
TIMEOUT = 60.0
"""Seconds in which the browser must answer: CI has slow machines."""

_KEYS = {"Tab": 9, "Enter": 13, "Escape": 27, "ArrowRight": 39}

# Chromium reads commands from descriptor 3 and answers on descriptor 4.
_LAUNCH = """
import fcntl, os, sys
ends = [fcntl.fcntl(int(end), fcntl.F_DUPFD, 10) for end in sys.argv[1:3]]
for end, wanted in zip(ends, (3, 4)):
  os.dup2(end, wanted)
os.execv(sys.argv[3], sys.argv[3:])
"""
_OPTIONS = (
  "--headless=new",
  "--remote-debugging-pipe",
  "--no-sandbox",  # it refuses to start for root otherwise
  "--no-first-run",
  "--disable-gpu",
  "--disable-dev-shm-usage",
  "--disable-extensions",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--hide-scrollbars",
  "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)


def find_browser() -> str | None:
  """Returns the program of a Chromium, or None where there is none."""
  named = os.environ.get("S3_JAX_BROWSER")
  found = [named] if named else map(shutil.which, NAMES)
  return next(filter(None, found), None)


class Browser:
  """One browser with one page."""

  def __init__(self, program: str):
    self._folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
    commands, self._commands = os.pipe()
    self._answers, answers = os.pipe()
    self._log = open(pathlib.Path(self._folder.name) / "stderr", "wb")  # noqa: SIM115
    self._process = subprocess.Popen(
      [
        *(sys.executable, "-c", _LAUNCH, str(commands), str(answers)),
        *(program, *_OPTIONS, f"--user-data-dir={self._folder.name}/profile"),
      ],
      pass_fds=(commands, answers),
      stdin=subprocess.DEVNULL,
      stdout=subprocess.DEVNULL,
      stderr=self._log,
    )
    os.close(commands)
    os.close(answers)
    self._buffer, self._number, self._session = b"", 0, None
    self.events: list[dict[str, Any]] = []
    target = self.send("Target.createTarget", url="about:blank")["targetId"]
    attached = self.send("Target.attachToTarget", targetId=target, flatten=True)
    self._session = attached["sessionId"]
    for domain in ("Page", "Runtime", "Log", "DOM"):
      self.send(f"{domain}.enable")

  def send(self, method: str, **parameters: Any) -> dict[str, Any]:
    """Sends a command and returns the answer."""
    self._number += 1
    message = {"id": self._number, "method": method, "params": parameters}
    if self._session is not None:
      message["sessionId"] = self._session
    payload = json.dumps(message).encode() + b"\0"
    while payload:
      payload = payload[os.write(self._commands, payload) :]
    answer = self._wait(lambda each: each.get("id") == message["id"], method)
    if "error" in answer:
      raise RuntimeError(f"{method}: {answer['error']['message']}")
    return answer["result"]

  def look(self, *, width: int, height: int = 900, dark: bool = False) -> None:
    """Sets the size of the window and whether the reader wants it dark."""
    self.send(
      "Emulation.setDeviceMetricsOverride",
      width=width,
      height=height,
      deviceScaleFactor=1,
      mobile=width < 600,
    )
    scheme = "dark" if dark else "light"
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    self.send("Emulation.setEmulatedMedia", features=features)

  def open(self, url: str) -> None:
    """Opens a page and waits until all of it is there."""
    self.events.clear()
    answer = self.send("Page.navigate", url=url)
    if "errorText" in answer:
      raise RuntimeError(f"{url}: {answer['errorText']}")
    if not any(e["method"] == "Page.loadEventFired" for e in self.events):
      self._wait(lambda e: e.get("method") == "Page.loadEventFired", url)

  def run(self, expression: str) -> Any:
    """Evaluates JavaScript in the page; a promise is waited for."""
    answer = self.send(
      "Runtime.evaluate",
      expression=expression,
      returnByValue=True,
      awaitPromise=True,
    )
    if "exceptionDetails" in answer:
      details = answer["exceptionDetails"]
      raise RuntimeError(
        details.get("exception", {}).get("description", details["text"])
      )
    return answer["result"].get("value")

  def wait_for(self, expression: str, *, seconds: float = TIMEOUT) -> Any:
    """Evaluates JavaScript until it is true, and returns its value."""
    end = time.monotonic() + seconds
    while not (value := self.run(expression)):
      if time.monotonic() > end:
        raise TimeoutError(f"not true after {seconds} s: {expression}")
      time.sleep(0.05)
    return value

  def press(self, key: str) -> None:
    """Presses and releases a key, such as "Tab" or "Enter"."""
    code = _KEYS[key]
    text = {"text": "\r"} if key == "Enter" else {}
    for kind, more in (("keyDown", text), ("keyUp", {})):
      self.send(
        "Input.dispatchKeyEvent",
        type=kind,
        key=key,
        code=key,
        windowsVirtualKeyCode=code,
        **more,
      )

  def type(self, text: str) -> None:
    """Types a text into what has the focus."""
    self.send("Input.insertText", text=text)

  def choose_files(self, selector: str, *paths: pathlib.Path) -> None:
    """Gives files to an input of the page."""
    root = self.send("DOM.getDocument")["root"]["nodeId"]
    node = self.send("DOM.querySelector", nodeId=root, selector=selector)
    self.send(
      "DOM.setFileInputFiles",
      nodeId=node["nodeId"],
      files=[str(path) for path in paths],
    )

  def errors(self) -> list[str]:
    """Returns what the page complained of since it was opened."""
    self.run("0")  # what was on its way has come when this has
    found = []
    for event in self.events:
      given = event["params"]
      if event["method"] == "Runtime.exceptionThrown":
        found.append(given["exceptionDetails"]["text"])
      if event["method"] == "Log.entryAdded":
        entry = given["entry"]
        if entry["level"] in ("error", "warning"):
          found.append(f"{entry['text']} {entry.get('url', '')}".strip())
      if event["method"] == "Runtime.consoleAPICalled" and given["type"] in (
        *("error", "warning", "assert"),
      ):
        found.append(json.dumps(given["args"]))
    return found

  def screenshot(self, path: pathlib.Path, *, whole: bool = False) -> None:
    """Writes what is seen as PNG: the window, or the whole page."""
    answer = self.send(
      "Page.captureScreenshot", format="png", captureBeyondViewport=whole
    )
    path.write_bytes(base64.b64decode(answer["data"]))

  def close(self) -> None:
    """Ends the browser."""
    self._process.terminate()
    try:
      self._process.wait(10)
    except subprocess.TimeoutExpired:
      self._process.kill()
      self._process.wait()
    os.close(self._commands)
    os.close(self._answers)
    self._log.close()
    self._folder.cleanup()

  def _wait(
    self, wanted: Callable[[dict[str, Any]], bool], what: str
  ) -> dict[str, Any]:
    """Reads until the wanted message is there, and keeps all events."""
    end = time.monotonic() + TIMEOUT
    while True:
      message = self._read(end, what)
      if "method" in message:
        self.events.append(message)
      if wanted(message):
        return message

  def _read(self, end: float, what: str) -> dict[str, Any]:
    while b"\0" not in self._buffer:
      left = end - time.monotonic()
      if left <= 0 or not select.select([self._answers], [], [], left)[0]:
        raise TimeoutError(f"the browser does not answer: {what}")
      data = os.read(self._answers, 1 << 20)
      if not data:
        self._log.flush()
        said = pathlib.Path(self._log.name).read_text(errors="replace")
        raise RuntimeError(f"the browser has ended: {said[-2000:]}")
      self._buffer += data
    first, _, self._buffer = self._buffer.partition(b"\0")
    return json.loads(first)
