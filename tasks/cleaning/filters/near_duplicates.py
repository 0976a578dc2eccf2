"""Near-duplicate detection with MinHash and locality-sensitive hashing (LSH).

rensa computes the MinHash signatures: the share of equal values in two signatures estimates the
Jaccard similarity of the shingle sets (Broder 1997). Bands of a signature find candidates without
comparing all pairs. Our index of bands takes 216 bytes per article at a threshold of 0.8, rensa's
takes 2,800.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from threading import Lock

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from rensa import RMinHash

from article_flows.tasks.common.errors import UsageError

SIGNATURE_VALUES = 128
"""Values per signature. The standard error of the estimate is at most 0.044; at 0.8 it is 0.035."""
SHINGLE_WORDS = 5
"""Words per shingle: one changed word changes five shingles."""
SHINGLE_CHARS = 8
"""Characters per shingle in Chinese, Japanese or Thai: about five words."""
MIN_SHINGLES = 5
"""Texts with fewer shingles must be equal: estimates from so few are meaningless."""
MAX_CANDIDATES = 8
"""The maximum number of articles to compare per band: the earliest of those that share it."""

_SEED = 7
# Eight bits of each value are kept (b-bit MinHash, Li and König 2010): 1 in 256 is equal by chance.
_CHANCE_EQUAL = 1 / 256
_MAX_BAND_VALUES = 8
_MIN_RECALL = 0.985
# Scripts without spaces (Thai, Lao, kana, Han), where each character is a token.
_UNSPACED = "\u0e01-\u0edf\u3041-\u30ff\u3400-\u9fff"
# White space and punctuation of ASCII, Latin-1, typography and CJK, full-width forms included.
_SEPARATORS = "\\s\x00-/:-@\\[-`{-\xbf\u2000-\u207f\u3000-\u3040\uff00-\uff3f"
_TOKEN = re.compile(f"[{_UNSPACED}]|[^{_SEPARATORS}{_UNSPACED}]+")
_FACTORS = np.random.Generator(np.random.PCG64(_SEED)).integers(
    1, 1 << 63, SIGNATURE_VALUES, np.uint64
)

Signatures = npt.NDArray[np.uint8]
Bands = npt.NDArray[np.uint64]
Positions = npt.NDArray[np.uint32]


class NearDuplicates:
    """An index of articles that finds near duplicates of earlier ones.

    The result is deterministic for the same articles in the same order. Thread-safe; the order of
    the calls decides which of two articles is the earlier one. Each indexed article takes 344 bytes
    of memory (at a threshold of 0.8), and its id.

    Args:
        threshold: The minimum Jaccard similarity of the shingles of two texts, 0.5 to 1.

    Example:
        >>> import pyarrow as pa
        >>> near = NearDuplicates(0.8)
        >>> near.find(["a", "b"], pa.array(["It opened on Monday.", "it opened on Monday"]))
        [(1, 'near duplicate of a (similarity 1.00)')]
    """

    def __init__(self, threshold: float = 0.8) -> None:
        if not 0.5 <= threshold <= 1:
            raise UsageError(f"near duplicates: the similarity {threshold} is not from 0.5 to 1")
        self._threshold = threshold
        self._band_values = _values_per_band(threshold)
        self._lock = Lock()
        self._ids: list[str] = []
        self._signatures = np.empty((1_024, SIGNATURE_VALUES), np.uint8)
        self._bands = _BandIndex()

    def find(self, ids: Sequence[str] | pa.Array, bodies: pa.StringArray) -> list[tuple[int, str]]:
        """Return the near duplicates among some bodies, and add the others to the index.

        Earlier articles are those of previous calls and the previous ones of this call, without
        near duplicates. Bodies without words are ignored. Bodies of fewer than five shingles must
        have the same words.

        Returns:
            The index of each near duplicate, and a reason that names the earlier article.
        """
        digests = {}
        for row, text in enumerate(bodies.to_pylist()):
            if shingles := shingles_of(text or ""):
                digests[row], *_ = RMinHash.digests_from_token_sets(
                    [shingles], SIGNATURE_VALUES, _SEED
                )
        if not digests:
            return []
        rows = list(digests)
        values = np.array(list(digests.values()), np.uint64)
        bands = _bands_of(values, self._band_values)
        names = ids.to_pylist() if isinstance(ids, pa.Array) else ids
        with self._lock:
            found = self._find([names[row] for row in rows], values.astype(np.uint8), bands)
        return [(rows[index], reason) for index, reason in found]

    def __len__(self) -> int:
        """Return the number of indexed articles."""
        return len(self._ids)

    def _find(
        self, names: list[str], signatures: Signatures, bands: Bands
    ) -> list[tuple[int, str]]:
        found: list[tuple[int, str]] = []
        call_bands = _BandIndex()
        call_bands.add(bands, np.arange(len(names)))
        earlier, in_call = self._bands.candidates(bands), call_bands.candidates(bands)
        positions: dict[int, int] = {}
        for row, name in enumerate(names):
            of_call = [positions[each] for each in in_call[row] if each in positions]
            candidates = earlier.get(row, []) + of_call
            match = self._best(signatures[row], candidates)
            if match is None:
                positions[row] = self._add(name, signatures[row])
            else:
                position, similarity = match
                reason = f"near duplicate of {self._ids[position]} (similarity {similarity:.2f})"
                found.append((row, reason))
        self._bands.add(bands[list(positions)], np.array(list(positions.values())))
        return found

    def _best(self, signature: Signatures, candidates: list[int]) -> tuple[int, float] | None:
        """Return the position and the similarity of the best candidate at the threshold."""
        if not candidates:
            return None
        positions = np.array(sorted(set(candidates)))
        equal = (self._signatures[positions] == signature).mean(axis=1)
        similarities = np.maximum(0, (equal - _CHANCE_EQUAL) / (1 - _CHANCE_EQUAL))
        best = int(similarities.argmax())
        if similarities[best] < self._threshold:
            return None
        return int(positions[best]), float(similarities[best])

    def _add(self, name: str, signature: Signatures) -> int:
        position = len(self._ids)
        if position == len(self._signatures):
            more = np.empty((position // 2, SIGNATURE_VALUES), np.uint8)
            self._signatures = np.concatenate([self._signatures, more])
        self._signatures[position] = signature
        self._ids.append(name)
        return position


class _BandIndex:
    """An index from bands to the positions of the articles that have them.

    The index is a list of sorted runs, as in a log-structured merge tree: a new run is merged into
    the previous one unless that is at least twice as long, so there are few runs and each entry is
    moved only a few times.
    """

    def __init__(self) -> None:
        self._runs: list[tuple[Bands, Positions]] = []

    def add(self, bands: Bands, positions: npt.NDArray[np.intp]) -> None:
        """Add articles.

        Args:
            bands: The bands of each article, shape (articles, bands).
            positions: The position of each article.
        """
        repeated = positions.astype(np.uint32).repeat(bands.shape[1])
        self._runs.append(_sorted(bands.ravel(), repeated))
        while len(self._runs) > 1 and len(self._runs[-2][0]) < 2 * len(self._runs[-1][0]):
            (keys, before), (more_keys, more) = self._runs.pop(-2), self._runs.pop()
            merged = _sorted(np.concatenate([keys, more_keys]), np.concatenate([before, more]))
            self._runs.append(merged)

    def candidates(self, bands: Bands) -> dict[int, list[int]]:
        """Return the positions of articles that share a band with each row, if there are any.

        A position may be repeated.
        """
        found: dict[int, list[int]] = {}
        keys = bands.ravel()
        for sorted_keys, positions in self._runs:
            first = np.searchsorted(sorted_keys, keys, "left")
            end = np.searchsorted(sorted_keys, keys, "right")
            for hit in np.flatnonzero(end > first).tolist():
                earliest = positions[first[hit] : min(end[hit], first[hit] + MAX_CANDIDATES)]
                found.setdefault(hit // bands.shape[1], []).extend(earliest.tolist())
        return found


def _sorted(keys: Bands, positions: Positions) -> tuple[Bands, Positions]:
    order = np.argsort(keys, kind="stable")
    return keys[order], positions[order]


def shingles_of(text: str) -> list[str]:
    """Return the shingles of a text: runs of words, or of characters in scripts without spaces.

    Case, punctuation and white space do not matter. A text without words has no shingles.
    """
    tokens = _TOKEN.findall(text.casefold())
    unspaced = sum(len(token) == 1 and token >= "\u0e01" for token in tokens)
    width = SHINGLE_CHARS if unspaced * 2 > len(tokens) else SHINGLE_WORDS
    if 0 < len(tokens) < width + MIN_SHINGLES - 1:
        return [" ".join(tokens)]
    return list(map(" ".join, zip(*(tokens[start:] for start in range(width)), strict=False)))


def _values_per_band(threshold: float) -> int:
    """Return the largest band at which articles of this similarity are found with `_MIN_RECALL`.

    Larger bands give fewer false candidates.
    """
    for values in range(_MAX_BAND_VALUES, 1, -1):
        recall = 1 - (1 - threshold**values) ** (SIGNATURE_VALUES // values)
        if recall >= _MIN_RECALL:
            return values
    return 1


def _bands_of(values: npt.NDArray[np.uint64], band_values: int) -> Bands:
    """Return the hash of each band of each row; equal values in different bands do not match."""
    bands = SIGNATURE_VALUES // band_values
    weighted = (values * (_FACTORS | np.uint64(1)))[:, : bands * band_values]
    hashed: Bands = weighted.reshape(len(values), bands, band_values).sum(axis=2, dtype=np.uint64)
    hashed ^= hashed >> np.uint64(29)
    return hashed * (_FACTORS[:bands] * np.uint64(2) + np.uint64(1))
