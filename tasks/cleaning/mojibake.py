"""Text that was decoded with a wrong encoding: noticed, never changed.

`FranÃ§ois` is UTF-8 that somebody read as cp1252, `锟斤拷` UTF-8's sign for "cannot be read" that
somebody read as GBK. What is found is verified: it must encode back and decode as what it was.
"""

from __future__ import annotations

import re
from unicodedata import category

import numpy as np
import pyarrow as pa

from tasks.cleaning.text_buffers import Bytes, Mask, bytes_of, following, present, rows_with

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

# UTF-8 of a letter from Â on is C3 and another byte; then comes one of these.
_MARK_LEAD = np.zeros(256, bool)
_MARK_LEAD[[0xC2, 0xC3, 0xC5, 0xC6, 0xCB, 0xE2]] = True
_END = np.zeros(256, bool)
_END[[0, 0x0A, 0x20]] = True
_HAN = np.zeros(1 << 16, bool)
_HAN_CODES = [int.from_bytes(sign.encode(), "big") for sign in "锟烫屯锛銆鈥"]
_HAN_LEADS = sorted({code >> 16 for code in _HAN_CODES})
for _sign in "锟烫屯锛銆鈥":
    _, _second, _third = _sign.encode()
    _HAN[(_second << 8) | _third] = True


def mojibake_suspects(bodies: pa.StringArray) -> Mask:
    """Tell of each body whether it has bytes that mojibake has; too many rather."""
    stretch, offsets = bytes_of(bodies)
    if not len(stretch) or stretch.max() < 0x80:
        return np.zeros(len(bodies), bool)
    leads = np.flatnonzero(stretch == 0xC3)
    letter, after = following(stretch, leads, 1), following(stretch, leads, 2)
    # Latin letters in a row are words, too; six of them hardly are.
    in_row = (after != 0xC3) | np.isin(following(stretch, leads, 8), (0xC2, 0xC3))
    accents = leads[(_MARK_LEAD[after] & in_row) | ((letter == 0x82) & _END[after])]
    han = np.flatnonzero(_is_one_of(stretch, _HAN_LEADS))
    second, third = following(stretch, han, 1), following(stretch, han, 2)
    likely = _HAN[(second.astype(np.intp) << 8) | third]
    lead = stretch[han[likely]].astype(np.intp)
    code = (lead << 16) | (second[likely].astype(np.intp) << 8) | third[likely]
    han = han[likely][np.isin(code, _HAN_CODES)]
    places = np.concatenate([accents, han])
    return rows_with(places, offsets) & present(bodies)


def _is_one_of(stretch: Bytes, few: list[int]) -> Mask:
    """As a look-up in a table would tell, several times as fast for a few values."""
    found: Mask = stretch == few[0]
    for value in few[1:]:
        found |= stretch == value
    return found


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
