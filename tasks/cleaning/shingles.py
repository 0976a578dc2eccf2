"""Texts as sets of hashed shingles: runs of five words, or of eight signs where no spaces are."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tasks.cleaning.text_buffers import Bytes, Offsets

Hashes = npt.NDArray[np.uint64]

WORDS = 5
"""Words in a shingle: one changed word spoils five."""
SIGNS = 8
"""Signs in a shingle of Chinese, Japanese or Thai: about five words."""
FEWEST = 5
"""A text of fewer shingles is one as a whole: estimates on so few mean nothing."""

# Fixed seed: the same text has the same shingles in each run, on each machine.
_random = np.random.Generator(np.random.PCG64(20_250_101))
_PLACES = 64
_POWERS = _random.integers(1, 1 << 63, _PLACES, np.uint64) * np.uint64(2) + np.uint64(1)
_STEPS = _random.integers(1, 1 << 63, max(WORDS, SIGNS), np.uint64) * np.uint64(2) + np.uint64(1)

_FOLDED = np.arange(256, dtype=np.uint8)
_FOLDED[ord("A") : ord("Z") + 1] += 32
_IN_WORD = np.zeros(256, bool)
_IN_WORD[0x80:] = True
for _byte in b"0123456789abcdefghijklmnopqrstuvwxyz":
    _IN_WORD[_byte] = True
# Lead bytes of scripts without spaces: kana and Han; with E0, Thai and Lao, see `_is_sign`.
_SIGN_LEAD = np.zeros(256, bool)
_SIGN_LEAD[0xE3:0xEA] = True


def shingles_of(stretch: Bytes, offsets: Offsets) -> tuple[Hashes, npt.NDArray[np.int64]]:
    """Return the hashed shingles of all rows, one row's after another's, and how many each has.

    A row without a word has none. Case (of ASCII), punctuation and white space do not matter.
    """
    tokens, row_of, signs = _tokens(stretch, offsets)
    rows = len(offsets) - 1
    counts = np.bincount(row_of, minlength=rows)
    of_signs = np.bincount(row_of[signs], minlength=rows) * 2 > counts
    width = np.where(of_signs, SIGNS, WORDS)
    many = np.maximum(counts - width + 1, 0)
    whole = (many < FEWEST) & (counts > 0)
    first = np.concatenate([[0], np.cumsum(counts)])
    hashed = np.zeros_like(tokens)
    for kind in (WORDS, SIGNS):
        of_kind = (width == kind)[row_of]
        if of_kind.any():
            np.copyto(hashed, _runs(tokens, kind), where=of_kind)
    place = np.arange(len(tokens)) - first[row_of]
    kept = (place < many[row_of]) & ~whole[row_of]
    ends_whole = (place == 0) & whole[row_of]
    if ends_whole.any():
        hashed[ends_whole] = _wholes(tokens, first, np.flatnonzero(whole))
    many[whole] = 1
    return _mixed(hashed[kept | ends_whole]), many


def _tokens(
    stretch: Bytes, offsets: Offsets
) -> tuple[Hashes, npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """Return hash and row of each word or sign, and which are signs."""
    folded = _FOLDED[stretch]
    inside = _IN_WORD[folded]
    _leave_out_punctuation(folded, inside)
    sign = _signs(folded)
    before = np.empty_like(inside)
    before[:1] = False
    before[1:] = inside[:-1]
    begins = inside & ~before
    row_starts = offsets[:-1][np.diff(offsets) > 0]
    begins[row_starts] |= inside[row_starts]
    begins |= sign
    after_sign = np.flatnonzero(sign) + 3
    after_sign = after_sign[after_sign < len(stretch)]
    begins[after_sign] |= inside[after_sign]
    starts = np.flatnonzero(begins)
    if not len(starts):
        return np.empty(0, np.uint64), np.empty(0, np.int64), np.empty(0, bool)
    place = _places(starts, len(stretch))
    weighed = np.where(inside, folded.astype(np.uint64) + np.uint64(1), np.uint64(0))
    weighed *= _POWERS[place % _PLACES]
    rows = np.searchsorted(offsets, starts, "right") - 1
    return _mixed(np.add.reduceat(weighed, starts)), rows, sign[starts]


def _places(starts: npt.NDArray[np.intp], length: int) -> npt.NDArray[np.int64]:
    """Return how far each byte is behind the start before it; 0 before the first."""
    place = np.arange(length)
    place[starts[0] :] -= np.repeat(starts, np.diff(np.append(starts, length)))
    place[: starts[0]] = 0
    return place


def _leave_out_punctuation(folded: Bytes, inside: npt.NDArray[np.bool_]) -> None:
    """Take general, CJK and full-width punctuation and no-break spaces for no part of a word."""
    for lead, seconds in ((0xE2, (0x80, 0x81)), (0xE3, (0x80,)), (0xEF, (0xBC,))):
        at = np.flatnonzero(folded == lead)
        at = at[at + 2 < len(folded)]
        at = at[np.isin(folded[at + 1], seconds)]
        for step in range(3):
            inside[at + step] = False
    at = np.flatnonzero(folded == 0xC2)
    at = at[at + 1 < len(folded)]
    at = at[folded[at + 1] <= 0xBF]
    inside[at] = inside[at + 1] = False


def _signs(folded: Bytes) -> npt.NDArray[np.bool_]:
    """Tell where a sign of a script without spaces begins."""
    sign = _SIGN_LEAD[folded]
    at = np.flatnonzero(folded == 0xE0)
    at = at[at + 1 < len(folded)]
    sign[at] = np.isin(folded[at + 1], (0xB8, 0xB9, 0xBA, 0xBB))
    at = np.flatnonzero(folded == 0xE3)
    at = at[at + 1 < len(folded)]
    sign[at] = folded[at + 1] != 0x80
    return sign


def _runs(tokens: Hashes, width: int) -> Hashes:
    """Return the hash of the tokens from each on; the last `width - 1` are not to be used."""
    total: Hashes = tokens * _STEPS[0]
    for step in range(1, width):
        total[:-step] += tokens[step:] * _STEPS[step]
    return total


def _wholes(tokens: Hashes, first: npt.NDArray[np.int64], rows: npt.NDArray[np.intp]) -> Hashes:
    """Return the hash of all tokens of each of these rows, in order: they are few."""
    steps = np.uint64(0x9E3779B97F4A7C15)
    result = np.empty(len(rows), np.uint64)
    for place, row in enumerate(rows.tolist()):
        own = tokens[first[row] : first[row + 1]]
        result[place] = np.sum(own * (np.arange(len(own), dtype=np.uint64) * steps + steps))
    return result


def _mixed(values: Hashes) -> Hashes:
    """Spread bits (the finaliser of splitmix64, Steele et al. 2014)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))
