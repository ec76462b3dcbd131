"""Pickles as data: what they would call is written down, never called.

A pickle is a program for a small stack machine. This one runs only the
instructions that build plain values. Where a pickle asks for a function or a
class, an `Inert` records the name, the arguments and the state, and whoever
reads the file decides what that stands for. No name is looked up or imported.
"""

import io
import pickletools
from collections.abc import Callable, Iterator
from typing import Any

from s3_jax.clip.documents import shown

_PUSH = {
  "BINBYTES",
  "BINBYTES8",
  "BINFLOAT",
  "BININT",
  "BININT1",
  "BININT2",
  "BINUNICODE",
  "BINUNICODE8",
  "BYTEARRAY8",
  "FLOAT",
  "INT",
  "LONG",
  "LONG1",
  "LONG4",
  "SHORT_BINBYTES",
  "SHORT_BINUNICODE",
  "UNICODE",
}
_SINGLE = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_EMPTY = {"EMPTY_DICT": dict, "EMPTY_LIST": list, "EMPTY_TUPLE": tuple}
# Each takes a microsecond or two, and up to a hundred bytes.
_MOST_INSTRUCTIONS = 2_000_000
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_MARK = object()


class Inert:
  """What a pickle would look up, call or build, kept as data.

  Attributes:
    name: "module.name" of the function or class, or `PERSISTENT`.
    arguments: what it would be called with; None for the bare name.
    items: what would be stored in it by key.
    state: what would be set on it.
  """

  __slots__ = ("arguments", "items", "name", "state")

  def __init__(self, name: str, arguments: tuple[Any, ...] | None = None):
    self.name = name
    self.arguments = arguments
    self.items: dict[Any, Any] = {}
    self.state: Any = None


PERSISTENT = "persistent id"


def not_allowed(name: str) -> str:
  """Says that a pickle asks for a global, whose name may hold anything."""
  return f"the global {shown(name)[1:-1]}, which is not allowed"


def read_pickle(
  stream: io.BufferedIOBase, size: int, allowed: Callable[[str], bool]
) -> Any:
  """Reads one pickle."""
  try:
    return _run(_Bounded(stream, size), allowed)
  except (IndexError, KeyError, TypeError) as error:
    raise ValueError("a broken pickle") from error
  except (MemoryError, OverflowError, RecursionError) as error:
    raise ValueError("a pickle of impossible size") from error


class _Bounded:
  """Reads no more than there is, whatever length a broken pickle claims."""

  def __init__(self, stream: io.BufferedIOBase, size: int):
    self._stream = stream
    self._end = stream.tell() + size

  def tell(self) -> int:
    return self._stream.tell()

  def read(self, length: int) -> bytes:
    return self._stream.read(min(length, self._end - self._stream.tell()))

  def readline(self) -> bytes:
    return self._stream.readline(self._end - self._stream.tell())


def _instructions(stream: Any) -> Iterator[tuple[Any, Any]]:
  """Yields instructions and their arguments, a bounded number of them."""
  found = pickletools.genops(stream)
  for _ in range(_MOST_INSTRUCTIONS):
    try:
      code, argument, _ = next(found)
    except StopIteration:
      return
    except ValueError as error:
      raise ValueError("a pickle that is cut off or altered") from error
    yield code, argument
  raise ValueError(f"a pickle of more than {_MOST_INSTRUCTIONS} instructions")


def _run(stream: Any, allowed: Callable[[str], bool]) -> Any:
  stack: list[Any] = []
  memo: dict[int, Any] = {}

  def after_mark() -> list[Any]:
    position = len(stack) - 1
    while stack[position] is not _MARK:
      position -= 1
      if position < 0:
        raise IndexError("no mark")
    values = stack[position + 1 :]
    del stack[position:]
    return values

  def look_up(module: Any, name: Any) -> Inert:
    if not (isinstance(module, str) and isinstance(name, str)):
      raise ValueError(f"the global {shown(module)}.{shown(name)}")
    if not allowed(f"{module}.{name}"):
      raise ValueError(not_allowed(f"{module}.{name}"))
    return Inert(f"{module}.{name}")

  for code, argument in _instructions(stream):
    match code.name:
      case "STOP":
        if len(stack) != 1:
          raise ValueError(f"a pickle of {len(stack)} values")
        return stack[0]
      case "PROTO" | "FRAME":
        pass
      case "MARK":
        stack.append(_MARK)
      case "POP":
        stack.pop()
      case "POP_MARK":
        after_mark()
      case "TUPLE":
        stack.append(tuple(after_mark()))
      case "LIST":
        stack.append(after_mark())
      case "DICT":
        pairs = after_mark()
        stack.append({})
        _store(stack[-1], pairs)
      case "SETITEM":
        pairs = [stack.pop(-2), stack.pop()]
        _store(stack[-1], pairs)
      case "SETITEMS":
        pairs = after_mark()
        _store(stack[-1], pairs)
      case "APPEND":
        value = stack.pop()
        _extend(stack[-1], [value])
      case "APPENDS" | "ADDITEMS":
        values = after_mark()
        _extend(stack[-1], values)
      case "GLOBAL":
        stack.append(look_up(*str(argument).split(" ", 1)))
      case "STACK_GLOBAL":
        name, module = stack.pop(), stack.pop()
        stack.append(look_up(module, name))
      case "EMPTY_SET":
        stack.append(Inert("builtins.set", ()))
      case "FROZENSET":
        after_mark()
        stack.append(Inert("builtins.frozenset", ()))
      case "NEWOBJ_EX":
        stack.pop()  # arguments with names
        arguments, function = stack.pop(), stack.pop()
        stack.append(_apply(function, arguments))
      case "REDUCE" | "NEWOBJ":
        arguments, function = stack.pop(), stack.pop()
        stack.append(_apply(function, arguments))
      case "BINPERSID":
        stack.append(Inert(PERSISTENT, (stack.pop(),)))
      case "BUILD":
        state = stack.pop()
        _build(stack[-1], state)
      case "MEMOIZE":
        memo[len(memo)] = stack[-1]
      case "PUT" | "BINPUT" | "LONG_BINPUT":
        memo[int(argument)] = stack[-1]  # pyright: ignore[reportArgumentType]
      case "GET" | "BINGET" | "LONG_BINGET":
        stack.append(memo[int(argument)])  # pyright: ignore[reportArgumentType]
      case name if name in _PUSH:
        stack.append(argument)
      case name if name in _SINGLE:
        stack.append(_SINGLE[name])
      case name if name in _EMPTY:
        stack.append(_EMPTY[name]())
      case name if name in _TUPLES:
        count = _TUPLES[name]
        values = tuple(stack[-count:])
        if len(values) != count:
          raise IndexError("an empty stack")
        del stack[-count:]
        stack.append(values)
      case name:
        raise ValueError(f"the pickle instruction {name}")
  raise ValueError("a pickle without an end")


def _apply(function: Any, arguments: Any) -> Inert:
  bare = isinstance(function, Inert) and function.arguments is None
  if not bare or not isinstance(arguments, tuple):
    raise ValueError(f"a call of {shown(function)}")
  return Inert(function.name, arguments)


def _build(target: Any, state: Any) -> None:
  called = isinstance(target, Inert) and target.arguments is not None
  if not called or target.state is not None:
    raise ValueError(f"a state for {shown(target)}")
  target.state = state


def _extend(target: Any, values: list[Any]) -> None:
  if isinstance(target, Inert) and target.arguments is not None:
    return  # a set, a deque or the like, which is no array
  if type(target) is not list:
    raise ValueError(f"entries for {shown(target)}")
  target.extend(values)


def _store(target: Any, pairs: list[Any]) -> None:
  items = target.items if isinstance(target, Inert) else target
  if type(items) is not dict or len(pairs) % 2:
    raise ValueError(f"items for {shown(target)}")
  for key, value in zip(pairs[::2], pairs[1::2], strict=True):
    if not isinstance(key, str | int):
      # Such a key names no array. It is not hashed: tuples that hold each
      # other take exponential time.
      key = Inert(type(key).__name__)
    if key in items:
      raise ValueError(f"the key {shown(key)} twice")
    items[key] = value
