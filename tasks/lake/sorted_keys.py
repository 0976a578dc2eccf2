"""Compact sets and maps of millions of 16-byte keys, in sorted NumPy columns.

A Python set of `bytes` takes about 90 bytes per key: 9 GB for a hundred million articles. Here, a
key is two 64-bit integers. Each insertion adds a sorted block, and blocks are merged so that few,
increasingly large ones remain.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from article_flows.tasks.common.article_schema import Mask

UInt64Array = npt.NDArray[np.uint64]
Rows = npt.NDArray[np.intp]
_Block = list[UInt64Array]
"""Columns of equal length, sorted by the first: high, low and, in a map, values."""

KEY_BYTES = 16
_UPDATE_KEYS = 65_536
"""Keys of an iterable that `KeySet.update` adds at a time."""
_SHARD_BITS = 3
_SHARDS = 1 << _SHARD_BITS
_SHARD_ENDS = np.arange(1, _SHARDS, dtype=np.uint64) << np.uint64(64 - _SHARD_BITS)


def count_true(flags: Mask) -> int:
    """Return the number of true values."""
    return int(np.count_nonzero(flags))


class Keys(NamedTuple):
    """A column of 16-byte keys.

    Attributes:
        high: The first eight bytes of each key, as a big-endian number.
        low: The last eight bytes of each key, as a big-endian number.
    """

    high: UInt64Array
    low: UInt64Array

    def take(self, rows: Rows | Mask) -> Keys:
        """Return the keys of some rows, given by their numbers or by a mask."""
        return Keys(self.high[rows], self.low[rows])


def keys_of_buffer(content: bytes) -> Keys:
    """Return the keys in a buffer of concatenated keys."""
    words = np.frombuffer(content, ">u8").reshape(-1, 2)
    return Keys(words[:, 0].astype(np.uint64), words[:, 1].astype(np.uint64))


def keys_of_bytes(keys: Sequence[bytes]) -> Keys:
    """Return keys as columns; raise ValueError if one does not have 16 bytes."""
    if any(len(key) != KEY_BYTES for key in keys):
        raise ValueError(f"a key must have {KEY_BYTES} bytes")
    return keys_of_buffer(b"".join(keys))


class KeyOrder(NamedTuple):
    """The sort order of keys, with their duplicates.

    Attributes:
        rows: The row numbers, sorted by key.
        first: For each row, the first row with the same key.
    """

    rows: Rows
    first: Rows

    @property
    def is_first(self) -> Mask:
        """For each row, whether no earlier row has the same key."""
        is_first: Mask = self.first == np.arange(len(self.first))
        return is_first


def key_order(keys: Keys) -> KeyOrder:
    """Return the stable sort order of keys."""
    rows = np.argsort(keys.high, kind="stable")
    high = keys.high[rows]
    first = np.arange(len(rows))
    if not np.any(high[1:] == high[:-1]):
        return KeyOrder(rows, first)
    rows = np.lexsort((keys.low, keys.high))
    high, low = keys.take(rows)
    starts = np.concatenate(([True], (high[1:] != high[:-1]) | (low[1:] != low[:-1])))
    first[rows] = rows[np.flatnonzero(starts)[np.cumsum(starts) - 1]]
    return KeyOrder(rows, first)


class SortedKeys:
    """A growing set of keys, or a map from keys to 64-bit values. Not thread-safe.

    Takes 16 bytes per key (24 with values), and little more while it grows: keys are sharded by
    their first bits, and only the blocks of one shard are merged at a time.

    Args:
        valued: Whether each key has a value.
    """

    def __init__(self, *, valued: bool = False) -> None:
        self._columns = 3 if valued else 2
        self._shards: list[list[_Block]] = [[] for _ in range(_SHARDS)]

    def __len__(self) -> int:
        return sum(len(block[0]) for shard in self._shards for block in shard)

    def contains(self, keys: Keys, order: KeyOrder) -> Mask:
        """Return for each key whether it is in the set; ``order`` is their `key_order`."""
        return self.find(keys, order)[0]

    def find(self, keys: Keys, order: KeyOrder) -> tuple[Mask, UInt64Array]:
        """Return for each key whether it is in the set, and its value (0 if it has none)."""
        found = np.zeros(len(keys.high), np.bool_)
        values = np.zeros(len(keys.high), np.uint64)
        # Sorted lookups access neighboring memory, which is several times as fast.
        for shard, rows in self._by_shard(keys.high, order.rows):
            for block in shard:
                hits, positions = _find_in_block(block, keys.take(rows))
                found[rows[hits]] = True
                if len(block) > 2:
                    values[rows[hits]] = block[2][positions]
        return found, values

    def insert(self, keys: Keys, values: UInt64Array | None = None) -> None:
        """Add keys, in any order; they must be distinct and not in the set yet."""
        columns = [*keys] if values is None else [*keys, values]
        if len(columns) != self._columns:
            raise ValueError("either every key has a value or none has")
        for shard, rows in self._by_shard(keys.high, np.argsort(keys.high, kind="stable")):
            if not len(rows):
                continue
            block = [column[rows] for column in columns]
            while shard and len(shard[-1][0]) < 2 * len(block[0]):
                block = _merge_blocks(shard.pop(), block)
            shard.append(block)

    def _by_shard(self, high: UInt64Array, rows: Rows) -> Iterator[tuple[list[_Block], Rows]]:
        """Pair each shard with its rows; ``rows`` must be sorted by key."""
        bounds = np.searchsorted(high[rows], _SHARD_ENDS)
        return zip(self._shards, np.split(rows, bounds), strict=True)


def _find_in_block(block: _Block, keys: Keys) -> tuple[Rows, Rows]:
    """Return the rows of the keys that are in a block, and their positions in the block."""
    high, low = keys
    positions = np.searchsorted(block[0], high, side="left")
    positions[positions == len(block[0])] = 0
    same_high = block[0][positions] == high
    found = same_high & (block[1][positions] == low)
    # Several keys of the block may share the same first half; the sought one may follow.
    for index in np.flatnonzero(same_high & ~found):
        end = np.searchsorted(block[0], high[index], side="right")
        same = np.flatnonzero(block[1][positions[index] : end] == low[index])
        if len(same):
            found[index] = True
            positions[index] += same[0]
    hits = np.flatnonzero(found)
    return hits, positions[hits]


def _merge_blocks(older: _Block, newer: _Block) -> _Block:
    """Merge two blocks; empties both, so that each column is freed as soon as it is merged."""
    positions = np.searchsorted(older[0], newer[0], side="right") + np.arange(len(newer[0]))
    from_older = np.ones(len(older[0]) + len(newer[0]), np.bool_)
    from_older[positions] = False
    merged = []
    while older:
        column = np.empty(len(from_older), np.uint64)
        column[positions] = newer.pop(0)
        column[from_older] = older.pop(0)
        merged.append(column)
    return merged


class KeySet:
    """A compact set of millions of 16-byte keys, safe to share between threads.

    Takes 16 bytes per key, and half as much again while it grows. Efficient for additions of
    hundreds of keys at a time; single keys take about 0.1 ms each.

    Example:
        >>> keys = KeySet([b"sixteen bytes..."])
        >>> b"sixteen bytes..." in keys, b"another key....." in keys
        (True, False)
        >>> keys.add_many([b"sixteen bytes...", b"another key....."]).tolist()
        [False, True]
    """

    def __init__(self, keys: Iterable[bytes] = ()) -> None:
        self._keys = SortedKeys()
        self._lock = threading.Lock()
        self.update(keys)

    def __len__(self) -> int:
        with self._lock:
            return len(self._keys)

    def __contains__(self, key: bytes) -> bool:
        return bool(self.contains_keys(keys_of_bytes([key]))[0])

    def update(self, keys: Iterable[bytes]) -> None:
        """Add all keys of an iterable, a bounded number at a time."""
        iterator = iter(keys)
        while chunk := list(islice(iterator, _UPDATE_KEYS)):
            self.add_many(chunk)

    def contains_keys(self, keys: Keys) -> Mask:
        """Return for each key whether it is in the set."""
        order = key_order(keys)
        with self._lock:
            return self._keys.contains(keys, order)

    def add_many(self, keys: Sequence[bytes]) -> Mask:
        """Add keys; return for each whether it is new (only the first of equal keys is)."""
        return self.add_keys(keys_of_bytes(keys))

    def add_keys(self, keys: Keys) -> Mask:
        """Add keys given as columns; see `add_many`."""
        order = key_order(keys)
        with self._lock:
            new = ~self._keys.contains(keys, order) & order.is_first
            self._keys.insert(keys.take(new))
        return new


def membership(keys: Iterable[Keys], queries: Keys) -> Mask:
    """Return for each query whether it occurs in ``keys``; needs memory only for the queries."""
    requested, found = KeySet(), KeySet()
    requested.add_keys(queries)
    for batch in keys:
        found.add_keys(batch.take(requested.contains_keys(batch)))
    return found.contains_keys(queries)
