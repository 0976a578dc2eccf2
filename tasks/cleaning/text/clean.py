"""Clean raw values: normalized Unicode without control characters, as articles are stored."""

import math
import re
from typing import Any
from unicodedata import is_normalized, normalize

import pyarrow as pa
import pyarrow.compute as pc

from article_flows.tasks.cleaning.text.to_json import to_json
from article_flows.tasks.reading.base.text_encoding import without_surrogates

# Controls that break lines or pages (pdftotext ends pages with a form feed); 1f separates words.
_BREAKS = b"\x0b\x0c\x1c\x1d\x1e"
_AS_SPACE = bytes.maketrans(_BREAKS + b"\x1f", b"\n" * len(_BREAKS) + b" ")
_CONTROLS = bytes(
    code for code in (*range(0x20), 0x7F) if code not in b"\t\n\r\x1f" and code not in _BREAKS
)
# C1 controls are Windows-1252 characters that were decoded as Latin-1 (80 is the euro sign). Only
# 85 is also used as a control, the line break NEL; next to other C1 characters it is an ellipsis.
_AS_CP1252 = {code: bytes([code]).decode("cp1252", "ignore") for code in range(0x80, 0xA0)}
_C1_LETTERS = re.compile("[\x80\x82-\x84\x86-\x8c\x8e\x91-\x9c\x9e\x9f]")
_C1_BREAK = _AS_CP1252 | {0x85: "\n"}
_BYTE_ORDER_MARK = "\ufeff"
# Characters that `clean_text` never changes, in RE2 syntax: the ranges that cover most text. A test
# compares them with unicodedata. Texts with other characters are cleaned one by one.
_UNCHANGED = (
    r"\t\n -~\x{a0}-\x{2ff}\x{388}-\x{482}\x{488}-\x{590}\x{10a0}-\x{10ff}\x{2010}-\x{2027}"
    r"\x{2030}-\x{205e}\x{2070}-\x{20cf}\x{2100}-\x{2125}\x{212c}-\x{2328}\x{232b}-\x{2adb}"
    r"\x{3000}-\x{3029}\x{3030}-\x{3098}\x{309b}-\x{a66e}\x{ac00}-\x{d7ff}\x{fe30}-\x{fefe}"
    r"\x{ff00}-\x{ffff}\x{1f000}-\x{1faff}\x{20000}-\x{2f7ff}"
)
_BLANK = r"[\s\x{a0}\x{3000}]"
MAY_CHANGE = rf"[^{_UNCHANGED}]|^{_BLANK}|{_BLANK}$"
"""Matches every text that `clean_text` changes, in RE2 syntax; may match others."""
# Scripts without spaces between sentences: CJK punctuation, kana, ideographs, full-width forms.
_NO_SPACE_AFTER = re.compile(
    "[\u3000-\u30ff\u3400-\u9fff\uf900-\ufaff\uff00-\uffef\U00020000-\U0003ffff]"
)


def clean_text(text: str) -> str:
    r"""Return text in NFC with `\n` line ends, without control characters and outer white space.

    Controls that separate words (form feeds, vertical tabs, separators) become a line break or a
    space; C1 controls become their Windows-1252 characters. Lone surrogates, which UTF-8 cannot
    encode, become U+FFFD. The function is idempotent.

    Example:
        >>> clean_text(" Caf\x65\u0301\r\nopens\x00 ")
        'Café\nopens'
    """
    if text.isascii() and text.isprintable():
        return text.strip()
    try:
        encoded = text.encode()
    except UnicodeEncodeError:
        text = without_surrogates(text)
        encoded = text.encode()
    # ASCII bytes in UTF-8 are always characters; this is ten times as fast as `str.translate`.
    kept = encoded.translate(_AS_SPACE, _CONTROLS)
    if kept != encoded:
        text = kept.decode()
    if b"\r" in kept:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    if not text.isascii():
        if b"\xc2" in kept:
            text = text.translate(_AS_CP1252 if _C1_LETTERS.search(text) else _C1_BREAK)
        if not is_normalized("NFC", text):
            text = normalize("NFC", text)
    text = text.strip()
    while text[:1] == _BYTE_ORDER_MARK or text[-1:] == _BYTE_ORDER_MARK:
        text = text.strip(_BYTE_ORDER_MARK).strip()
    return text


def clean_strings(strings: pa.StringArray) -> pa.StringArray:
    """Apply `clean_text` to each string; nulls stay null, and a clean array is returned as is.

    Args:
        strings: Valid UTF-8.
    """
    changed = pc.match_substring_regex(strings, MAY_CHANGE).fill_null(False)
    texts = strings.filter(changed).to_pylist()
    cleaned = [clean_text(text) for text in texts]
    if cleaned == texts:
        return strings
    return pc.replace_with_mask(strings, changed, pa.array(cleaned, strings.type))


def join_sentences(parts: list[Any]) -> str | None:
    """Join the sentences of a list with spaces, or with nothing after Chinese or Japanese ones.

    Nested lists are paragraphs, separated by a blank line.

    Returns:
        The text, or None if the list has an item that is not text.
    """
    joined = ""
    for part in parts:
        if part is None:
            continue
        text = join_sentences(part) if isinstance(part, list) else as_text(part)
        if text is None or not (isinstance(part, (str, bytes, list))):
            return None
        if isinstance(part, list):
            joined += "\n\n" if joined else ""
        elif joined and not _NO_SPACE_AFTER.match(joined[-1]):
            joined += " "
        joined += text
    return joined


def as_text(value: Any) -> str | None:
    """Return the value of a short field (a title, an id, a category) as text; None if missing.

    Whole floats lose their `.0`, lists are joined with commas, an object becomes its `name` or
    else JSON, and bytes are decoded as UTF-8.
    """
    match value:
        case None:
            return None
        case str():
            return value
        case bytes():
            return value.decode(errors="replace")
        case float() if math.isnan(value):
            return None
        case float() if value.is_integer():
            return str(int(value))
        case list() | tuple():
            return ", ".join(text for item in value if (text := as_text(item))) or None
        case dict() if isinstance(value.get("name"), str):
            return str(value["name"])
        case dict():
            return to_json(value)
        case _:
            return str(value)
