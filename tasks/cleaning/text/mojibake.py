"""Detection of mojibake, text that was decoded with the wrong encoding; the text stays unchanged.

`FranÃ§ois` is UTF-8 decoded as cp1252, `锟斤拷` is two U+FFFD in UTF-8 decoded as GBK. Matches are
verified: encoded back, they must be valid in the original encoding.
"""

from __future__ import annotations

import re
from unicodedata import category

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from article_flows.tasks.common.article_schema import Mask

_CP1252 = {bytes([code]).decode("cp1252", "ignore") or chr(code): code for code in range(256)}
# Browsers decode the five bytes that cp1252 leaves undefined as Latin-1.
_CONTINUATION = "".join(re.escape(char) for char, code in _CP1252.items() if 0x80 <= code < 0xC0)
_UTF8_AS_CP1252 = re.compile(
    f"[\xc2-\xde][{_CONTINUATION}]|[\xe0-\xef][{_CONTINUATION}]{{2}}"
    f"|[\xf0-\xf4][{_CONTINUATION}]{{3}}"
)
# Characters that may follow a capital or the last letter of a word in correct text: `IRMÃ”`,
# `café…»`, `5 Å²`.
_CLOSING = frozenset("…”’“‘»«›‹„‚–—•™®\xa0")
_AFTER_UNIT = frozenset("¹²³°·")

# Two U+FFFD in UTF-8 decoded as GBK, and uninitialized memory of Visual C++ (CC and CD bytes).
_GARBAGE_AS_GBK = re.compile("锟斤拷|烫烫烫|屯屯屯")
# The first two bytes of `，`, `。` and quotation marks decoded as GBK; very rare in correct text.
_UTF8_AS_GBK = re.compile("[锛銆鈥]")
# The remains of a no-break space whose second byte was removed; no language uses Â like this.
_LONE_LETTER = re.compile(r"(?<=[a-z.,;:!?])Â(?=[ \n]|\Z)")
_GBK_AS_LATIN1 = re.compile("[\xa1-\xff]{6,}")

MAY_BE_MOJIBAKE = (
    f"{_UTF8_AS_CP1252.pattern}|{_GARBAGE_AS_GBK.pattern}|{_UTF8_AS_GBK.pattern}"
    "|Â(?:[ \n]|$)|[\xa1-\xff]{6}|\ufffd"
)
"""Matches every text with mojibake or U+FFFD, in RE2 syntax; may match others."""


def mojibake_suspects(bodies: pa.StringArray) -> Mask:
    """Return for each body whether it may have mojibake or U+FFFD; may be true for others."""
    suspects = pc.match_substring_regex(bodies, MAY_BE_MOJIBAKE).fill_null(False)
    return np.asarray(suspects).astype(bool)


def has_mojibake(text: str) -> bool:
    """Return whether a text has words that were decoded with the wrong encoding.

    Example:
        >>> has_mojibake("FranÃ§ois"), has_mojibake("François")
        (True, False)
    """
    if text.isascii():
        return False
    return (
        any(_is_utf8_as_cp1252(match[0]) for match in _UTF8_AS_CP1252.finditer(text))
        or bool(_GARBAGE_AS_GBK.search(text) or _LONE_LETTER.search(text))
        or len(_UTF8_AS_GBK.findall(text)) > max(1, len(text) // 500)
        or any(_is_gbk_as_latin1(match[0]) for match in _GBK_AS_LATIN1.finditer(text))
    )


def _is_utf8_as_cp1252(run: str) -> bool:
    lead, rest = run[0], run[1:]
    if all(char in _CLOSING for char in rest) and not (lead == "Â" and rest == "\xa0"):
        return False
    if lead in "ÅÖ" and rest in _AFTER_UNIT:
        return False
    try:
        original = bytes(_CP1252[char] for char in run).decode()
    except UnicodeDecodeError:
        return False
    return category(original) not in ("Cn", "Co")


def _is_gbk_as_latin1(run: str) -> bool:
    """Return whether Latin letters are the GBK bytes of common Chinese: `ÖÐÎÄ` is `中文`."""
    encoded = run.encode("latin-1")
    encoded = encoded[: len(encoded) // 2 * 2]
    common = sum(0xB0 <= lead <= 0xD7 for lead in encoded[::2])
    if len(set(run)) < 4 or common * 2 * 10 < len(encoded) * 7:
        return False
    try:
        encoded.decode("gb2312")
    except UnicodeDecodeError:
        return False
    return True
