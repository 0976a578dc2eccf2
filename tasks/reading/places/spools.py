"""Temporary copies that stay for the run: what is fetched once is read several times."""

from __future__ import annotations

import io
import os
import threading
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, BinaryIO, cast

from article_flows.tasks.common.errors import UserError
from article_flows.tasks.reading.base.byte_source import ByteSource
from article_flows.tasks.reading.base.streams import PIECE_BYTES, spooled

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

KEPT_BYTES = 8 << 30
"""Copies beyond this many bytes in all make room for new ones, the oldest first."""
FRESH_S = 900.0
"""Seconds for which a copy stands for what it was made from: a long-lived process that loads a URL
again wants what is there then."""


class SpoolHandle(io.RawIOBase):
    """A handle on a temporary file of its own position, which keeps the file alive."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = os.dup(descriptor)
        self._size = os.fstat(self._descriptor).st_size
        self._position = 0

    def readable(self) -> bool:
        """Yes."""
        return True

    def seekable(self) -> bool:
        """Yes."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Have the next read begin somewhere."""
        bases = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}
        target = bases[whence] + offset
        if target < 0:
            raise ValueError(f"negative seek position {target}")
        self._position = target
        return target

    def readinto(self, buffer: WriteableBuffer) -> int:
        """Fill a buffer, or as much of it as there is for."""
        view = memoryview(buffer)
        count = os.preadv(self._descriptor, [view], self._position)
        self._position += count
        return count

    def close(self) -> None:
        """Let go of the file."""
        if not self.closed:
            os.close(self._descriptor)
        super().close()


@dataclass
class _Entry:
    lock: threading.Lock = field(default_factory=threading.Lock)
    file: BinaryIO | None = None
    size: int = 0
    pinned: bool = False
    made: float = 0.0

    @property
    def usable(self) -> bool:
        """Whether there is a copy, and no need of a new one."""
        return self.file is not None and (self.pinned or time.monotonic() - self.made < FRESH_S)


class Spools:
    """Copies by key; any thread may ask for any, and each is made once."""

    def __init__(self) -> None:
        self._entries: dict[Hashable, _Entry] = {}
        self._lock = threading.Lock()

    def open(
        self, key: Hashable, make: Callable[[], BinaryIO], *, pinned: bool = False
    ) -> BinaryIO:
        """A new handle on the copy of this key, which ``make`` gives if there is none.

        Args:
            key: of what is copied.
            make: gives the copy, a real file, whatever its position.
            pinned: keep it to the end of the process: it cannot be made again.

        Raises:
            OSError, UserError: as ``make``.
        """
        with self._lock:
            entry = self._entries.pop(key, None) or _Entry()
            self._entries[key] = entry
        with entry.lock:
            if entry.file is None or not entry.usable:
                entry.file = make()
                entry.file.flush()
                entry.size = os.fstat(entry.file.fileno()).st_size
                entry.pinned, entry.made = pinned, time.monotonic()
            handle = SpoolHandle(entry.file.fileno())
        self._make_room(entry)
        return cast(BinaryIO, io.BufferedReader(handle, PIECE_BYTES))

    def _make_room(self, newest: _Entry) -> None:
        with self._lock:
            kept = sum(entry.size for entry in self._entries.values())
            for key, entry in list(self._entries.items()):
                if kept <= KEPT_BYTES:
                    return
                if entry is newest or entry.pinned or not entry.lock.acquire(blocking=False):
                    continue
                if entry.file is not None:
                    entry.file.close()
                    kept -= entry.size
                entry.lock.release()
                # Whoever waits for this entry makes the copy again, in an entry that goes with it.
                entry.file, entry.size = None, 0
                del self._entries[key]


SPOOLS = Spools()
"""The copies of this process."""


@dataclass(frozen=True)
class SpooledFile(ByteSource):
    """A place that is read often and from the middle, and can only be streamed.

    Attributes:
        version: something that is another when the place's content is.
    """

    place: ByteSource
    name: str = field(compare=False)
    version: str = ""

    @property
    def file_name(self) -> str:
        """That of the place."""
        return self.place.file_name

    @property
    def identity(self) -> str:
        """That of the place."""
        return self.place.identity

    def open(self) -> BinaryIO:
        """Open the copy."""
        return SPOOLS.open(self, self._copy)

    def _copy(self) -> BinaryIO:
        with self.place.open() as file:
            return spooled(file, self.name)


@dataclass(frozen=True)
class PipeFile(ByteSource):
    """Standard input, or a pipe by its path: what comes from it once is kept for the process."""

    path: str
    name: str = field(compare=False)

    @property
    def file_name(self) -> str:
        """A name without a suffix: the content tells the format."""
        return self.name

    @property
    def identity(self) -> str:
        """The pipe."""
        return f"pipe:{self.path}"

    def open(self) -> BinaryIO:
        """Open the copy; the first time, read the pipe to its end."""
        return SPOOLS.open(self, self._copy, pinned=True)

    def _copy(self) -> BinaryIO:
        if self.path != "-":
            with open(self.path, "rb") as file:  # noqa: PTH123
                return spooled(file, self.name)
        if os.isatty(0):
            raise UserError("standard input is a terminal; pipe a file into it (… | article-flows)")
        with open(0, "rb", closefd=False) as file:
            return spooled(file, self.name)
