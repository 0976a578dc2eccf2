"""The declared encoding of web pages, interpreted as browsers do (WHATWG Encoding Standard)."""

from __future__ import annotations

import codecs
import re

from article_flows.tasks.reading.base.text_encoding import SUPERSETS, bom_encoding

_META = re.compile(
    rb"""<meta\b[^>]{0,200}?\bcharset\s*=\s*["']?\s*([\w.:-]{2,40})""", re.IGNORECASE
)
_XML = re.compile(rb"""^\s*<\?xml[^>]{0,200}?encoding\s*=\s*["']([\w.:-]{2,40})""")
_HEAD_BYTES = 8 << 10
"""Bytes searched for a declaration; browsers search 1 KiB, real pages need more."""
_MIN_BYTES_PER_ERROR = 1000
"""A page with more frequent decoding errors is not in the encoding that it declares."""
# Single-byte labels that mean another encoding on the web, and labels unknown to Python
# (https://encoding.spec.whatwg.org/#names-and-labels).
_WEB_CODECS = SUPERSETS | {
    "ascii": "cp1252",
    "iso8859-1": "cp1252",
    "iso8859-9": "cp1254",
    "iso8859-11": "cp874",
    "tis-620": "cp874",
}
_WEB_ALIASES = {"windows-874": "cp874", "windows-949": "cp949"}


def page_encoding(page: bytes, header: str = "") -> str:
    """Return the declared encoding of a page; empty if none fits or it has a byte order mark.

    Valid UTF-8 is UTF-8 regardless of the declaration: text in other encodings hardly ever is
    valid UTF-8, and wrong declarations are common.

    Args:
        page: Its content.
        header: The charset of the Content-Type header, if any.
    """
    if bom_encoding(page):
        return ""
    if b"\x1b$" not in page and _is_utf8(page):
        return "utf-8"
    for label in (header, _declared_label(page)):
        codec = _codec_of(label)
        if codec:
            errors = page.decode(codec, "replace").count("\ufffd")
            if errors <= 1 + len(page) // _MIN_BYTES_PER_ERROR:
                return codec
    return ""


def _is_utf8(page: bytes) -> bool:
    try:
        page.decode()
    except UnicodeDecodeError:
        return False
    return True


def _declared_label(page: bytes) -> str:
    head = page[:_HEAD_BYTES]
    found = _META.search(head) or _XML.search(head)
    return found[1].decode("ascii", "ignore") if found else ""


def _codec_of(label: str) -> str:
    """Return Python's codec for an encoding label on the web; empty if the label is unknown."""
    label = label.strip().strip("\"'").lower()
    label = _WEB_ALIASES.get(label, label.removeprefix("x-"))
    try:
        b"".decode(label)
        name = codecs.lookup(label).name
    except (LookupError, ValueError):
        return ""
    # A declaration that was readable as ASCII is not in UTF-16.
    return "utf-8" if name.startswith("utf-16") else _WEB_CODECS.get(name, name)
