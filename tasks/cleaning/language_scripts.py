"""Languages that need no model: those with a script of their own, and plain English."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tasks.cleaning.text_buffers import Bytes, Mask, Offsets

UNTOLD = "?"
"""Stands for a row that is left to the model."""

PREFIX_BYTES = 512
"""How much of a text is looked at for common words: about 85 of them in English."""
_SCRIPT_BYTES = 384

# Of at most three letters each, so that one look at four bytes finds them; a sixth of running text.
_COMMON_WORDS = {
    "en": "the and for are has its but of to by".split(),
    "de": "der die und den ist mit von des das".split(),
}
_FEWEST = 4
_KINDS_OF_WORDS = 3
_BYTES_A_WORD = 64
"""English has one of these in 25 bytes or so; quotations elsewhere one in hundreds."""


def language_of_words(stretch: Bytes, starts: Offsets, lengths: Offsets) -> npt.NDArray[np.object_]:
    """Return the language of each row by its common words, English or German; UNTOLD elsewhere.

    Three different words of the language have to come, dense as in running text, and hardly one of
    the other. `starts` and `lengths` say in bytes where in the stretch the rows are.
    """
    told = np.full(len(starts), UNTOLD, object)
    window = _window(stretch, starts, lengths, PREFIX_BYTES)
    space = (window == ord(" ")) | (window == ord("\n"))
    fours = _fours(window)
    counts = {name: _counts(fours, space, words) for name, words in _COMMON_WORDS.items()}
    wanted = np.maximum(_FEWEST, np.minimum(lengths, PREFIX_BYTES) / _BYTES_A_WORD)
    both = sum(total for total, _ in counts.values())
    for name, (total, kinds) in counts.items():
        told[(total >= wanted) & (kinds >= _KINDS_OF_WORDS) & (both - total <= total // 8)] = name
    return told


def _fours(window: Bytes) -> npt.NDArray[np.uint32]:
    """Return each four bytes in a row as one number."""
    rows, width = window.shape
    return np.ndarray((rows, width - 3), "<u4", window, strides=(width, 1)).copy()


def _counts(
    fours: npt.NDArray[np.uint32], space: Mask, words: list[str]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return how many of the words each row has, and how many different ones."""
    total = np.zeros(len(fours), np.int64)
    kinds = np.zeros(len(fours), np.int64)
    for word in words:
        hits = fours == np.frombuffer(f" {word} ".encode()[:4], "<u4")[0]
        if len(word) == 3:
            hits = hits[:, :-1] & space[:, 4:]
        count = np.count_nonzero(hits, axis=1)
        total += count
        kinds += count > 0
    return total, kinds


def _window(stretch: Bytes, starts: Offsets, lengths: Offsets, most: int) -> Bytes:
    """Return the first bytes of each row, 0 beyond its end."""
    width = max(8, min(most, int(lengths.max(initial=0))) + 1)
    padded = stretch
    if len(stretch) < int(starts.max(initial=0)) + width:
        # Only the last rows need what lies beyond; all else stays where it is.
        first = int(starts.min(initial=len(stretch)))
        padded, starts = np.append(stretch[first:], np.zeros(width, np.uint8)), starts - first
    window = np.lib.stride_tricks.sliding_window_view(padded, width)[starts]
    if lengths.min(initial=most) < width:
        window[np.arange(width) >= lengths[:, None]] = 0
    return window


_NONE, _LATIN, _HAN, _KANA, _HANGUL, _OTHER = range(6)
# Scripts of one language (others that use them are a thousandth of its texts), by code points.
_SCRIPTS = (
    ("el", 0x370, 0x3FF),
    ("hy", 0x531, 0x58F),
    ("th", 0xE00, 0xE7F),
    ("lo", 0xE80, 0xEFF),
    ("ka", 0x10A0, 0x10FF),
    ("gu", 0xA80, 0xAFF),
    ("or", 0xB00, 0xB7F),
    ("ta", 0xB80, 0xBFF),
    ("te", 0xC00, 0xC7F),
    ("kn", 0xC80, 0xCFF),
    ("ml", 0xD00, 0xD7F),
    ("si", 0xD80, 0xDFF),
    ("km", 0x1780, 0x17FF),
    ("my", 0x1000, 0x109F),
)
_NAMES = ("", "", "zh", "ja", "ko", UNTOLD, *(name for name, _, _ in _SCRIPTS))
_KINDS = len(_NAMES)
# A Chinese character stands for a word's half; a letter of an alphabet for a sixth.
_WEIGHTS = np.array([0, 1, 3, 3, 3, 1] + [1] * len(_SCRIPTS))


def _table() -> npt.NDArray[np.uint8]:
    """Return the script of each two bytes that begin a character."""
    table = np.zeros(1 << 16, np.uint8)
    for letter in b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ":
        table[letter << 8 : (letter + 1) << 8] = _LATIN
    table[0xC380:0xCD00] = _LATIN
    table[0xCD00:0xF500] = _OTHER
    for code in range(0x2000, 0x3000, 0x40):
        table[_two_bytes(code)] = _NONE
    blocks = [(_HAN, 0x4E00, 0x9FFF), (_KANA, 0x3040, 0x30FF), (_HANGUL, 0xAC00, 0xD7A3)]
    blocks += [(6 + place, first, last) for place, (_, first, last) in enumerate(_SCRIPTS)]
    for kind, first, last in blocks:
        for code in range(first, last + 1):
            table[_two_bytes(code)] = kind
    for code in (0x3000, 0xFF00, 0xFF40):
        table[_two_bytes(code)] = _NONE
    table[0x8000:0xC200] = _NONE
    return table


def _two_bytes(code: int) -> int:
    first, second = chr(code).encode()[:2]
    return first << 8 | second


_SCRIPT_OF = _table()


def language_of_script(
    stretch: Bytes, starts: Offsets, lengths: Offsets
) -> npt.NDArray[np.object_]:
    """Return the language of each row by its script; UNTOLD where several share it, or none rules.

    `starts` and `lengths` say in bytes where in the stretch the rows are.
    """
    window = _window(stretch, starts, lengths, _SCRIPT_BYTES).astype(np.uint16)
    kinds = _SCRIPT_OF[(window[:, :-1] << 8) | window[:, 1:]]
    rows = len(starts)
    slots = np.arange(rows)[:, None] * _KINDS + kinds
    counts = np.bincount(slots.ravel(), minlength=rows * _KINDS).reshape(rows, _KINDS)
    weights = counts * _WEIGHTS
    total = weights.sum(axis=1)
    weights[:, _LATIN] = 0
    cjk = weights[:, _HAN] + weights[:, _KANA]
    told = np.full(rows, UNTOLD, object)
    ruling = weights.argmax(axis=1)
    enough = (weights.max(axis=1) >= 0.7 * total) & (weights.max(axis=1) >= 8)
    for kind in np.unique(ruling[enough]).tolist():
        told[enough & (ruling == kind)] = _NAMES[kind]
    # Japanese is a mixture; Chinese has no kana at all, a Japanese name in it a few.
    japanese = (cjk >= 0.7 * total) & (weights[:, _KANA] >= 0.2 * cjk) & (cjk >= 24)
    mixed = (weights[:, _KANA] > 0) & ~japanese & (weights[:, _HANGUL] == 0)
    told[mixed | ((cjk > 0) & (cjk < 24) & (ruling <= _KANA))] = UNTOLD
    told[japanese] = "ja"
    return told
