"""Millions of 16-byte keys, each with a value if wanted, in sorted NumPy columns.

A Python set of `bytes` takes about 90 bytes a key: 9 GB for a hundred million articles. Here a key
is two 64-bit integers. New keys come as blocks, which merge so that few, ever larger ones remain.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Words = npt.NDArray[np.uint64]
Flags = npt.NDArray[np.bool_]
Rows = npt.NDArray[np.intp]
_Block = list[Words]
"""Columns of the same length, in the order of the first: high, low and, if there are, values."""

KEY_BYTES = 16
_AT_ONCE = 65_536
"""How many keys of an iterable are taken in at once."""
_SHELF_BITS = 3
_SHELVES = 1 << _SHELF_BITS
_SHELF_ENDS = np.arange(1, _SHELVES, dtype=np.uint64) << np.uint64(64 - _SHELF_BITS)


def count_flags(flags: Flags) -> int:
    """How many are true."""
    return int(np.count_nonzero(flags))


class Keys(NamedTuple):
    """A column of 16-byte keys: the first and the last eight bytes of each as numbers."""

    high: Words
    low: Words

    def take(self, rows: Rows | Flags) -> Keys:
        """The keys of some rows."""
        return Keys(self.high[rows], self.low[rows])


def keys_of_buffer(content: bytes) -> Keys:
    """Return the keys that are in a buffer, one after another."""
    words = np.frombuffer(content, ">u8").reshape(-1, 2)
    return Keys(words[:, 0].astype(np.uint64), words[:, 1].astype(np.uint64))


def keys_of_bytes(keys: Sequence[bytes]) -> Keys:
    """Return keys as columns; raises ValueError if one is not of 16 bytes."""
    if any(len(key) != KEY_BYTES for key in keys):
        raise ValueError(f"a key is {KEY_BYTES} bytes")
    return keys_of_buffer(b"".join(keys))


class Order(NamedTuple):
    """Rows in the order of their keys, and what equal keys there are among them.

    ``first[row]`` is the first row that has the key of ``row``.
    """

    rows: Rows
    first: Rows

    @property
    def is_first(self) -> Flags:
        """True for each row that has the key of no row before it."""
        flags: Flags = self.first == np.arange(len(self.first))
        return flags


def order_of(keys: Keys) -> Order:
    """Sort keys, equal ones in the order of their rows."""
    rows = np.argsort(keys.high, kind="stable")
    high = keys.high[rows]
    first = np.arange(len(rows))
    if not np.any(high[1:] == high[:-1]):
        return Order(rows, first)
    rows = np.lexsort((keys.low, keys.high))
    high, low = keys.take(rows)
    starts = np.concatenate(([True], (high[1:] != high[:-1]) | (low[1:] != low[:-1])))
    first[rows] = rows[np.flatnonzero(starts)[np.cumsum(starts) - 1]]
    return Order(rows, first)


class SortedKeys:
    """A growing set of keys, with a 64-bit value for each if ``valued``.

    It takes 16 bytes a key (24 with values), and little more while it grows: keys lie on shelves
    by their first bits, and only the blocks of one shelf merge at a time.
    """

    def __init__(self, *, valued: bool = False) -> None:
        self._columns = 3 if valued else 2
        self._shelves: list[list[_Block]] = [[] for _ in range(_SHELVES)]

    def __len__(self) -> int:
        return sum(len(block[0]) for shelf in self._shelves for block in shelf)

    def contains(self, keys: Keys, order: Order) -> Flags:
        """Return for each key whether it is in the set; ``order`` is that of the keys."""
        return self.find(keys, order)[0]

    def find(self, keys: Keys, order: Order) -> tuple[Flags, Words]:
        """Return for each key whether it is in the set, and its value (0 without one)."""
        found = np.zeros(len(keys.high), np.bool_)
        values = np.zeros(len(keys.high), np.uint64)
        # Neighbours in the order look at neighbours in memory: several times as fast.
        for shelf, rows in self._by_shelf(keys.high, order.rows):
            for block in shelf:
                hits, places = _places(block, keys.take(rows))
                found[rows[hits]] = True
                if len(block) > 2:
                    values[rows[hits]] = block[2][places]
        return found, values

    def insert(self, keys: Keys, values: Words | None = None) -> None:
        """Add keys in any order; they must differ from each other and from those of the set."""
        columns = [*keys] if values is None else [*keys, values]
        if len(columns) != self._columns:
            raise ValueError("every key of the set has a value, or none has")
        for shelf, rows in self._by_shelf(keys.high, np.argsort(keys.high, kind="stable")):
            if not len(rows):
                continue
            block = [column[rows] for column in columns]
            while shelf and len(shelf[-1][0]) < 2 * len(block[0]):
                block = _merged(shelf.pop(), block)
            shelf.append(block)

    def _by_shelf(self, high: Words, rows: Rows) -> Iterator[tuple[list[_Block], Rows]]:
        """Each shelf, and which of some rows in the order of their keys belong there."""
        bounds = np.searchsorted(high[rows], _SHELF_ENDS)
        return zip(self._shelves, np.split(rows, bounds), strict=True)


def _places(block: _Block, keys: Keys) -> tuple[Rows, Rows]:
    """Which of some keys are in a block, and where."""
    high, low = keys
    places = np.searchsorted(block[0], high, side="left")
    places[places == len(block[0])] = 0
    same_high = block[0][places] == high
    found = same_high & (block[1][places] == low)
    # Only keys that share their first half with another need a second look.
    for index in np.flatnonzero(same_high & ~found):
        end = np.searchsorted(block[0], high[index], side="right")
        same = np.flatnonzero(block[1][places[index] : end] == low[index])
        if len(same):
            found[index] = True
            places[index] += same[0]
    hits = np.flatnonzero(found)
    return hits, places[hits]


def _merged(older: _Block, newer: _Block) -> _Block:
    """One block of two; empties both, so that each column goes as soon as it is merged."""
    places = np.searchsorted(older[0], newer[0], side="right") + np.arange(len(newer[0]))
    stays = np.ones(len(older[0]) + len(newer[0]), np.bool_)
    stays[places] = False
    merged = []
    while older:
        column = np.empty(len(stays), np.uint64)
        column[places] = newer.pop(0)
        column[stays] = older.pop(0)
        merged.append(column)
    return merged


class KeySet:
    """A set of 16-byte keys, compact, for millions; safe to share between threads.

    At rest it takes 16 bytes a key, and half as much again while it grows. Made for keys that come
    by the hundred and more: one by one they take about 0.1 ms each.
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
        """Add all keys, a bounded number at a time."""
        rest = iter(keys)
        while some := list(islice(rest, _AT_ONCE)):
            self.add_many(some)

    def contains_keys(self, keys: Keys) -> Flags:
        """Return for each key whether it is in the set."""
        order = order_of(keys)
        with self._lock:
            return self._keys.contains(keys, order)

    def add_many(self, keys: Sequence[bytes]) -> Flags:
        """Add keys; return for each whether it is new (of equal ones only the first is)."""
        return self.add_keys(keys_of_bytes(keys))

    def add_keys(self, keys: Keys) -> Flags:
        """The same for keys in columns."""
        order = order_of(keys)
        with self._lock:
            new = ~self._keys.contains(keys, order) & order.is_first
            self._keys.insert(keys.take(new))
        return new


def found_in(keys: Iterable[Keys], wanted: Keys) -> Flags:
    """Return for each wanted key whether it is among many others; holds no more than are wanted."""
    asked, found = KeySet(), KeySet()
    asked.add_keys(wanted)
    for some in keys:
        found.add_keys(some.take(asked.contains_keys(some)))
    return found.contains_keys(wanted)
