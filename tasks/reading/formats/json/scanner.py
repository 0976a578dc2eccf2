"""A stream of JSON: the bounded part at hand, its patterns, and how to move on without parsing."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass

SPACE = re.compile(rb"[ \t\r\n\x1e]*")
STRING = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
INSIDE = re.compile(rb'[^"\\]*+(?:\\.[^"\\]*+)*+', re.DOTALL)
STRINGS = re.compile(STRING + rb"?", re.DOTALL)
KEY = re.compile(rb"(" + STRING + rb")\s*:\s*", re.DOTALL)
FIRST_NAME = re.compile(rb"\{\s*(" + STRING + rb")\s*:", re.DOTALL)
SCALAR = re.compile(rb"(?:" + STRING + rb"|[^,\[\]{}])*+", re.DOTALL)
GARBAGE = re.compile(rb"(?:" + STRING + rb"|[^,\]}])*+", re.DOTALL)
GARBAGE_LINE = re.compile(rb"(?:[^\n]|\n(?!\s*\{))*+")
_TOKEN = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(")?|[\[\]{}]', re.DOTALL)
_QUOTE, _OPENING = ord('"'), b"{["


@dataclass(frozen=True)
class Syntax:
    """What stands around the elements: the bracket after the last, and whether each has a key."""

    closer: bytes
    keyed: bool = False

    @property
    def separator(self) -> bytes:
        """A pattern of what may stand before an element; it holds no more than 1 KB."""
        if self.keyed:
            return rb',\s*(?="(?:[^"\\]|\\.){0,300}"\s*:\s*'
        return rb",\s*(?=" if self.closer else rb"[,\n\x1e]\s*(?="


ELEMENTS = Syntax(b"]")
MEMBERS = Syntax(b"}", keyed=True)
VALUES = Syntax(b"")


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


class BracketScan:
    """Follows strings and brackets from a place in a window on, however often the window grows.

    Brackets are not told apart (`{]` is balanced): the parser does that. `depth` is how many are
    open at the place.

    Attributes:
        place: how far it has come, in the stream.
    """

    def __init__(self, window: Window, at: int, depth: int = 0) -> None:
        self._window = window
        self.place = window.base + at
        self._depth = depth
        self._in_string = False

    def end(self, stop: int = sys.maxsize) -> int | None:
        """Return where the last bracket closes, or the string ends; None if not before `stop`.

        `stop` is an index into the window's data.
        """
        data, base = self._window.data, self._window.base
        stop = min(stop, len(data))
        at = self.place - base
        if self._in_string:
            inside = INSIDE.match(data, at, stop)
            at = inside.end() if inside else at
            self._in_string = at >= stop or data[at] != _QUOTE
            at += not self._in_string
            if not self._in_string and not self._depth:
                self.place = base + at
                return at
        depth = self._depth
        for token in _TOKEN.finditer(data, at, stop) if not self._in_string else ():
            at = token.end()
            byte = data[token.start()]
            if byte == _QUOTE:
                # It goes on behind `stop`, or with the second half of an escape.
                self._in_string = token[1] is None
            elif byte in _OPENING:
                depth += 1
            else:
                depth -= 1
            if depth <= 0 and not self._in_string:
                self.place = base + at
                return at
        self._depth = depth
        self.place = base + (at if self._in_string else stop)
        return None


LONGEST_KEY = 2 << 20
"""How far the end of a member's name is looked for, in bytes."""
_DROP = 1 << 20


class Cursor:
    """A place `_at` in a window's data, of which what lies before it may be dropped."""

    def __init__(self, window: Window) -> None:
        self._window = window
        self._at = 0

    def _next_byte(self) -> bytes | None:
        """Skip white space; return the byte that comes, None at the end of the stream."""
        window = self._window
        while True:
            if space := SPACE.match(window.data, self._at):
                self._at = space.end()
            if self._at < len(window.data):
                if self._at > _DROP:
                    self._forget()
                return bytes(window.data[self._at : self._at + 1])
            self._forget()
            if not window.more():
                return None

    def _forget(self) -> None:
        self._window.drop(self._at)
        self._at = 0

    def _key(self) -> bytes | None:
        """Take a member's name and its colon; None if there is none here."""
        while True:
            key = KEY.match(self._window.data, self._at)
            if key and key.end() < len(self._window.data):
                self._at = key.end()
                return key[1]
            if len(self._window.data) - self._at > LONGEST_KEY or not self._window.more():
                return None

    def _pass_over(self) -> bool:
        """Go to the end of an object, array or string; False if the stream ends. Keeps nothing."""
        window = self._window
        scan = BracketScan(window, self._at)
        while (end := scan.end()) is None:
            window.drop(scan.place - window.base)
            self._at = 0
            if not window.more():
                return False
        self._at = end
        return True
