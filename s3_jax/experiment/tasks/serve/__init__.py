"""The task "serve": a page that classifies pictures while one edits classes.

The page is this computer's own: it is reached through the loopback interface
alone, asks nobody else, and nothing is written down.
"""

import pathlib
import secrets
from collections.abc import Callable
from http.server import ThreadingHTTPServer
from typing import Annotated, Any, NamedTuple

from s3_jax.data.decoding import MAX_PIXELS
from s3_jax.experiment.checkpoint import CheckpointSource, load_checkpoint
from s3_jax.experiment.methods.spaces import SpaceOptions
from s3_jax.experiment.run_log import tell
from s3_jax.experiment.settings import Classes, Dtype, Settings, Template
from s3_jax.experiment.tasks.serve.classifier import Classifier
from s3_jax.experiment.tasks.serve.local_server import (
  LOOPBACK,
  Route,
  open_server,
)
from s3_jax.fields import Count, Inline, Rule
from s3_jax.lexicon.prompts import NAME_TEMPLATE
from s3_jax.messages import visible
from s3_jax.results.serve_page import SCRIPT, read_script, render_serve_page

_MAX_JSON = 1 << 22
"""Bytes of a list of classes: ImageNet's with all its synonyms has 0.2 MB."""


class Serving(NamedTuple):
  """The settings of the page."""

  classes: Classes  # the table begins with these: names, a file, or a table
  model: Inline[CheckpointSource]
  options: Inline[SpaceOptions]
  # Of this computer, where the page is; 0 takes any that is free.
  port: Annotated[
    int, Rule("must be in 0..65535", lambda port: 0 <= port <= 65535)
  ] = 8417
  template: Template = NAME_TEMPLATE  # "{}" for texts that are sentences
  top: Count = 8  # classes a picture
  exif_orientation: bool = True  # turn photographs as their tag says
  max_pixels: Count = MAX_PIXELS  # larger pictures are refused
  max_bytes: Count = 1 << 25  # of a picture's file; larger ones are refused
  max_texts: Count = 20_000  # of all classes together
  dtype: Dtype = "float32"  # of the towers' matrix products


def read_settings(settings: Settings) -> Callable[[pathlib.Path], Any]:
  """Reads the settings of the page."""
  serving = settings.read(Serving)
  return lambda folder: serve(serving)


def serve(serving: Serving) -> None:
  """Shows the page until somebody stops it."""
  texts = sum(map(len, serving.classes.texts))
  tell(f"Loading {serving.model.model} and embedding {texts:,} texts ...")
  with make_server(serving) as server:
    tell(
      f"http://{LOOPBACK}:{server.server_port}/ shows the page, on this"
      " computer alone. Ctrl-C ends it."
    )
    server.serve_forever()


def make_server(serving: Serving) -> ThreadingHTTPServer:
  """Loads the checkpoint, embeds the first classes, and opens the port."""
  classifier = make_classifier(serving)
  first = classifier.start(serving.classes)
  token = secrets.token_urlsafe(32)
  page = render_serve_page(
    token=token,
    model=classifier.clip.spec.name,
    facts=(
      f"Texts in {visible(serving.template)!r}, metric"
      f" {serving.options.metric}, scale {serving.options.scale}.",
    ),
    max_bytes=serving.max_bytes,
  )
  script = read_script()
  routes = {
    ("GET", "/"): Route("text/html", lambda body: page.encode()),
    ("GET", SCRIPT): Route("text/javascript", lambda body: script.encode()),
    # Browsers ask for it whatever a page says.
    ("GET", "/favicon.ico"): Route("image/x-icon", lambda body: b""),
    ("POST", "/start"): Route.json(lambda value: first, _MAX_JSON),
    ("POST", "/classes"): Route.json(classifier.read_list, _MAX_JSON),
    ("POST", "/answers"): Route.json(classifier.answer, _MAX_JSON),
    ("POST", "/pictures"): Route.upload(
      classifier.add_picture, serving.max_bytes
    ),
  }
  return open_server(routes, port=serving.port, token=token)


def make_classifier(serving: Serving) -> Classifier:
  """Loads the checkpoint of the page."""
  return Classifier(
    load_checkpoint(serving.model),
    serving.options,
    template=serving.template,
    top=serving.top,
    exif_orientation=serving.exif_orientation,
    max_pixels=serving.max_pixels,
    max_texts=serving.max_texts,
    dtype=serving.dtype,
  )
