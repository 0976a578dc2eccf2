"""A list of articles behind members that are too large for the head of a document."""

from __future__ import annotations

import re
from dataclasses import replace
from enum import Enum

from tasks.reading import json_values
from tasks.reading.json_layouts import Layout, Shape, layout_of
from tasks.reading.json_values import (
    NotJsonError,
    TooManyValuesError,
    is_cut,
    parse_json,
    without_cut_character,
)
from tasks.reading.json_window import BracketScan, Cursor, Window

_PLAIN = re.compile(rb"[-+.\w]+")


class ObjectEnd(Enum):
    """Why there is no list: the object ends, the file does, or it is no JSON from here on."""

    CLOSED = 0
    OF_FILE = 1
    BROKEN = 2


def is_large_object(window: Window) -> bool:
    """Tell whether a window begins with an object that is too large to be an article."""
    start = window.data.find(b"{")
    if start < 0 or window.data[:start].strip():
        return False
    scan = BracketScan(window, start)
    for size in (0, json_values.MAX_ELEMENT + 1):
        window.grow(size)
        if scan.end() is not None:
            return False
    if len(window.data) <= json_values.MAX_ELEMENT:
        return False
    text = without_cut_character(window.data[start : json_values.MAX_ELEMENT])
    try:
        parse_json(text)
    except TooManyValuesError:
        return True
    except NotJsonError as error:
        return is_cut(text, error)
    return False


def list_behind(window: Window, head_size: int) -> Layout | ObjectEnd:
    """Pass over members of the large object in a window until there is a list of articles.

    The layout's start is one in the window as it is then; without a list, the window begins after
    the object. Holds `head_size` bytes of the members, whatever they come to.
    """
    window.drop(window.data.find(b"{") + 1)
    members = _Members(window)
    while (end := members.skip(head_size)) is None:
        window.grow(head_size)
        head = b"{" + bytes(window.data[:head_size])
        layout = layout_of(head, whole=len(window.data) < head_size)
        if layout.shape in (Shape.LIST, Shape.MEMBERS):
            return replace(layout, start=layout.start - 1)
    return end


class _Members(Cursor):
    """The members of an object, from the first one on."""

    def skip(self, least: int) -> ObjectEnd | None:
        """Drop members of at least so many bytes, up to the next one; tell if there is none."""
        window = self._window
        start = window.base + self._at
        while (byte := self._next_byte()) is not None:
            if byte == b"}":
                self._at += 1
                self._forget()
                return ObjectEnd.CLOSED
            if byte == b",":
                self._at += 1
                if window.base + self._at - start >= least:
                    self._forget()
                    return None
            elif self._key() is None:
                return ObjectEnd.OF_FILE if byte == b'"' else ObjectEnd.BROKEN
            elif end := self._skip_value():
                return end
        return ObjectEnd.OF_FILE

    def _skip_value(self) -> ObjectEnd | None:
        byte = self._next_byte()
        if byte is None:
            return ObjectEnd.OF_FILE
        if byte in b"{[":
            return None if self._pass_over() else ObjectEnd.OF_FILE
        if byte == b'"':
            return None if self._pass_string() else ObjectEnd.OF_FILE
        self._window.grow(self._at + json_values.MAX_DIGITS)
        plain = _PLAIN.match(self._window.data, self._at)
        if plain is None:
            return ObjectEnd.BROKEN
        self._at = plain.end()
        return None
