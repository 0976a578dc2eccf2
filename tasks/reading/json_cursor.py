"""A place in a stream of JSON that moves on past white space and names."""

from __future__ import annotations

from tasks.reading.json_patterns import INSIDE, KEY, SPACE
from tasks.reading.json_scanner import ElementEnds, Window

LONGEST_KEY = 2 << 20
"""How far the end of a member's name is looked for, in bytes."""
_DROP = 1 << 20


class Cursor:
    """A place `_at` in a window's data, of which what lies before it may be dropped."""

    def __init__(self, window: Window) -> None:
        self._window = window
        self._ends = ElementEnds(window)
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
        """Go to the end of an object or array without keeping it; False if the stream ends."""
        window = self._window
        while (end := self._ends.after(window.base + self._at)) is None:
            window.drop(len(window.data))
            self._at = 0
            if not window.more():
                return False
        self._at = end - window.base
        return True

    def _pass_string(self) -> bool:
        """Go to the end of a string, at whose first quote this is, without keeping it."""
        window = self._window
        self._at += 1
        while True:
            if inside := INSIDE.match(window.data, self._at):
                self._at = inside.end()
            if window.data.startswith(b'"', self._at):
                self._at += 1
                return True
            self._forget()
            if not window.more():
                self._at = len(window.data)
                return False
