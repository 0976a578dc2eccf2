"""`clean_text` over a whole Arrow column: only the rows that need it are seen by Python."""

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tasks.cleaning.canonical_text import clean_text, strip_outer
from tasks.cleaning.text_buffers import (
    Bytes,
    Mask,
    Offsets,
    bytes_of,
    following,
    present,
    rows_with,
)

_Places = npt.NDArray[np.intp]
_Codes = npt.NDArray[np.int32]

# All code points that are not NFC by themselves (NFC_Quick_Check is not Yes) or are combining
# (ccc is not 0), and some more where that makes the list short: first and last of each range.
# A test holds it against unicodedata.
_MAY_CHANGE = (
    *((0x300, 0x36F), (0x374, 0x374), (0x37E, 0x37E), (0x387, 0x387), (0x483, 0x487)),
    *((0x591, 0x5C7), (0x610, 0x61A), (0x64B, 0x670), (0x6D6, 0x6ED), (0x711, 0x74A)),
    *((0x7EB, 0x7FD), (0x800, 0x109F), (0x1100, 0x11FF), (0x135D, 0x135F), (0x1700, 0x1CFF)),
    *((0x1DC0, 0x1DFF), (0x1F00, 0x1FFF), (0x2000, 0x2001), (0x20D0, 0x20FF)),
    *((0x2126, 0x212B), (0x2329, 0x232A), (0x2ADC, 0x2ADC), (0x2CEF, 0x2CF1), (0x2D7F, 0x2D7F)),
    *((0x2DE0, 0x2DFF), (0x302A, 0x302F), (0x3099, 0x309A), (0xA66F, 0xA69F), (0xA6F0, 0xA6F1)),
    *((0xA800, 0xABFF), (0xF900, 0xFAFF), (0xFB1D, 0xFB4F), (0xFE20, 0xFE2F)),
    *((0x10000, 0x1BFFF), (0x1CF00, 0x1D24F), (0x1E000, 0x1E95F), (0x2F800, 0x2FA1F)),
)
_MAY_CHANGE_TABLE = np.zeros(_MAY_CHANGE[-1][1] + 2, np.bool_)
_PAIRS = np.zeros(1 << 16, np.bool_)
"""First two bytes of UTF-8 that are control characters, or may start a sign of `_MAY_CHANGE`."""
_PAIRS[: 0x80 << 8] = True
_PAIRS[0xC280:0xC2A0] = True
for _first, _last in _MAY_CHANGE:
    _MAY_CHANGE_TABLE[_first : _last + 1] = True
    # From three bytes of UTF-8 on, at least 64 signs in a row have the same first two.
    for _code in (*range(_first, _last, 1 if _first < 0x800 else 64), _last):
        _PAIRS[int.from_bytes(chr(_code).encode()[:2])] = True

_BLOCK = 1 << 18
"""Bytes that are looked at together: their comparisons stay in the processor's cache."""
_DENSE = 16
"""Where more than one byte in so many is a suspect, they are not looked at one by one."""
_NOWHERE = np.zeros(0, np.intp)

# First or last signs that str.strip takes, or that are byte order marks; as their UTF-8 is read.
_ASCII_BLANK = np.zeros(256, np.bool_)
_ASCII_BLANK[[*range(0x09, 0x0E), *range(0x1C, 0x21)]] = True
_NO_BREAK_SPACE = 0xC2A0
_WIDE_BLANKS = np.array(
    [
        int.from_bytes(chr(code).encode())
        for code in (0x1680, *range(0x2000, 0x200B), 0x2028, 0x2029, 0x202F, 0x205F, 0x3000, 0xFEFF)
    ]
)


def clean_strings(strings: pa.StringArray) -> pa.StringArray:
    """Return what `clean_text` gives for each string; nulls stay. The same array if all is clean.

    Args:
        strings: valid UTF-8.
    """
    content, offsets = bytes_of(strings)
    if not len(content):
        return strings
    inside, around = _changed_inside(content, offsets), _blank_around(content, offsets)
    changed = inside | around
    if strings.null_count:
        changed &= present(strings)
    if not changed.any():
        return strings
    texts = strings.filter(pa.array(changed)).to_pylist()
    cleaned = [
        clean_text(text) if is_inside else strip_outer(text)
        for text, is_inside in zip(texts, inside[changed].tolist(), strict=True)
    ]
    if cleaned == texts:
        return strings
    return pc.replace_with_mask(strings, pa.array(changed), pa.array(cleaned, pa.string()))


def _changed_inside(content: Bytes, offsets: Offsets) -> Mask:
    """Which rows hold a sign that `clean_text` takes away or may change."""
    found = [_NOWHERE]
    for start in range(0, len(content), _BLOCK):
        block = content[start : start + _BLOCK]
        at = _suspects(block)
        if len(at) * _DENSE > len(block):
            # Greek, Arabic, Hindi: in nearly every row, and Python is faster to tell.
            ends = np.searchsorted(offsets, (start, start + len(block) - 1), side="right")
            found.append(offsets[ends[0] - 1 : ends[1]])
        elif len(at):
            at += start
            found.append(at[_changing(content, at)])
    return rows_with(np.concatenate(found), offsets)


def _suspects(block: Bytes) -> _Places:
    """Where control characters and what may start a sign of `_MAY_CHANGE` are."""
    # Comparisons take a tenth of the time of a table of 256.
    found = block < 0x20
    found &= block != 0x0A
    found &= block != 0x09
    if block.max() < 0x7F:
        return np.flatnonzero(found) if found.any() else _NOWHERE
    found |= block == 0x7F
    found |= block == 0xC2
    # Left out are what most text of the world consists of: Latin, Cyrillic, CJK ideographs (U+4000
    # to U+9FFF), and most of Hangul (from U+B000 on).
    lead = block >= 0xCC
    lead &= (block - np.uint8(0xD0)) >= 2
    lead &= (block - np.uint8(0xE4)) >= 6
    lead &= (block - np.uint8(0xEB)) >= 3
    found |= lead
    return np.flatnonzero(found)


def _changing(content: Bytes, at: _Places) -> Mask:
    """Which of the suspects are what they may be."""
    first = content[at].astype(np.int32)
    second = content.take(at + 1, mode="clip")
    changing: Mask = _PAIRS[first << 8 | second]
    wide = np.flatnonzero(changing & (first >= 0xCC))
    if len(wide):
        codes = _code_points(first[wide], content, at[wide])
        changing[wide] = _MAY_CHANGE_TABLE[np.minimum(codes, len(_MAY_CHANGE_TABLE) - 1)]
    return changing


def _code_points(first: _Codes, content: Bytes, at: _Places) -> _Codes:
    """Decode the signs of two to four bytes that start at some places with these first bytes."""
    second, third, fourth = (
        following(content, at, step).astype(np.int32) & 0x3F for step in (1, 2, 3)
    )
    two = (first & 0x1F) << 6 | second
    three = (first & 0x0F) << 12 | second << 6 | third
    four = (first & 0x07) << 18 | second << 12 | third << 6 | fourth
    return np.where(first < 0xE0, two, np.where(first < 0xF0, three, four))


def _blank_around(content: Bytes, offsets: Offsets) -> Mask:
    """Which rows start or end with white space or a byte order mark."""
    filled = np.flatnonzero(offsets[1:] > offsets[:-1])
    starts, ends = offsets[filled], offsets[filled + 1]
    last = content[ends - 1]
    blank = _ASCII_BLANK[content[starts]] | _ASCII_BLANK[last]
    # Every other blank starts with a byte from C2 on, and ends with one from 80 on.
    heads = np.flatnonzero(content[starts] >= 0xC2)
    blank[heads] |= _wide_blanks(*(following(content, starts[heads], step) for step in range(3)))
    tails = np.flatnonzero(last >= 0x80)
    before = np.maximum(ends[tails] - 3, 0), ends[tails] - 2, ends[tails] - 1
    blank[tails] |= _wide_blanks(*(content[at] for at in before), at_end=True)
    flags = np.zeros(len(offsets) - 1, np.bool_)
    flags[filled] = blank
    return flags


def _wide_blanks(one: Bytes, two: Bytes, three: Bytes, *, at_end: bool = False) -> Mask:
    """Which of these three bytes start with a blank sign of two or three; or end with one."""
    codes = one.astype(np.int32) << 16 | two.astype(np.int32) << 8 | three
    narrow = codes & 0xFFFF if at_end else codes >> 8
    found: Mask = np.isin(codes, _WIDE_BLANKS) | (narrow == _NO_BREAK_SPACE)
    return found
