"""What kind of XML a file is, by its first element."""

from __future__ import annotations

import codecs
import re

_SKIPPED = re.compile(
    r"\s+|<\?.*?\?>|<!--.*?-->|<!DOCTYPE(?:[^\[>]|\[.*?\]\s*(?=>))*>", re.S | re.I
)
_ELEMENT = re.compile(r"<([A-Za-z_][\w.:-]*)")
_WIDE = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
    # Without a mark: the four bytes of "<?" or "<" and a letter (XML 1.0, appendix F).
    (b"<\0\0\0", "utf-32-le"),
    (b"\0\0\0<", "utf-32-be"),
    (b"<\0", "utf-16-le"),
    (b"\0<", "utf-16-be"),
)


def first_element(head: bytes) -> str:
    """Return the name of a document's first element with its prefix; empty if it is no XML."""
    text = xml_text(head)
    place = 0
    while skipped := _SKIPPED.match(text, place):
        place = skipped.end()
    found = _ELEMENT.match(text, place)
    return found[1] if found else ""


def xml_text(head: bytes) -> str:
    """Return the start of a document as text; what is not ASCII in it may be wrong."""
    for mark, encoding in _WIDE:
        if head.startswith(mark):
            return head.decode(encoding, errors="ignore").lstrip("\ufeff")
    return head.removeprefix(codecs.BOM_UTF8).decode("latin-1")
