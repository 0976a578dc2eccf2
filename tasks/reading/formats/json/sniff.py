"""Distinguish JSON documents from JSON Lines by the start of a file."""

from __future__ import annotations

import re

from article_flows.tasks.reading.base.text_encoding import bom_encoding
from article_flows.tasks.reading.formats.json.values import NotJsonError, parse_json

_ARRAY = re.compile(rb"\[\s*(\{\s*[\"}]|\[)")
_OBJECT = re.compile(rb"\{\s*[\"}]")
_MAX_LINES = 20


def looks_like_json(head: bytes) -> bool:
    """Return whether `head` starts a JSON document: an array, or an object but not JSON Lines.

    A single object on one line may be either; both readers accept it.
    """
    text = _utf8(head)
    if _ARRAY.match(text) or (text[:1] == b"[" and _parses(text)):
        return True
    return _OBJECT.match(text) is not None and not _has_object_per_line(text)


def looks_like_jsonl(head: bytes) -> bool:
    """Return whether `head` starts JSON Lines: a complete object on one of its lines.

    A line longer than the head counts, and so does a JSON text sequence (RFC 7464).
    """
    text = _utf8(head)
    if text.startswith(b"\x1e"):
        return True
    if _ARRAY.match(text) or _is_pretty_printed(text):
        return False
    lines = [line.strip() for line in text.split(b"\n") if line.strip()]
    if len(lines) == 1 and _OBJECT.match(lines[0]):
        return True
    return any(line.startswith(b"{") and _parses(line) for line in lines[:_MAX_LINES])


def _has_object_per_line(text: bytes) -> bool:
    """Return whether the first two lines start an object each, and one of them is complete."""
    lines = [line for line in text.split(b"\n", 3)[:3] if line.strip()]
    starts = [line.lstrip().startswith(b"{") for line in lines]
    return len(lines) > 1 and all(starts[:2]) and any(map(_parses, lines[:2]))


def _is_pretty_printed(text: bytes) -> bool:
    first, _, rest = text.partition(b"\n")
    if not (first.startswith(b"{") and rest.strip()) or _parses(first):
        return False
    # In JSON Lines, another object would follow the broken first line.
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
