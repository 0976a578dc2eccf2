"""A set of millions of 16-byte keys in about 16 bytes each.

A Python set of `bytes` takes about 90 bytes a key: 9 GB for a hundred million articles. Here a key
is two 64-bit integers in sorted NumPy arrays, and only the newest keys are in a Python set.
"""

import threading
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from itertools import islice
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

KEY_BYTES = 16
FRESH_KEYS = 65_536
"""How many keys the Python set takes before they are sorted into a block: about 6 MB."""

Words = npt.NDArray[np.uint64]
Flags = npt.NDArray[np.bool_]


def row_key(article_id: str, content_hash: str) -> bytes:
    """Return the 16-byte identity of an article: its id and its content."""
    return blake2b(f"{article_id}\0{content_hash}".encode(), digest_size=KEY_BYTES).digest()


class _Block(NamedTuple):
    """Keys in order: the first and the last eight bytes of each as big-endian numbers."""

    high: Words
    low: Words

    def contains(self, high: Words, low: Words) -> Flags:
        start = np.searchsorted(self.high, high, side="left")
        at = np.minimum(start, len(self.high) - 1)
        same_high = self.high[at] == high
        found: Flags = same_high & (self.low[at] == low)
        # Only keys that share their first half with another need a second look.
        for index in np.flatnonzero(same_high & ~found):
            first = start[index]
            end = np.searchsorted(self.high, high[index], side="right")
            place = first + np.searchsorted(self.low[first:end], low[index])
            found[index] = place < end and self.low[place] == low[index]
        return found


def _split(keys: Sequence[bytes]) -> tuple[Words, Words]:
    joined = b"".join(keys)
    if len(joined) != KEY_BYTES * len(keys) or any(len(key) != KEY_BYTES for key in keys):
        raise ValueError(f"a key is {KEY_BYTES} bytes")
    words = np.frombuffer(joined, dtype=">u8").reshape(-1, 2)
    return words[:, 0].astype(np.uint64), words[:, 1].astype(np.uint64)


def _sorted_block(high: Words, low: Words) -> _Block:
    # A stable sort takes runs that are in order already in linear time: merging is cheap.
    order = np.argsort(high, kind="stable")
    block = _Block(high[order], low[order])
    if np.any(block.high[1:] == block.high[:-1]):
        order = np.lexsort((low, high))
        block = _Block(high[order], low[order])
    return block


class KeySet:
    """A set of 16-byte keys, compact, for millions; safe to share between threads.

    At rest it takes 16 bytes a key and at most `FRESH_KEYS` entries of a Python set. While two
    blocks merge it takes about two and a half times as much.
    """

    def __init__(self, keys: Iterable[bytes] = ()) -> None:
        self._fresh: set[bytes] = set()
        self._blocks: list[_Block] = []
        self._lock = threading.RLock()
        self.update(keys)

    def __len__(self) -> int:
        return len(self._fresh) + sum(len(block.high) for block in self._blocks)

    def __contains__(self, key: bytes) -> bool:
        return bool(self.contains_many([key])[0])

    @property
    def nbytes(self) -> int:
        """Bytes in the sorted blocks (the newest keys, in a Python set, come on top)."""
        return sum(block.high.nbytes + block.low.nbytes for block in self._blocks)

    def add(self, key: bytes) -> bool:
        """Add a key; return True if it is new."""
        return bool(self.add_many([key])[0])

    def update(self, keys: Iterable[bytes]) -> None:
        """Add all keys, a bounded number at a time."""
        rest = iter(keys)
        while some := list(islice(rest, FRESH_KEYS)):
            self.add_many(some)

    def contains_many(self, keys: Sequence[bytes]) -> Flags:
        """Return for each key whether it is in the set."""
        high, low = _split(keys)
        with self._lock:
            found = np.fromiter((key in self._fresh for key in keys), dtype=np.bool_)
            for block in self._blocks:
                found |= block.contains(high, low)
        return found

    def add_many(self, keys: Sequence[bytes]) -> Flags:
        """Add keys; return for each whether it is new (of equal ones only the first is)."""
        with self._lock:
            new = ~self.contains_many(keys)
            for index in np.flatnonzero(new).tolist():
                if keys[index] in self._fresh:
                    new[index] = False
                else:
                    self._fresh.add(keys[index])
            if len(self._fresh) >= FRESH_KEYS:
                self._settle()
        return new

    def _settle(self) -> None:
        """Sort the newest keys into a block; merge blocks so that few, ever larger ones remain."""
        block = _sorted_block(*_split(list(self._fresh)))
        self._fresh = set()
        while self._blocks and len(self._blocks[-1].high) < 2 * len(block.high):
            older = self._blocks.pop()
            block = _sorted_block(
                np.concatenate((older.high, block.high)), np.concatenate((older.low, block.low))
            )
        self._blocks.append(block)
