"""Articles that are nearly the same as an earlier one: MinHash and locality-sensitive hashing.

rensa makes the signatures: the share of equal values in two of them estimates the Jaccard
similarity of the texts' shingles (Broder 1997). Bands of a signature find candidates without
comparing all pairs. The index is ours: 216 bytes an article at a threshold of 0.8, rensa's 2,800.
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
"""Values in a signature: the estimate's standard error is at most 0.044, at 0.8 it is 0.035."""
SHINGLE_WORDS = 5
"""Words in a shingle: one changed word spoils five."""
SHINGLE_CHARS = 8
"""Characters in a shingle of Chinese, Japanese or Thai: about five words."""
MIN_SHINGLES = 5
"""A text of fewer shingles is compared as a whole: estimates on so few mean nothing."""
MAX_CANDIDATES = 8
"""Articles that are compared for one band: of those that share it, the earliest."""

_SEED = 7
# Eight bits of each value are kept (Li and König 2010): by chance 1 in 256 is equal.
_CHANCE_EQUAL = 1 / 256
_MAX_BAND_VALUES = 8
_MIN_RECALL = 0.985
# Scripts without spaces: Thai and Lao, kana and Han. One character is a token.
_UNSPACED = "\u0e01-\u0edf\u3041-\u30ff\u3400-\u9fff"
# White space and punctuation: of ASCII, Latin-1, typography, CJK and its full-width forms.
_BETWEEN = "\\s\x00-/:-@\\[-`{-\xbf\u2000-\u207f\u3000-\u3040\uff00-\uff3f"
_TOKEN = re.compile(f"[{_UNSPACED}]|[^{_BETWEEN}{_UNSPACED}]+")
_FACTORS = np.random.Generator(np.random.PCG64(_SEED)).integers(
    1, 1 << 63, SIGNATURE_VALUES, np.uint64
)

Signatures = npt.NDArray[np.uint8]
Bands = npt.NDArray[np.uint64]
Positions = npt.NDArray[np.uint32]


class NearDuplicates:
    """Finds articles that are nearly the same as an earlier one; remembers those that are not.

    Deterministic: the same articles in the same order give the same answer, in each run. Safe in
    several threads, whose order then decides which of two is the earlier one. Of each article
    remembered, 344 bytes (at a threshold of 0.8) stay in memory, and its id.

    Args:
        threshold: the least similarity of two texts' shingles, as Jaccard has it, 0.5 to 1.
    """

    def __init__(self, threshold: float = 0.8) -> None:
        if not 0.5 <= threshold <= 1:
            raise UsageError(f"near duplicates: {threshold} is no similarity from 0.5 to 1")
        self._threshold = threshold
        self._band_values = _values_per_band(threshold)
        self._lock = Lock()
        self._ids: list[str] = []
        self._signatures = np.empty((1_024, SIGNATURE_VALUES), np.uint8)
        self._bands = _BandIndex()

    def find(self, ids: Sequence[str] | pa.Array, bodies: pa.StringArray) -> list[tuple[int, str]]:
        """Return the index of each body that is a near duplicate of an earlier one, and of which.

        Earlier in this call or in calls before, and itself no near duplicate. Bodies without a
        word are left out; texts of under five shingles have to have the same words.
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
        """How many articles are remembered."""
        return len(self._ids)

    def _find(
        self, names: list[str], signatures: Signatures, bands: Bands
    ) -> list[tuple[int, str]]:
        found: list[tuple[int, str]] = []
        beside = _BandIndex()
        beside.add(bands, np.arange(len(names)))
        earlier, in_call = self._bands.candidates(bands), beside.candidates(bands)
        places: dict[int, int] = {}
        for row, name in enumerate(names):
            candidates = earlier.get(row, [])
            candidates = candidates + [places[each] for each in in_call[row] if each in places]
            match = self._best(signatures[row], candidates)
            if match is None:
                places[row] = self._keep(name, signatures[row])
            else:
                place, similarity = match
                reason = f"near duplicate of {self._ids[place]} (similarity {similarity:.2f})"
                found.append((row, reason))
        self._bands.add(bands[list(places)], np.array(list(places.values())))
        return found

    def _best(self, signature: Signatures, places: list[int]) -> tuple[int, float] | None:
        """Return the most similar of the remembered articles, if it is similar enough."""
        if not places:
            return None
        at = np.array(sorted(set(places)))
        equal = (self._signatures[at] == signature).mean(axis=1)
        similar = np.maximum(0, (equal - _CHANCE_EQUAL) / (1 - _CHANCE_EQUAL))
        best = int(similar.argmax())
        if similar[best] < self._threshold:
            return None
        return int(at[best]), float(similar[best])

    def _keep(self, name: str, signature: Signatures) -> int:
        place = len(self._ids)
        if place == len(self._signatures):
            more = np.empty((place // 2, SIGNATURE_VALUES), np.uint8)
            self._signatures = np.concatenate([self._signatures, more])
        self._signatures[place] = signature
        self._ids.append(name)
        return place


class _BandIndex:
    """Maps bands to the places of the articles that have them.

    Runs of sorted keys; a run is merged into the one before while that is not twice as long, so
    there are few of them, and each entry is moved a few times in all.
    """

    def __init__(self) -> None:
        self._runs: list[tuple[Bands, Positions]] = []

    def add(self, bands: Bands, places: npt.NDArray[np.intp]) -> None:
        """Add articles: row ``i`` of `bands` are those of the article at ``places[i]``."""
        self._runs.append(_sorted(bands.ravel(), places.astype(np.uint32).repeat(bands.shape[1])))
        while len(self._runs) > 1 and len(self._runs[-2][0]) < 2 * len(self._runs[-1][0]):
            (keys, whose), (more_keys, more) = self._runs.pop(-2), self._runs.pop()
            joined = _sorted(np.concatenate([keys, more_keys]), np.concatenate([whose, more]))
            self._runs.append(joined)

    def candidates(self, bands: Bands) -> dict[int, list[int]]:
        """Return for each row, if any, the places of articles that share a band with it.

        A place may come more than once.
        """
        found: dict[int, list[int]] = {}
        keys = bands.ravel()
        for sorted_keys, places in self._runs:
            first = np.searchsorted(sorted_keys, keys, "left")
            end = np.searchsorted(sorted_keys, keys, "right")
            for hit in np.flatnonzero(end > first).tolist():
                some = places[first[hit] : min(end[hit], first[hit] + MAX_CANDIDATES)]
                found.setdefault(hit // bands.shape[1], []).extend(some.tolist())
        return found


def _sorted(keys: Bands, places: Positions) -> tuple[Bands, Positions]:
    order = np.argsort(keys, kind="stable")
    return keys[order], places[order]


def shingles_of(text: str) -> list[str]:
    """Return the runs of words, or of characters where there are no spaces, that a text is.

    A text without a word has none. Case, punctuation and white space do not matter.
    """
    tokens = _TOKEN.findall(text.casefold())
    signs = sum(len(token) == 1 and token >= "\u0e01" for token in tokens)
    width = SHINGLE_CHARS if signs * 2 > len(tokens) else SHINGLE_WORDS
    if 0 < len(tokens) < width + MIN_SHINGLES - 1:
        return [" ".join(tokens)]
    return list(map(" ".join, zip(*(tokens[start:] for start in range(width)), strict=False)))


def _values_per_band(threshold: float) -> int:
    """Return how many values a band may have so that articles this similar still share one.

    The more there are, the fewer articles are compared in vain.
    """
    for values in range(_MAX_BAND_VALUES, 1, -1):
        found = 1 - (1 - threshold**values) ** (SIGNATURE_VALUES // values)
        if found >= _MIN_RECALL:
            return values
    return 1


def _bands_of(values: npt.NDArray[np.uint64], band_values: int) -> Bands:
    """Return the hash of each band of each row; no two bands of a row are mistaken."""
    bands = SIGNATURE_VALUES // band_values
    weighed = (values * (_FACTORS | np.uint64(1)))[:, : bands * band_values]
    hashed: Bands = weighed.reshape(len(values), bands, band_values).sum(axis=2, dtype=np.uint64)
    hashed ^= hashed >> np.uint64(29)
    return hashed * (_FACTORS[:bands] * np.uint64(2) + np.uint64(1))
