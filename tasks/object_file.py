"""An object read here and there, as pyarrow reads Parquet, over a store that fails now and then."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pyarrow as pa

from tasks.storage_retry import Retries

_FIRST_AHEAD, _MOST_AHEAD = 256 << 10, 4 << 20
"""Bytes that are read ahead, first and at most: 4 MiB come in the time of one or two requests."""
_SKIPPED = 4 << 20
"""Bytes between two reads beyond which the second is none that goes on from the first."""


class RetriedFile(io.RawIOBase):
    """An object open for reading; each read is tried again on a new handle if it fails.

    Args:
        name: the object as messages name it.
        opened: gives a new handle on it.
        retries: of its storage.

    Raises:
        FileNotFoundError: there is no such object (any more), also while reading.
        UserError, StorageDown: as `Retries.call`.
    """

    def __init__(self, name: str, opened: Callable[[], pa.NativeFile], retries: Retries) -> None:
        self._name = name
        self._open = opened
        self._retries = retries
        self._handle: pa.NativeFile | None = None
        self._position = 0
        self._window_start, self._window = 0, b""
        self._ahead = 0
        self._size: int = self._attempt(lambda handle: handle.size())

    def readable(self) -> bool:
        """Yes."""
        return True

    def seekable(self) -> bool:
        """Yes."""
        return True

    def tell(self) -> int:
        """Where the next read begins."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Have the next read begin somewhere."""
        bases = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}
        self._position = bases[whence] + offset
        return self._position

    def read(self, size: int | None = -1) -> bytes:
        """So many bytes, or what is left of them."""
        left = max(0, self._size - self._position)
        count = left if size is None or size < 0 else min(size, left)
        if not count:
            return b""
        if count > _MOST_AHEAD:
            content = self._read_at(count)
            self._position += len(content)
            return content
        start = self._position - self._window_start
        if not 0 <= start <= start + count <= len(self._window):
            self._fetch(count)
            start = 0
        content = self._window[start : start + count]
        self._position += len(content)
        return content

    def readall(self) -> bytes:
        """All that is left."""
        return self.read()

    def close(self) -> None:
        """Let go of the object."""
        handle, self._handle = self._handle, None
        if handle is not None:
            handle.close()
        super().close()

    def _fetch(self, count: int) -> None:
        """Read on from here: as much as is wanted, and more the longer the reads go forward."""
        skipped = self._position - self._window_start - len(self._window)
        forward = bool(self._window) and -_SKIPPED <= skipped <= _SKIPPED
        self._ahead = min(_MOST_AHEAD, max(_FIRST_AHEAD, 2 * self._ahead)) if forward else 0
        self._window_start, self._window = self._position, self._read_at(max(count, self._ahead))

    def _read_at(self, count: int) -> bytes:
        position = self._position
        content: bytes = self._attempt(lambda handle: handle.read_at(count, position))
        return content

    def _attempt(self, operation: Callable[[pa.NativeFile], Any]) -> Any:
        def once() -> Any:
            if self._handle is None:
                self._handle = self._open()
            try:
                return operation(self._handle)
            except OSError:
                self._handle = None
                raise

        return self._retries.call(f"read {self._name}", once)
