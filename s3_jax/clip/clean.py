"""How a text is cleaned before it is cut into tokens.

A checkpoint saw its captions in one form only, so the form is part of its
settings: `ModelSpec.text_cleaning`, and for SigLIP's also `ModelSpec.school`.
"""

import html
import re
import string

import ftfy

CLEANINGS = ("clip", "canonical", "lower", "none")
"""Values of `ModelSpec.text_cleaning`."""

_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)
# How SentencePiece writes a space. In a text of its own it means no more.
_SPACE = "\u2581"


def clean_text(
  text: str, *, cleaning: str = "clip", school: str = "openai"
) -> str:
  """Cleans a text as a checkpoint's own code does.

  "clip": broken Unicode mended, HTML entities resolved twice, white space
  collapsed, lower case. "canonical": lower case, ASCII punctuation removed,
  white space collapsed; the school of open_clip mends and unescapes the text
  first and makes an underscore a space, that of `transformers` removes it like
  the rest. "lower": lower case letter by letter, which leaves a final sigma as
  any other, and nothing else. "none": the text as it is.

  References:
    "clip": OpenAI's CLIP, simple_tokenizer.py. "canonical": SiglipTokenizer of
    `transformers`; open_clip, tokenizer.py; big_vision, prompt_engineering.py.
    "lower": Siglip2Tokenizer of `transformers`. big_vision itself, which
    trained SigLIP 2, lowers ASCII letters only (`tf.strings.lower`), and takes
    punctuation off in its zero-shot evaluation alone.
  """
  if cleaning == "clip":
    return _collapse(_mend(text)).lower()
  if cleaning == "canonical":
    if school == "openai":
      text = _mend(text).replace("_", " ")
    else:
      text = text.replace(_SPACE, " ")
    return _collapse(text.lower().translate(_NO_PUNCTUATION))
  if cleaning == "lower":
    return "".join(letter.lower() for letter in text)
  if cleaning == "none":
    return text
  raise ValueError(
    f"`text_cleaning` must be one of {', '.join(CLEANINGS)}, got {cleaning!r}."
  )


def _mend(text: str) -> str:
  return html.unescape(html.unescape(ftfy.fix_text(text)))


def _collapse(text: str) -> str:
  return re.sub(r"\s+", " ", text).strip()
