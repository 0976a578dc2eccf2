"""A base class for read-only raw files with random access, which readers and storages wrap."""

import errno
import io
import os


class RawReadOnlyFile(io.RawIOBase):
    """A seekable raw file of known size; subclasses implement `readinto` at ``self._position``.

    Args:
        size: Of the file, in bytes.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._position = 0

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move the position of the next read and return it.

        Raises:
            OSError: The new position would be negative.
        """
        bases = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}
        position = bases[whence] + offset
        if position < 0:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        self._position = position
        return position
