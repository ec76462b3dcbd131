"""Errors in every form that endpoints give them, and what helps."""

import json

import pytest

from s3_jax.lexicon.refusals import error_words, refused_setting

SENT = frozenset({"seed", "temperature"})


@pytest.mark.parametrize(
  ("body", "words", "setting"),
  [
    (
      {"error": {"message": "Unsupported value.", "param": "temperature"}},
      "Unsupported value. (temperature)",
      "temperature",
    ),
    (
      [{"error": {"code": 400, "message": 'Unknown name "seed".'}}],
      'Unknown name "seed".',
      "seed",
    ),
    (
      {
        "detail": [{"type": "x", "loc": ["body", "seed"], "msg": "not allowed"}]
      },
      "not allowed (body.seed)",
      "seed",
    ),
    ({"detail": "temperature: no"}, "temperature: no", "temperature"),
    (
      {"object": "error", "message": {"detail": [{"msg": "a"}, {"msg": "b"}]}},
      "a; b",
      "format",
    ),
    ({"error": "the seed is unknown"}, "the seed is unknown", "seed"),
    ({"errors": [{"field": "temperature", "message": "bad"}]}, None, None),
    ("no seeds here", "no seeds here", "seed"),
    ({"error": {"message": "Birdseed costs"}}, "Birdseed costs", "format"),
    (
      {"error": {"message": "json_schema needs no seed"}},
      "json_schema needs no seed",
      "format",
    ),
    (
      {"error": {"message": "seed!", "param": "response_format"}},
      "seed! (response_format)",
      "format",
    ),
    ({"code": 7}, '{"code": 7}', "format"),
    ([], "[]", "format"),
  ],
)
def test_errors_of_all_forms(body, words, setting):
  found, names = error_words(json.dumps(body).encode())
  assert found == (words or "bad (temperature)")
  assert refused_setting(found, names, SENT) == (setting or "temperature")


def test_what_is_no_json_is_shown_as_text():
  page = b"<html><body>Bad\x1b[31m <b>gate</b>way\n</body></html>"
  assert error_words(page) == ("Bad[31m gate way", frozenset())
  assert error_words(b"") == ("", frozenset())
  assert error_words(b"\xff" * 3)[0] == "\ufffd" * 3


def test_what_was_not_sent_cannot_be_left_out():
  assert refused_setting("seed", frozenset({"seed"}), frozenset()) == "format"


@pytest.mark.parametrize("body", [b"[" * 50_000, b'{"error":' * 5000])
def test_deep_errors_are_read_in_no_time(body):
  words, _ = error_words(body)
  assert len(words) <= len(body)
  nested = {"error": "inside"}
  for _ in range(90):
    nested = {"error": [nested] * 3}
  assert error_words(json.dumps({"error": {"a": 1}}).encode())[0]
