"""`DiskReserve`: disk space for the answers that are in flight when the disk fills up."""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path

_BYTES_PER_REQUEST = 16 << 10
_MIN_BYTES, _MAX_BYTES = 1 << 20, 64 << 20
_CHUNK_BYTES = 1 << 20


def reserve_bytes(max_in_flight: int) -> int:
    """Return the bytes to reserve for the outcomes of concurrent requests.

    16 KiB per request, between 1 and 64 MiB in total. An outcome of 2,000 output tokens is about
    10 KB of JSON; most are below 2 KB.
    """
    return min(max(max_in_flight * _BYTES_PER_REQUEST, _MIN_BYTES), _MAX_BYTES)


class DiskReserve:
    """A file that occupies disk space until it is released. Safe to use from several threads.

    The file of a killed run at the same path is reused.

    Args:
        path: The file.
        size: The bytes to occupy; 0 for no reserve.
    """

    def __init__(self, path: Path, size: int) -> None:
        self._path = path
        self._size = size
        self._allocated = False
        self._lock = threading.Lock()

    def allocate(self) -> None:
        """Occupy the space.

        Raises:
            OSError: The disk has too little space, or the folder cannot be written; no file is
                left behind.
        """
        if not self._size:
            return
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        try:
            _fill(descriptor, self._size)
        except OSError:
            self._path.unlink(missing_ok=True)
            raise
        finally:
            os.close(descriptor)
        self._allocated = True

    def release(self) -> bool:
        """Free the space; return whether there was any to free."""
        with self._lock:
            allocated, self._allocated = self._allocated, False
            if allocated:
                # On a full copy-on-write file system, even deleting a file may need space.
                try:
                    self._path.unlink(missing_ok=True)
                except OSError:
                    os.truncate(self._path, 0)
            return allocated


def _fill(descriptor: int, size: int) -> None:
    fallocate = getattr(os, "posix_fallocate", None)  # missing on macOS
    if fallocate is not None:
        try:
            fallocate(descriptor, 0, size)
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.EOPNOTSUPP):
                raise
    # Where allocation is not supported, write random bytes, which the file system cannot compress.
    if os.fstat(descriptor).st_blocks * 512 < size:
        remaining = size
        os.lseek(descriptor, 0, os.SEEK_SET)
        while remaining:
            remaining -= os.write(descriptor, os.urandom(min(remaining, _CHUNK_BYTES)))
        os.fsync(descriptor)
