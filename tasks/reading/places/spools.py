"""A cache of temporary copies, for sources that can only be streamed but are read repeatedly."""

from __future__ import annotations

import io
import os
import threading
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, BinaryIO, cast

from article_flows.tasks.common.errors import UserError
from article_flows.tasks.common.raw_files import RawReadOnlyFile
from article_flows.tasks.reading.base.byte_source import ByteSource
from article_flows.tasks.reading.base.streams import PIECE_BYTES, copy_to_temporary_file

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

MAX_CACHED_BYTES = 8 << 30
"""Total size of the copies above which the least recently used ones are deleted."""
MAX_AGE_S = 900.0
"""Seconds for which a copy is used: a long-lived process that loads a URL again gets the new
content."""


class SpoolHandle(RawReadOnlyFile):
    """A handle on a temporary file, with a position of its own; it keeps the file alive."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = os.dup(descriptor)
        super().__init__(os.fstat(self._descriptor).st_size)

    def readinto(self, buffer: WriteableBuffer) -> int:
        """Read into a buffer and return the number of bytes."""
        view = memoryview(buffer)
        count = os.preadv(self._descriptor, [view], self._position)
        self._position += count
        return count

    def close(self) -> None:
        """Release the file."""
        if not self.closed:
            os.close(self._descriptor)
        super().close()


@dataclass
class _Entry:
    lock: threading.Lock = field(default_factory=threading.Lock)
    file: BinaryIO | None = None
    size: int = 0
    pinned: bool = False
    created: float = 0.0

    @property
    def usable(self) -> bool:
        is_fresh = self.pinned or time.monotonic() - self.created < MAX_AGE_S
        return self.file is not None and is_fresh


class SpoolCache:
    """Temporary copies by key; thread-safe, and each copy is made only once."""

    def __init__(self) -> None:
        self._entries: dict[Hashable, _Entry] = {}
        self._lock = threading.Lock()

    def open(
        self, key: Hashable, make: Callable[[], BinaryIO], *, pinned: bool = False
    ) -> BinaryIO:
        """Return a new handle on the copy with this key, after making it if there is none.

        Args:
            key: Identifies the original.
            make: Returns a new copy, a real file at any position.
            pinned: Keep the copy until the process ends, because it cannot be made again.

        Raises:
            OSError, UserError: As `make` does.
        """
        with self._lock:
            entry = self._entries.pop(key, None) or _Entry()
            self._entries[key] = entry
        with entry.lock:
            if entry.file is None or not entry.usable:
                entry.file = make()
                entry.file.flush()
                entry.size = os.fstat(entry.file.fileno()).st_size
                entry.pinned, entry.created = pinned, time.monotonic()
            handle = SpoolHandle(entry.file.fileno())
        self._evict(entry)
        return cast(BinaryIO, io.BufferedReader(handle, PIECE_BYTES))

    def _evict(self, newest: _Entry) -> None:
        with self._lock:
            cached_bytes = sum(entry.size for entry in self._entries.values())
            for key, entry in list(self._entries.items()):
                if cached_bytes <= MAX_CACHED_BYTES:
                    return
                if entry is newest or entry.pinned or not entry.lock.acquire(blocking=False):
                    continue
                if entry.file is not None:
                    entry.file.close()
                    cached_bytes -= entry.size
                entry.lock.release()
                # A thread that waits for this entry makes the copy again, outside of the cache.
                entry.file, entry.size = None, 0
                del self._entries[key]


SPOOL_CACHE = SpoolCache()
"""The copies of this process."""


@dataclass(frozen=True)
class SpooledFile(ByteSource):
    """A temporary copy of a source that can only be streamed but needs random access.

    Attributes:
        name: The source's name, for messages.
        version: Differs when the content of the source does.
    """

    original: ByteSource
    name: str = field(compare=False)
    version: str = ""

    @property
    def file_name(self) -> str:
        """The file name of the original."""
        return self.original.file_name

    @property
    def identity(self) -> str:
        """The identity of the original."""
        return self.original.identity

    def open(self) -> BinaryIO:
        """Open the copy."""
        return SPOOL_CACHE.open(self, self._copy)

    def _copy(self) -> BinaryIO:
        with self.original.open() as file:
            return copy_to_temporary_file(file, self.name)


@dataclass(frozen=True)
class PipeFile(ByteSource):
    """Standard input or a named pipe; its content is kept until the process ends.

    Attributes:
        path: Of the pipe; ``-`` for standard input.
        name: The source's name, for messages.
    """

    path: str
    name: str = field(compare=False)

    @property
    def file_name(self) -> str:
        """The name, which has no suffix: the format is inferred from the content."""
        return self.name

    @property
    def identity(self) -> str:
        """The path of the pipe."""
        return f"pipe:{self.path}"

    def open(self) -> BinaryIO:
        """Open the copy; the first call reads the pipe to its end."""
        return SPOOL_CACHE.open(self, self._copy, pinned=True)

    def _copy(self) -> BinaryIO:
        if self.path != "-":
            with open(self.path, "rb") as file:  # noqa: PTH123
                return copy_to_temporary_file(file, self.name)
        if os.isatty(0):
            raise UserError("standard input is a terminal; pipe a file into it (… | article-flows)")
        with open(0, "rb", closefd=False) as file:
            return copy_to_temporary_file(file, self.name)
