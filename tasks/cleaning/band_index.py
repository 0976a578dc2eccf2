"""Which articles share a band of their signatures: sorted runs, merged as they grow."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

BYTES_AN_ENTRY = 12
"""A band's hash and an article's place."""
MOST_CANDIDATES = 8
"""Articles that are compared for one band: of those that share it, the earliest."""

Keys = npt.NDArray[np.uint64]
Places = npt.NDArray[np.uint32]


class BandIndex:
    """Maps bands to the places of the articles that have them: 12 bytes for each.

    Runs of sorted keys; a run is merged into the one before while that is not twice as long, so
    there are few of them, and each entry is moved a few times in all.
    """

    def __init__(self) -> None:
        self._runs: list[tuple[Keys, Places]] = []

    def add(self, bands: Keys, places: npt.NDArray[np.intp]) -> None:
        """Add articles: row ``i`` of `bands` are those of the article at ``places[i]``."""
        if not len(places):
            return
        keys = bands.ravel()
        whose = np.repeat(places.astype(np.uint32), bands.shape[1])
        self._runs.append(_sorted(keys, whose))
        while len(self._runs) > 1 and len(self._runs[-2][0]) < 2 * len(self._runs[-1][0]):
            (keys, whose), (more_keys, more) = self._runs[-2:]
            del self._runs[-2:]
            joined = np.concatenate([keys, more_keys]), np.concatenate([whose, more])
            self._runs.append(_sorted(*joined))

    def candidates(self, bands: Keys, rows: npt.NDArray[np.intp]) -> dict[int, list[int]]:
        """Return for each row, if any, the places of articles that share a band with it.

        `rows` names the rows of `bands`. A place may come more than once.
        """
        found: dict[int, list[int]] = {}
        keys = bands.ravel()
        whose = np.repeat(rows, bands.shape[1] if len(rows) else 1)
        for sorted_keys, places in self._runs:
            first = np.searchsorted(sorted_keys, keys, "left")
            end = np.searchsorted(sorted_keys, keys, "right")
            for hit in np.flatnonzero(end > first).tolist():
                start = int(first[hit])
                some = places[start : min(int(end[hit]), start + MOST_CANDIDATES)]
                found.setdefault(int(whose[hit]), []).extend(some.tolist())
        return found


def _sorted(keys: Keys, places: Places) -> tuple[Keys, Places]:
    order = np.argsort(keys, kind="stable")
    return keys[order], places[order]
