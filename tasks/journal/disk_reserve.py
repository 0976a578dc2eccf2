"""Disk space set aside for the answers that are in flight when the disk fills up."""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path

_PER_REQUEST = 16 << 10
_LEAST, _MOST = 1 << 20, 64 << 20
_CHUNK = 1 << 20


def reserve_bytes(max_in_flight: int) -> int:
    """Room for what so many requests may bring: 16 KiB each, between 1 and 64 MiB in all.

    An outcome of 2,000 output tokens is about 10 KB of JSON; most are below 2 KB.
    """
    return min(max(max_in_flight * _PER_REQUEST, _LEAST), _MOST)


class DiskReserve:
    """A file that only takes up room, until it is released. Safe to use from several threads.

    What a killed run left of the same path is taken over.
    """

    def __init__(self, path: Path, size: int) -> None:
        self._path = path
        self._size = size
        self._held = False
        self._lock = threading.Lock()

    def take(self) -> None:
        """Set the room aside; none where the size is 0.

        Raises:
            OSError: the disk has no such room, or the folder cannot be written; nothing is left
                behind.
        """
        if not self._size:
            return
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        try:
            _allocate(descriptor, self._size)
        except OSError:
            self._path.unlink(missing_ok=True)
            raise
        finally:
            os.close(descriptor)
        self._held = True

    def release(self) -> bool:
        """Give the room back; True if there was any."""
        with self._lock:
            held, self._held = self._held, False
            if held:
                # On a full file system that copies on write, removing a file may need room itself.
                try:
                    self._path.unlink(missing_ok=True)
                except OSError:
                    os.truncate(self._path, 0)
            return held


def _allocate(descriptor: int, size: int) -> None:
    allocate = getattr(os, "posix_fallocate", None)  # a Mac has none
    if allocate is not None:
        try:
            allocate(descriptor, 0, size)
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.EOPNOTSUPP):
                raise
    # File systems that cannot allocate are made to by bytes that they cannot compress either.
    if os.fstat(descriptor).st_blocks * 512 < size:
        left = size
        os.lseek(descriptor, 0, os.SEEK_SET)
        while left:
            left -= os.write(descriptor, os.urandom(min(left, _CHUNK)))
        os.fsync(descriptor)
