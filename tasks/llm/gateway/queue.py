"""The articles that wait for their turn: new ones in order, those to try again before them."""

from __future__ import annotations

import asyncio
import heapq
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, suppress
from itertools import count

from article_flows.tasks.llm.protocol.request import Request


class RequestQueue:
    """The queue in front of the gateway; it stays short if its users wait for ``room``.

    An article that is tried again goes before those that were never asked about, so that the
    batch it belongs to can end. One that rests after a fault holds no slot meanwhile.

    Args:
        wanted: gives the number of waiting articles below which more may be read.
    """

    def __init__(self, wanted: Callable[[], float]) -> None:
        self._new: deque[Request] = deque()
        self._again: deque[Request] = deque()
        self._resting: list[tuple[float, int, Request]] = []
        self._numbers = count()
        self._wanted = wanted
        self._readers = 0
        self._promised = 0
        self._turn = asyncio.Lock()
        self._fewer = asyncio.Event()

    def __len__(self) -> int:
        return len(self._new) + len(self._again)

    def __iter__(self) -> Iterator[Request]:
        """All that wait or rest."""
        yield from self._again
        yield from self._new
        yield from (asking for _, _, asking in self._resting)

    @property
    def exhausted(self) -> bool:
        """Whether nothing waits, rests, or is being read to be put in."""
        return not (self._new or self._again or self._resting or self._promised or self._readers)

    @property
    def next_rest_ends(self) -> float | None:
        """When the first of the resting articles is due, in monotonic seconds."""
        return self._resting[0][0] if self._resting else None

    def add(self, askings: Iterable[Request]) -> None:
        """Put new articles in, in their order."""
        self._new.extend(askings)

    def again(self, asking: Request) -> None:
        """Put an article in to be tried again before all new ones."""
        self._again.append(asking)

    def rest(self, asking: Request, until: float) -> None:
        """Keep an article back until a moment in monotonic seconds."""
        heapq.heappush(self._resting, (until, next(self._numbers), asking))

    def first(self, now: float) -> Request | None:
        """The article whose turn it is; it stays in."""
        while self._resting and self._resting[0][0] <= now:
            self._again.append(heapq.heappop(self._resting)[2])
        for queue in (self._again, self._new):
            while queue:
                if not queue[0].settled:
                    return queue[0]
                queue.popleft()  # whoever asked has gone
        self._perhaps_let_in()
        return None

    def take_first(self) -> None:
        """Take out what ``first`` gave."""
        (self._again or self._new).popleft()
        self._perhaps_let_in()

    def bring_forward(self, fits: Callable[[Request], bool]) -> bool:
        """Put the first article that fits before the others; False if none does."""
        found = next((one for one in self if not one.settled and fits(one)), None)
        if found is None:
            return False
        self._resting = [entry for entry in self._resting if entry[2] is not found]
        heapq.heapify(self._resting)
        for queue in (self._again, self._new):
            with suppress(ValueError):
                queue.remove(found)
        self._again.appendleft(found)
        return True

    def clear(self) -> list[Request]:
        """Take everything out, the resting ones as well."""
        out = list(self)
        self._again.clear()
        self._new.clear()
        self._resting.clear()
        self._perhaps_let_in()
        return [asking for asking in out if not asking.settled]

    @asynccontextmanager
    async def room(self, rows: int) -> AsyncIterator[None]:
        """Wait until few enough articles wait; in the block, read ``rows`` more and put them in.

        Those who wait are let in one after another, in their order.
        """
        self._readers += 1
        try:
            async with self._turn:
                while not self._few():
                    self._fewer.clear()
                    await self._fewer.wait()
                self._promised += rows
        finally:
            self._readers -= 1
        try:
            yield
        finally:
            self._promised -= rows
            self._perhaps_let_in()

    def _few(self) -> bool:
        return len(self) + self._promised < self._wanted()

    def _perhaps_let_in(self) -> None:
        if self._readers and self._few():
            self._fewer.set()
