"""Tells JSON documents from JSON Lines by how a file starts, whatever its name says."""

from __future__ import annotations

import re

from article_flows.tasks.reading.base.text_encoding import bom_encoding
from article_flows.tasks.reading.formats.json.values import NotJsonError, parse_json

_ARRAY = re.compile(rb"\[\s*(\{\s*[\"}]|\[)")
_OBJECT = re.compile(rb"\{\s*[\"}]")
_LINES = 20


def looks_like_json(head: bytes) -> bool:
    """Tell a JSON document: an array, or an object that is not the first of many, one a line.

    An object on a single line that ends the head may be either; both readers take it.
    """
    text = _utf8(head)
    if _ARRAY.match(text) or (text[:1] == b"[" and _parses(text)):
        return True
    return _OBJECT.match(text) is not None and not _goes_on_by_line(text)


def looks_like_jsonl(head: bytes) -> bool:
    """Tell JSON Lines: an object on a line of its own, or a long one that the head cuts.

    Also a JSON text sequence (RFC 7464), whose records start with a record separator.
    """
    text = _utf8(head)
    if text.startswith(b"\x1e"):
        return True
    if _ARRAY.match(text) or _is_spread(text):
        return False
    lines = [line.strip() for line in text.split(b"\n") if line.strip()]
    if len(lines) == 1 and _OBJECT.match(lines[0]):
        return True
    return any(line.startswith(b"{") and _parses(line) for line in lines[:_LINES])


def _goes_on_by_line(text: bytes) -> bool:
    """Tell whether objects follow each other by line: the first line or the next is a whole one."""
    lines = [line for line in text.split(b"\n", 3)[:3] if line.strip()]
    begin = [line.lstrip().startswith(b"{") for line in lines]
    return len(lines) > 1 and all(begin[:2]) and any(map(_parses, lines[:2]))


def _is_spread(text: bytes) -> bool:
    """Tell an object that goes over lines, as it is written for people to read."""
    first, _, rest = text.partition(b"\n")
    if not (first.startswith(b"{") and rest.strip()) or _parses(first):
        return False
    # A broken first line of JSON Lines is followed by another object; this is not.
    return not rest.lstrip().startswith(b"{")


def _parses(text: bytes) -> bool:
    try:
        parse_json(text)
    except NotJsonError:
        return False
    return True


def _utf8(head: bytes) -> bytes:
    encoding = bom_encoding(head)
    if encoding is not None:
        head = head.decode(encoding, errors="ignore").encode("utf-8", "replace")
    return head.removeprefix(b"\xef\xbb\xbf").strip(b" \t\r\n")
