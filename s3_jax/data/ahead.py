"""Work that threads do a little ahead of who takes it."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

__all__ = ["ahead"]

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


def ahead(
  function: Callable[[_Item], _Result],
  items: Iterable[_Item],
  *,
  threads: int,
  most: int,
) -> Iterator[_Result]:
  """Yields `function(item)` of every item in order, `most` of them early.

  An error is raised where its item would come. The threads end with the
  consumer, also where it stops before the last item.
  """
  waiting: deque[Future[_Result]] = deque()
  with ThreadPoolExecutor(threads) as pool:
    try:
      for item in items:
        waiting.append(pool.submit(function, item))
        if len(waiting) > most:
          yield waiting.popleft().result()
      while waiting:
        yield waiting.popleft().result()
    finally:
      for future in waiting:
        future.cancel()
