"""Text that was decoded with a wrong encoding: noticed, never changed.

`FranÃ§ois` is UTF-8 that somebody read as cp1252, `锟斤拷` UTF-8's sign for "cannot be read" that
somebody read as GBK. What is found is verified: it must encode back and decode as what it was.
"""

from __future__ import annotations

import re
from unicodedata import category

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from article_flows.tasks.common.article_schema import Mask

_CP1252 = {bytes([code]).decode("cp1252", "ignore") or chr(code): code for code in range(256)}
# Browsers read the five bytes that cp1252 leaves out as Latin-1 does.
_LATER = "".join(re.escape(sign) for sign, code in _CP1252.items() if 0x80 <= code < 0xC0)
_READ_AS_CP1252 = re.compile(
    f"[\xc2-\xde][{_LATER}]|[\xe0-\xef][{_LATER}]{{2}}|[\xf0-\xf4][{_LATER}]{{3}}"
)
# What may follow a capital's or a word's last letter in good text: `IRMÃ”`, `café…»`, `5 Å²`.
_CLOSING = frozenset("…”’“‘»«›‹„‚–—•™®\xa0")
_AFTER_UNIT = frozenset("¹²³°·")

_READ_AS_GBK = re.compile("锟斤拷|烫烫烫|屯屯屯")
# How the first two bytes of `，`, `。` and of quotation marks come out; hardly a text has them.
_UTF8_AS_GBK = re.compile("[锛銆鈥]")
# Of a no-break space, a clean-up has left the first byte's letter; no language writes it so.
_LONE_LETTER = re.compile(r"(?<=[a-z.,;:!?])Â(?=[ \n]|\Z)")
_GBK_AS_LATIN = re.compile("[\xa1-\xff]{6,}")

# The same in RE2's syntax, without what it cannot say: too many rather than too few.
MAY_BE_MOJIBAKE = (
    f"{_READ_AS_CP1252.pattern}|{_READ_AS_GBK.pattern}|{_UTF8_AS_GBK.pattern}"
    "|Â(?:[ \n]|$)|[\xa1-\xff]{6}|\ufffd"
)


def mojibake_suspects(bodies: pa.StringArray) -> Mask:
    """Tell of each body whether it has what mojibake has, or U+FFFD; too many rather."""
    suspects = pc.match_substring_regex(bodies, MAY_BE_MOJIBAKE).fill_null(False)
    return np.asarray(suspects).astype(bool)


def has_mojibake(text: str) -> bool:
    """Tell whether a text has words that were decoded with a wrong encoding."""
    if text.isascii():
        return False
    return (
        any(_is_misread(run[0]) for run in _READ_AS_CP1252.finditer(text))
        or bool(_READ_AS_GBK.search(text) or _LONE_LETTER.search(text))
        or len(_UTF8_AS_GBK.findall(text)) > max(1, len(text) // 500)
        or any(_is_misread_gbk(run[0]) for run in _GBK_AS_LATIN.finditer(text))
    )


def _is_misread(run: str) -> bool:
    lead, rest = run[0], run[1:]
    if all(sign in _CLOSING for sign in rest) and not (lead == "Â" and rest == "\xa0"):
        return False
    if lead in "ÅÖ" and rest in _AFTER_UNIT:
        return False
    try:
        meant = bytes(_CP1252[sign] for sign in run).decode()
    except UnicodeDecodeError:
        return False
    return category(meant) not in ("Cn", "Co")


def _is_misread_gbk(run: str) -> bool:
    """Tell whether Latin letters are GBK's bytes of common Chinese: `ÖÐÎÄ` is `中文`."""
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
