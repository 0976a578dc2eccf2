"""Where the elements of a JSON list end, found in blocks of bytes without parsing them."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

_QUOTE, _BACKSLASH, _OPEN, _CLOSE = b'"\\[]'
# `{` and `[` differ in this bit only, as do `}` and `]`: without it, four brackets are two.
_WITHOUT_CURL = 0xDF
_SLICE = 128 << 10


class ElementScan:
    """Follows strings and brackets over any number of blocks; tells where depth comes back to 0.

    It starts outside of strings, within a list, before an element: that is depth 0. Costs about
    nine passes of numpy over a block; what it keeps between blocks is three numbers. Brackets are
    not told apart (`{]` is balanced): the parser does that.
    """

    def __init__(self, depth: int = 0) -> None:
        self._in_string = False
        self._escaped = False
        self._depth = depth
        self.closed = False
        """Whether the list itself has ended: a bracket closed that no element had opened."""

    def feed(self, block: bytes | bytearray | memoryview) -> list[int]:
        """Return the index after each bracket of the block that brings the depth back to 0.

        After the list itself has ended nothing more is returned.
        """
        data = np.frombuffer(block, np.uint8)
        if self.closed or not data.size:
            return []
        quotes = self._quotes(data)
        folded = data & _WITHOUT_CURL
        brackets = np.flatnonzero((folded == _OPEN) | (folded == _CLOSE))
        before = np.searchsorted(quotes, brackets)
        brackets = brackets[(before + self._in_string) % 2 == 0]
        self._in_string = bool((len(quotes) + self._in_string) % 2)
        if not brackets.size:
            return []
        steps = np.where(folded[brackets] == _OPEN, 1, -1)
        depths = np.cumsum(steps) + self._depth
        self._depth = int(depths[-1])
        below = np.flatnonzero(depths < 0)
        if below.size:
            self.closed = True
            depths, brackets = depths[: below[0]], brackets[: below[0]]
        ends: list[int] = (brackets[depths == 0] + 1).tolist()
        return ends

    def _quotes(self, data: npt.NDArray[np.uint8]) -> npt.NDArray[np.intp]:
        """The places of the quotes that open or close a string."""
        is_quote = data == _QUOTE
        starts_escaped, self._escaped = self._escaped, False
        slashes = np.flatnonzero(data == _BACKSLASH)
        if starts_escaped:
            # The block before ended in a backslash, which takes this block's first byte.
            is_quote[0] = False
            if slashes.size and slashes[0] == 0:
                slashes = slashes[1:]
        if slashes.size:
            # Of a run of backslashes every other one escapes what comes after it.
            places = np.arange(slashes.size)
            is_first = np.empty(slashes.size, bool)
            is_first[0] = True
            np.not_equal(slashes[1:], slashes[:-1] + 1, out=is_first[1:])
            run_start = np.maximum.accumulate(np.where(is_first, places, 0))
            taken = slashes[(places - run_start) % 2 == 0] + 1
            if taken[-1] == data.size:
                self._escaped = True
                taken = taken[:-1]
            is_quote[taken] = False
        return np.flatnonzero(is_quote)


class Window:
    """The part of a stream of blocks that is being looked at: bounded, whatever the stream is.

    Attributes:
        data: the bytes from `base` on; it grows at its end and is dropped at its start.
        base: the place of `data[0]` in the stream.
    """

    def __init__(self, blocks: Iterator[bytes]) -> None:
        self._blocks = blocks
        self.data = bytearray()
        self.base = 0

    def more(self) -> bool:
        """Append the next block; False at the end of the stream."""
        block = next(self._blocks, b"")
        self.data += block
        return bool(block)

    def grow(self, size: int) -> None:
        """Append blocks until `size` bytes are there or the stream ends."""
        while len(self.data) < size and self.more():
            pass

    def drop(self, count: int) -> None:
        """Forget the first `count` bytes."""
        del self.data[:count]
        self.base += count


class ElementEnds:
    """The next end of an element in a window, scanned no more than once and no earlier than needed.

    Places are those of the stream, not of the window.
    """

    def __init__(self, window: Window) -> None:
        self._window = window
        self.restart(window.base)

    def restart(self, place: int) -> None:
        """Scan anew from a place in the window, which is before an element."""
        self._scan = ElementScan()
        self._scanned = place
        self._ends: deque[int] = deque()

    def begin(self, place: int) -> None:
        """Go on at a place before an element; what the scan has not come to yet is passed over."""
        if self._scanned < place:
            self.restart(place)

    def after(self, place: int) -> int | None:
        """The first end after `place`; None if the window, as far as it goes, has none."""
        while True:
            while self._ends:
                if self._ends[0] > place:
                    return self._ends[0]
                self._ends.popleft()
            window = self._window
            start = self._scanned - window.base
            if start >= len(window.data):
                return None
            block = bytes(window.data[start : start + _SLICE])
            self._ends.extend(end + self._scanned for end in self._scan.feed(block))
            self._scanned += len(block)
