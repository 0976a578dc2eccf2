"""Where the bytes of a source are: every kind of place opens the same way."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol


class ByteSource(Protocol):
    """Something that can be read from its start as often as one likes; hashable and small.

    What inherits from it explicitly needs no `open_seekable` of its own where `open` will do.

    Attributes:
        file_name: the last part of its name, whose suffix may tell a format: ``a.csv``.
    """

    @property
    def file_name(self) -> str:
        """The last part of its name."""

    @property
    def identity(self) -> str:
        """The same for two places that are one: a file that two patterns match comes once."""

    def open(self) -> BinaryIO:
        """Open it for reading, buffered; ``seek(0)`` always works, other seeks on plain files only.

        Raises:
            OSError: it cannot be read.
            UserError: it cannot be read, and the message says what to do.
        """

    def open_seekable(self) -> BinaryIO:
        """The same with any seeks at a fair price, for formats that begin at their end.

        What can only be streamed is copied to a temporary file first, which goes with the handle.
        """
        return self.open()


@dataclass(frozen=True)
class LocalFile(ByteSource):
    """A file of this machine."""

    path: Path

    @property
    def file_name(self) -> str:
        """The file's name without its folder."""
        return self.path.name

    @property
    def identity(self) -> str:
        """The path without links."""
        return os.path.realpath(self.path)

    def open(self) -> BinaryIO:
        """Open the file."""
        return self.path.open("rb")
