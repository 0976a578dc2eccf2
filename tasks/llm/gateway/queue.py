"""The queue in front of the gateway: retries first, then new requests in order."""

from __future__ import annotations

import asyncio
import heapq
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, suppress
from itertools import count

from article_flows.tasks.llm.protocol.request import Request


class RequestQueue:
    """A queue of requests that stays short as long as its producers wait for `room`.

    Retries go before new requests, so that the batch they belong to can complete. A request that
    waits out a retry delay takes up no room.

    Args:
        target_length: Returns the queue length below which producers may add more.
    """

    def __init__(self, target_length: Callable[[], float]) -> None:
        self._new: deque[Request] = deque()
        self._retries: deque[Request] = deque()
        self._delayed: list[tuple[float, int, Request]] = []
        self._sequence = count()
        self._target_length = target_length
        self._waiting_producers = 0
        self._promised = 0
        self._turn = asyncio.Lock()
        self._has_room = asyncio.Event()

    def __len__(self) -> int:
        return len(self._new) + len(self._retries)

    def __iter__(self) -> Iterator[Request]:
        """Iterate over all requests, including delayed ones."""
        yield from self._retries
        yield from self._new
        yield from (request for _, _, request in self._delayed)

    @property
    def exhausted(self) -> bool:
        """Whether the queue is empty and no producer is adding to it or waiting for room."""
        return not (
            self._new or self._retries or self._delayed or self._promised or self._waiting_producers
        )

    @property
    def next_retry_at(self) -> float | None:
        """When the first delayed request is due, in monotonic seconds."""
        return self._delayed[0][0] if self._delayed else None

    def add(self, requests: Iterable[Request]) -> None:
        """Append new requests."""
        self._new.extend(requests)

    def add_retry(self, request: Request) -> None:
        """Add a request for a retry, before all new ones."""
        self._retries.append(request)

    def delay_retry(self, request: Request, until: float) -> None:
        """Add a request for a retry at ``until``, in monotonic seconds."""
        heapq.heappush(self._delayed, (until, next(self._sequence), request))

    def peek(self, now: float) -> Request | None:
        """Return the next request without removing it; None if there is none."""
        while self._delayed and self._delayed[0][0] <= now:
            self._retries.append(heapq.heappop(self._delayed)[2])
        for queue in (self._retries, self._new):
            while queue:
                if not queue[0].settled:
                    return queue[0]
                queue.popleft()  # Its caller is gone.
        self._admit_producer()
        return None

    def pop(self) -> None:
        """Remove the request that `peek` returned."""
        (self._retries or self._new).popleft()
        self._admit_producer()

    def bring_forward(self, fits: Callable[[Request], bool]) -> bool:
        """Move the first request that fits to the front; return False if none does."""
        found = next((each for each in self if not each.settled and fits(each)), None)
        if found is None:
            return False
        self._delayed = [entry for entry in self._delayed if entry[2] is not found]
        heapq.heapify(self._delayed)
        for queue in (self._retries, self._new):
            with suppress(ValueError):
                queue.remove(found)
        self._retries.appendleft(found)
        return True

    def clear(self) -> list[Request]:
        """Remove and return all requests that have no result yet, including delayed ones."""
        removed = list(self)
        self._retries.clear()
        self._new.clear()
        self._delayed.clear()
        self._admit_producer()
        return [request for request in removed if not request.settled]

    @asynccontextmanager
    async def room(self, rows: int) -> AsyncIterator[None]:
        """Wait until the queue is short, then let the block add ``rows`` requests.

        Producers are admitted one at a time, in the order in which they arrived.
        """
        self._waiting_producers += 1
        try:
            async with self._turn:
                while not self._is_short():
                    self._has_room.clear()
                    await self._has_room.wait()
                self._promised += rows
        finally:
            self._waiting_producers -= 1
        try:
            yield
        finally:
            self._promised -= rows
            self._admit_producer()

    def _is_short(self) -> bool:
        return len(self) + self._promised < self._target_length()

    def _admit_producer(self) -> None:
        if self._waiting_producers and self._is_short():
            self._has_room.set()
