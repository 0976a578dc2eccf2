"""Scan a stream of JSON in bounded memory: window, cursor, bracket scan and token patterns."""

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
    """What surrounds the elements: the bracket after the last, and whether each has a key."""

    closer: bytes
    keyed: bool = False

    @property
    def separator(self) -> bytes:
        """A pattern of what may precede an element; it matches at most 1 KB."""
        if self.keyed:
            return rb',\s*(?="(?:[^"\\]|\\.){0,300}"\s*:\s*'
        return rb",\s*(?=" if self.closer else rb"[,\n\x1e]\s*(?="


ELEMENTS = Syntax(b"]")
MEMBERS = Syntax(b"}", keyed=True)
VALUES = Syntax(b"")


class Window:
    """A sliding window over a stream of blocks.

    Attributes:
        data: The bytes of the window.
        base: The offset of `data[0]` in the stream.
    """

    def __init__(self, blocks: Iterator[bytes]) -> None:
        self._blocks = blocks
        self.data = bytearray()
        self.base = 0

    def more(self) -> bool:
        """Append the next block; return False at the end of the stream."""
        block = next(self._blocks, b"")
        self.data += block
        return bool(block)

    def grow(self, size: int) -> None:
        """Append blocks until the window has `size` bytes or the stream ends."""
        while len(self.data) < size and self.more():
            pass

    def drop(self, count: int) -> None:
        """Drop the first `count` bytes."""
        del self.data[:count]
        self.base += count


class BracketScan:
    """Resumable search for the end of a value, by its strings and brackets.

    It does not distinguish the kinds of brackets (`{]` is balanced); the parser does.

    Args:
        window: The stream; it may grow between two calls of `end`.
        at: The index in the window's data at which to start.
        depth: The number of brackets that are open there.

    Attributes:
        position: The offset in the stream up to which it has scanned.
    """

    def __init__(self, window: Window, at: int, depth: int = 0) -> None:
        self._window = window
        self.position = window.base + at
        self._depth = depth
        self._in_string = False

    def end(self, stop: int = sys.maxsize) -> int | None:
        """Return the index after the value; None if it does not end before the index `stop`."""
        data, base = self._window.data, self._window.base
        stop = min(stop, len(data))
        at = self.position - base
        if self._in_string:
            inside = INSIDE.match(data, at, stop)
            at = inside.end() if inside else at
            self._in_string = at >= stop or data[at] != _QUOTE
            at += not self._in_string
            if not self._in_string and not self._depth:
                self.position = base + at
                return at
        depth = self._depth
        for token in _TOKEN.finditer(data, at, stop) if not self._in_string else ():
            at = token.end()
            byte = data[token.start()]
            if byte == _QUOTE:
                # Without a closing quote, the string continues after `stop`.
                self._in_string = token[1] is None
            elif byte in _OPENING:
                depth += 1
            else:
                depth -= 1
            if depth <= 0 and not self._in_string:
                self.position = base + at
                return at
        self._depth = depth
        self.position = base + (at if self._in_string else stop)
        return None


MAX_KEY_BYTES = 2 << 20
_DROP_BYTES = 1 << 20


class Cursor:
    """A position in a window that drops the data before it."""

    def __init__(self, window: Window) -> None:
        self._window = window
        self._at = 0

    def _next_byte(self) -> bytes | None:
        """Skip white space and return the next byte, or None at the end of the stream."""
        window = self._window
        while True:
            if space := SPACE.match(window.data, self._at):
                self._at = space.end()
            if self._at < len(window.data):
                if self._at > _DROP_BYTES:
                    self._forget()
                return bytes(window.data[self._at : self._at + 1])
            self._forget()
            if not window.more():
                return None

    def _forget(self) -> None:
        self._window.drop(self._at)
        self._at = 0

    def _key(self) -> bytes | None:
        """Consume a member's name and colon and return the name; None if there is none here."""
        while True:
            key = KEY.match(self._window.data, self._at)
            if key and key.end() < len(self._window.data):
                self._at = key.end()
                return key[1]
            if len(self._window.data) - self._at > MAX_KEY_BYTES or not self._window.more():
                return None

    def _skip_value(self) -> bool:
        """Skip an object, array or string and drop it; return False if the stream ends before."""
        window = self._window
        scan = BracketScan(window, self._at)
        while (end := scan.end()) is None:
            window.drop(scan.position - window.base)
            self._at = 0
            if not window.more():
                return False
        self._at = end
        return True
