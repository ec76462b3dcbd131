"""What this very code and its libraries make of four fixed pictures.

Cached embeddings are right as long as the pixels that went into the tower are.
The sha256 of these pixels, part of every key, changes with the decoder, the
resize, the conversion of colours and our own preprocessing, and costs
milliseconds.
"""

import base64
import hashlib
import struct
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np

from s3_jax.data.decoding import decode_image

# Blocks of colour, 24 x 18 pixels.
_JPEG = base64.b85decode(
  "|JeWF01!$>Nk#wx0RR9200961|JwjV01XKW3knDg3knMk4h;_zAQcl55)&sJ9v2`kDKRiE"
  "DJ?8BI!Zn>HbyrrEkIX6ModmpQ&KWMT47pHU`kO^PygEhLjevB4iga*CKVMXPc<zyPft%z"
  "Pft%zPft%zPft%zPft%zPft%zPft%zPft%zPft%zPft%zPft%zPft%zPf!2A01*fP5&#$j"
  "0U`hb5di}c0sq7R7ytnQ0RaI30000000000000061px&A!~iJ}000C90S5&D0000000000"
  "00RUO0RjaQ6Co5LH9<mQfiY2nv9kZf02cuP0RaI30000000000000040|EvA!~iA{009F6"
  "1p@^D00000000000RRF61Q7)xL2;2XVX-kYHB#{Z+5ij#0RRFK0}%i}0NY<!K{7KT1sdtm"
  "H@rIu<%?4rW-}d~_hK=KsqM!~n+`kru6AvG8?f}4n-g!l_6=n<H8g^vR}kj$W0r%t)moCO"
  "rYOwvv;Yt7d#ZX}c9@!;Q75Ui$z9=&XtuGBC;)(1vjVBh$91i(&By?y!!XI->0KkP<9>7c"
  "thz?X;`{pN%H<o16Y~7TP%7#202PY#9fy@lkByUY<SA;e5jV%w00492=m;?TZP+jW*#"
)


def _png(
  width: int, height: int, depth: int, colour: int, rows: bytes
) -> bytes:
  """Encodes rows of a PNG, each behind its filter's byte."""

  def chunk(name: bytes, data: bytes) -> bytes:
    crc = struct.pack(">I", zlib.crc32(name + data))
    return struct.pack(">I", len(data)) + name + data + crc

  head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
  return (
    b"\x89PNG\r\n\x1a\n"
    + chunk(b"IHDR", head)
    + chunk(b"IDAT", zlib.compress(rows))
    + chunk(b"IEND", b"")
  )


def _pictures() -> tuple[bytes, ...]:
  """Makes a photograph's kind of file, a transparent, a deep and a tall one.

  None is square. The tall one alone is larger than a tower's input: Pillow 13
  shrinks such pictures in another order than those before it.
  """
  see_through = b"".join(
    b"\0"
    + bytes(
      value
      for col in range(37)
      for value in (
        7 * col % 256,
        11 * row % 256,
        5 * (row + col) % 256,
        9 * col % 256,
      )
    )
    for row in range(21)
  )
  deep = b"".join(
    b"\0"
    + struct.pack(">19H", *(3000 * (row ^ col) % 65536 for col in range(19)))
    for row in range(33)
  )
  stripes = bytes(13 * step % 256 for step in range(3 * 512 + 1100))
  tall = b"".join(b"\0" + stripes[row : row + 3 * 512] for row in range(1100))
  return (
    _JPEG,
    _png(37, 21, 8, 6, see_through),
    _png(19, 33, 16, 0, deep),
    _png(512, 1100, 8, 2, tall),
  )


def pixels_canary(prepare: Callable[[Any], np.ndarray]) -> str:
  """Hashes what preprocessing makes of the pictures."""
  digest = hashlib.sha256()
  for data in _pictures():
    try:
      pixels = np.ascontiguousarray(prepare(decode_image(data)))
      digest.update(f"{pixels.shape} {pixels.dtype}\n".encode())
      digest.update(pixels.tobytes())
    except ValueError as error:
      digest.update(str(error).encode())
  return digest.hexdigest()
