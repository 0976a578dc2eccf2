"""Articles that are nearly the same as one before: MinHash and locality-sensitive hashing.

The estimate of two texts' Jaccard similarity (Broder 1997) is the share of equal values in their
signatures; bands of a signature find candidates without comparing all pairs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from threading import Lock

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tasks.cleaning.band_index import BYTES_AN_ENTRY, BandIndex
from tasks.cleaning.shingles import Hashes, shingles_of
from tasks.cleaning.text_buffers import bytes_of, present
from tasks.errors import UsageError

VALUES = 128
"""Values in a signature: the estimate's standard error is at most 0.044, at 0.8 it is 0.035."""
# Eight bits of each value are kept (Li and König 2010): by chance 1 in 256 is equal.
_BY_CHANCE = 1 / 256
_GROUP_BYTES = 1 << 18
_SHINGLES_AT_ONCE = 256
_MOST_A_BAND = 8
_LEAST_FOUND = 0.985

_random = np.random.Generator(np.random.PCG64(7))
_FACTORS = _random.integers(1, 1 << 63, VALUES, np.uint64) * np.uint64(2) + np.uint64(1)
_FACTORS32 = _FACTORS.astype(np.uint32) | np.uint32(1)
_ADDED32 = (_FACTORS >> np.uint64(32)).astype(np.uint32)
_BAND_FACTORS = _random.integers(1, 1 << 63, VALUES, np.uint64) | np.uint64(1)

Signatures = npt.NDArray[np.uint8]


class NearDuplicates:
    """Finds articles that are nearly the same as one before; remembers those that are not.

    Deterministic: the same articles in the same order give the same answer, in each run. Safe in
    several threads, whose order then decides which of two is the earlier one. Of each article
    remembered, `bytes_an_article` stay in memory, and its id.

    Args:
        threshold: the least similarity of two texts' shingles, as Jaccard has it, 0.5 to 1.
    """

    def __init__(self, threshold: float = 0.8) -> None:
        if not 0.5 <= threshold <= 1:
            raise UsageError(f"near duplicates: {threshold} is no similarity from 0.5 to 1")
        self._threshold = threshold
        self._band_values = _values_a_band(threshold)
        self._lock = Lock()
        self._ids: list[str] = []
        self._signatures = np.empty((1_024, VALUES), np.uint8)
        self._bands = BandIndex()

    def find(self, ids: Sequence[str] | pa.Array, bodies: pa.StringArray) -> list[tuple[int, str]]:
        """Return the index of each body that is a near duplicate of an earlier one, and of which.

        Earlier in this call or in calls before, and itself no near duplicate. Bodies without a
        word are left out; texts of under five shingles have to have the same words.
        """
        signatures, bands, known = _signed(bodies, self._band_values)
        names = ids.to_pylist() if isinstance(ids, pa.Array) else list(ids)
        with self._lock:
            return self._find(names, signatures, bands, known)

    @property
    def bytes_an_article(self) -> int:
        """Signature and bands of an article in memory: 380 bytes at a threshold of 0.8."""
        return VALUES + BYTES_AN_ENTRY * (VALUES // self._band_values)

    def __len__(self) -> int:
        """How many articles are remembered."""
        return len(self._ids)

    def _find(
        self,
        names: list[str],
        signatures: Signatures,
        bands: Hashes,
        known: npt.NDArray[np.bool_],
    ) -> list[tuple[int, str]]:
        found: list[tuple[int, str]] = []
        fresh = BandIndex()
        rows = np.flatnonzero(known)
        fresh.add(bands[rows], rows)
        before = self._bands.candidates(bands[rows], rows)
        beside = fresh.candidates(bands[rows], rows)
        places: dict[int, int] = {}
        for row in rows.tolist():
            earlier = before.get(row, [])
            earlier = earlier + [places[each] for each in beside.get(row, ()) if each in places]
            match = self._best(signatures[row], earlier)
            if match is None:
                places[row] = self._keep(names[row], signatures[row])
            else:
                place, similarity = match
                reason = f"near duplicate of {self._ids[place]} (similarity {similarity:.2f})"
                found.append((row, reason))
        kept = np.fromiter(places, np.intp, len(places))
        self._bands.add(bands[kept], np.fromiter(places.values(), np.intp, len(places)))
        return found

    def _best(self, signature: Signatures, places: list[int]) -> tuple[int, float] | None:
        """Return the most similar of the remembered articles, if it is similar enough."""
        if not places:
            return None
        at = np.array(sorted(set(places)))
        equal = (self._signatures[at] == signature).mean(axis=1)
        similar = np.maximum(0, (equal - _BY_CHANCE) / (1 - _BY_CHANCE))
        best = int(similar.argmax())
        if similar[best] < self._threshold:
            return None
        return int(at[best]), float(similar[best])

    def _keep(self, name: str, signature: Signatures) -> int:
        place = len(self._ids)
        if place == len(self._signatures):
            more = np.empty((place // 2, VALUES), np.uint8)
            self._signatures = np.concatenate([self._signatures, more])
        self._signatures[place] = signature
        self._ids.append(name)
        return place


def _values_a_band(threshold: float) -> int:
    """Return how many values a band may have so that articles this similar still share one.

    The more there are, the fewer articles are compared in vain.
    """
    for values in range(_MOST_A_BAND, 1, -1):
        found = 1 - (1 - threshold**values) ** (VALUES // values)
        if found >= _LEAST_FOUND:
            return values
    return 1


def _signed(
    bodies: pa.StringArray, band_values: int
) -> tuple[Signatures, Hashes, npt.NDArray[np.bool_]]:
    """Return each body's signature and bands, and whether it has any."""
    stretch, offsets = bytes_of(bodies)
    rows = len(bodies)
    minima = np.zeros((rows, VALUES), np.uint32)
    known = np.zeros(rows, bool)
    for first, end in _groups(offsets):
        own = offsets[first : end + 1] - offsets[first]
        hashes, counts = shingles_of(stretch[offsets[first] : offsets[end]], own)
        start = 0
        for row, count in enumerate(counts.tolist(), start=first):
            if count:
                minima[row] = _minima(hashes[start : start + count])
                known[row] = True
            start += count
    spread = (minima * np.uint32(0x9E3779B1) >> np.uint32(24)).astype(np.uint8)
    return spread, _bands_of(minima, band_values), known & present(bodies)


def _bands_of(minima: npt.NDArray[np.uint32], band_values: int) -> Hashes:
    """Return the hash of each band of each row; no two bands of a row are mistaken."""
    weighed = minima.astype(np.uint64) * _BAND_FACTORS
    bands = VALUES // band_values
    grouped = weighed[:, : bands * band_values].reshape(len(minima), bands, band_values)
    hashed: Hashes = grouped.sum(axis=2, dtype=np.uint64)
    hashed ^= hashed >> np.uint64(29)
    return hashed * _FACTORS[:bands]


def _groups(offsets: npt.NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """Yield rows, first and end, that are about _GROUP_BYTES together."""
    first, rows = 0, len(offsets) - 1
    while first < rows:
        end = int(np.searchsorted(offsets, offsets[first] + _GROUP_BYTES, "right")) - 1
        end = min(max(end, first + 1), rows)
        yield first, end
        first = end


def _minima(shingles: Hashes) -> npt.NDArray[np.uint32]:
    """Return the least value of each of the signature's hash functions over a text's shingles."""
    least: npt.NDArray[np.uint32] | None = None
    halves = (shingles >> np.uint64(32)).astype(np.uint32)
    for first in range(0, len(halves), _SHINGLES_AT_ONCE):
        some = halves[first : first + _SHINGLES_AT_ONCE]
        values = some[:, None] * _FACTORS32
        values += _ADDED32
        part = values.min(axis=0)
        least = part if least is None else np.minimum(least, part)
    assert least is not None
    return least
