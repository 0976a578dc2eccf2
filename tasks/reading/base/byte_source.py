"""The protocol that every kind of byte source implements, and local files, the simplest kind."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol


class ByteSource(Protocol):
    """Bytes that can be read from the start any number of times; hashable and small.

    A class that inherits from it explicitly gets an `open_seekable` that calls `open`.
    """

    @property
    def file_name(self) -> str:
        """The last part of its name, whose suffix may indicate the format: ``a.csv``."""

    @property
    def identity(self) -> str:
        """Equal for two sources of the same bytes, so that a file is loaded only once."""

    def open(self) -> BinaryIO:
        """Open it for buffered reading; only ``seek(0)`` is guaranteed to work.

        Raises:
            OSError: It cannot be read.
            UserError: It cannot be read, and the message says what to do.
        """

    def open_seekable(self) -> BinaryIO:
        """Open it for random access, for formats that are read from their end.

        A source that can only be streamed is first copied to a temporary file, which is deleted
        when the handle is closed.
        """
        return self.open()


@dataclass(frozen=True)
class LocalFile(ByteSource):
    """A file on this machine."""

    path: Path

    @property
    def file_name(self) -> str:
        """The file's name without its folder."""
        return self.path.name

    @property
    def identity(self) -> str:
        """The path with symbolic links resolved."""
        return os.path.realpath(self.path)

    def open(self) -> BinaryIO:
        """Open the file."""
        return self.path.open("rb")
