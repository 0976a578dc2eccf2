"""Where a list of JSON goes on after an element that is broken."""

from __future__ import annotations

import re
from bisect import bisect

from tasks.reading.json_patterns import FIRST_NAME, STRINGS, Syntax
from tasks.reading.json_values import NotJsonError, is_cut, parse_json, without_cut_character


def may_go_on(text: bytes | bytearray) -> bool:
    """Tell whether text can be the start of a good element."""
    text = without_cut_character(text)
    try:
        parse_json(text)
    except NotJsonError as error:
        return is_cut(text, error)
    return True


def beginning(syntax: Syntax, name: bytes, data: bytearray, at: int) -> re.Pattern[bytes]:
    """A pattern of how an element begins, after what separates it from the one before.

    `name` is the first name of other elements; if none is known, that of the one at `at` is taken.
    """
    own = FIRST_NAME.match(data, at)
    name = name or (own[1] if own else b"")
    start = rb"\{\s*" + (re.escape(name) + rb"\s*:" if name else b'"')
    return re.compile(syntax.separator + start + b")")


def next_in_strings(
    begins: re.Pattern[bytes], data: bytearray, places: tuple[int, int, int]
) -> int | None:
    """Find an element that begins within what seems to be a string: a quote before it is missing.

    `places` are where the broken element begins, where the search does, and where both end.
    """
    at, start, end = places
    strings = [each.span() for each in STRINGS.finditer(data, at, end)]
    for found in begins.finditer(data, start, end):
        index = bisect(strings, (found.start(), 0)) - 1
        if index >= 0 and found.start() < strings[index][1]:
            return found.end()
    return None
