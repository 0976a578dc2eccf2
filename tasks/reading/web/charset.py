"""In which encoding a web page says it is, as browsers understand it."""

from __future__ import annotations

import codecs
import re

from article_flows.tasks.reading.base.text_encoding import SUPERSETS, bom_encoding

_META = re.compile(
    rb"""<meta\b[^>]{0,200}?\bcharset\s*=\s*["']?\s*([\w.:-]{2,40})""", re.IGNORECASE
)
_XML = re.compile(rb"""^\s*<\?xml[^>]{0,200}?encoding\s*=\s*["']([\w.:-]{2,40})""")
_HEAD_BYTES = 8 << 10
"""How much of a page is searched; browsers take 1 KiB, real pages need more."""
_BYTES_PER_WRONG = 1000
"""A page with more that cannot be decoded is not in the encoding that it says."""
# Labels of single-byte encodings that mean another one on the web, and labels that Python lacks
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
    """Return the encoding that a page or its `header` declares; empty if none fits.

    It is empty for a page with a byte order mark. Bytes that are valid UTF-8 are taken for it
    whatever is declared: text of other encodings hardly ever is, and wrong declarations are
    common.
    """
    if bom_encoding(page):
        return ""
    if b"\x1b$" not in page and _is_utf8(page):
        return "utf-8"
    for label in (header, _label_in(page)):
        codec = _codec_of(label)
        if codec:
            wrong = page.decode(codec, "replace").count("\ufffd")
            if wrong <= 1 + len(page) // _BYTES_PER_WRONG:
                return codec
    return ""


def _is_utf8(page: bytes) -> bool:
    try:
        page.decode()
    except UnicodeDecodeError:
        return False
    return True


def _label_in(page: bytes) -> str:
    head = page[:_HEAD_BYTES]
    found = _META.search(head) or _XML.search(head)
    return found[1].decode("ascii", "ignore") if found else ""


def _codec_of(label: str) -> str:
    """Return Python's name of the encoding that a label means on the web; empty if none."""
    label = label.strip().strip("\"'").lower()
    label = _WEB_ALIASES.get(label, label.removeprefix("x-"))
    try:
        b"".decode(label)
        name = codecs.lookup(label).name
    except (LookupError, ValueError):
        return ""
    # What says so in ASCII is not in UTF-16.
    return "utf-8" if name.startswith("utf-16") else _WEB_CODECS.get(name, name)
