"""In which encoding a web page is, as browsers tell it."""

from __future__ import annotations

import codecs
import re

from charset_normalizer import from_bytes

_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
# What labels mean on the web (WHATWG Encoding): supersets of what they say.
_WEB_LABELS = {
    "iso8859-1": "cp1252",
    "ascii": "cp1252",
    "iso8859-9": "cp1254",
    "iso8859-11": "cp874",
    "tis-620": "cp874",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "shift_jis": "cp932",
    "euc_kr": "cp949",
    "big5": "big5hkscs",
}
_META = re.compile(rb"""<meta[^>]{0,200}?charset\s*=\s*["']?\s*([\w.:-]{2,40})""", re.IGNORECASE)
_XML = re.compile(rb"""^\s*<\?xml[^>]{0,200}?encoding\s*=\s*["']([\w.:-]{2,40})""")
_META_BYTES = 8 << 10
"""How much of a page is searched; browsers take 1 KiB, real pages need more."""
_SAMPLE_BYTES = 64 << 10


def decode_page(body: bytes, declared: str = "") -> tuple[str, str]:
    """Return a page's text and its encoding: BOM, UTF-8, then header, then meta, then detection.

    Bytes that are valid UTF-8 are taken for it whatever is declared: text of other encodings
    hardly ever is, and wrong declarations are common. Never fails: what does not fit becomes
    U+FFFD.
    """
    for mark, encoding in _BOMS:
        if body.startswith(mark):
            return body.decode(encoding, errors="replace"), encoding.removesuffix("-sig")
    # A NUL is in no page of UTF-8: UTF-16 without a mark is valid UTF-8 where it is Latin.
    if b"\0" not in body[:_META_BYTES]:
        try:
            return body.decode(), "utf-8"
        except UnicodeDecodeError:
            pass
    named = [_python_name(declared), _python_name(_in_page(body))]
    for encoding in filter(None, named):
        try:
            return body.decode(encoding), encoding
        except (UnicodeDecodeError, ValueError):
            continue
    encoding = next(filter(None, named), "") or _detected(body)
    return body.decode(encoding, errors="replace"), encoding


def _in_page(body: bytes) -> str:
    head = body[:_META_BYTES]
    found = _META.search(head) or _XML.search(head)
    return found[1].decode("ascii", "ignore") if found else ""


def _python_name(label: str) -> str:
    """Return Python's name of an encoding of text; empty if it has none."""
    try:
        info = codecs.lookup(label.strip().strip("\"'"))
    except (LookupError, ValueError):
        return ""
    # rot13, zip and the like are codecs too.
    if not getattr(info, "_is_text_encoding", True):
        return ""
    return _WEB_LABELS.get(info.name, info.name)


def _detected(body: bytes) -> str:
    best = from_bytes(body[:_SAMPLE_BYTES]).best()
    return best.encoding if best is not None else "cp1252"
