"""Files within archives, read in place."""

from __future__ import annotations

import struct
import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import BinaryIO, cast

from tasks.errors import UserError
from tasks.reading.compressed import CODECS, Damaged, Decoder, Inflater, Meter, members
from tasks.reading.places import Place
from tasks.reading.places_streams import StreamedFile, as_is, spooled

_LOCAL_HEADER = struct.Struct("<4s22xHH")
"""What stands before a file in a ZIP archive: mark, ..., lengths of its name and extras."""


ZIP_METHODS: dict[int, Callable[[], Decoder]] = {
    8: lambda: Inflater(-15),
    12: CODECS["bzip2"],
    93: CODECS["zstd"],
}
"""What unpacks a file in a ZIP archive, by the method's number in its specification."""
ZIP_STORED = 0
"""The method of a file that is not compressed."""


@dataclass(frozen=True, kw_only=True)
class ArchiveMember(ABC):
    """A file in an archive.

    Attributes:
        place: of the archive.
        path: the file's name in it.
        offset: where the file begins in the archive, in bytes.
        name: what the user calls the file, for messages.
    """

    place: Place
    path: str
    offset: int
    name: str = field(compare=False)

    @property
    def file_name(self) -> str:
        """The file's name without its folders."""
        return PurePosixPath(self.path).name

    @property
    def identity(self) -> str:
        """The archive's, and where the file is in it."""
        return f"{self.place.identity}!{self.offset}"

    def open(self) -> BinaryIO:
        """Open it as a stream, which tells if the archive is cut or says something else of it."""
        return cast(BinaryIO, StreamedFile(self.place.open_seekable(), self._pieces))

    def open_seekable(self) -> BinaryIO:
        """Unpack it to a temporary file."""
        with self.open() as file:
            return spooled(file, self.name)

    @abstractmethod
    def _pieces(self, archive: BinaryIO) -> Iterator[bytes]:
        """The file's bytes."""


@dataclass(frozen=True, kw_only=True)
class ZipMember(ArchiveMember):
    """A file in a ZIP archive.

    Attributes:
        offset: of its header.
        packed, size, checksum, method: as the archive's directory has them.
    """

    packed: int
    size: int
    checksum: int
    method: int

    def _pieces(self, archive: BinaryIO) -> Iterator[bytes]:
        archive.seek(self.offset)
        header = archive.read(_LOCAL_HEADER.size)
        if len(header) < _LOCAL_HEADER.size or not header.startswith(b"PK\x03\x04"):
            raise UserError(f"{self.name} is not where its archive says; get a good copy of it")
        _, name_bytes, extra_bytes = _LOCAL_HEADER.unpack(header)
        archive.seek(name_bytes + extra_bytes, 1)
        meter = Meter(archive, self.name, self.packed)
        stored = self.method == ZIP_STORED
        pieces = as_is(meter) if stored else members(meter, ZIP_METHODS[self.method])
        return meter.count(self._checked(pieces))

    def _checked(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        checksum = given = 0
        for piece in pieces:
            given += len(piece)
            if given > self.size:
                raise Damaged(f"it holds more than the {self.size:,} bytes that its archive says")
            checksum = zlib.crc32(piece, checksum)
            yield piece
        if given < self.size:
            raise EOFError
        if checksum != self.checksum:
            raise Damaged("its checksum is wrong")


@dataclass(frozen=True, kw_only=True)
class TarMember(ArchiveMember):
    """A file in a TAR archive.

    Attributes:
        offset, size: of its content; the archive is not compressed.
    """

    size: int

    def _pieces(self, archive: BinaryIO) -> Iterator[bytes]:
        archive.seek(self.offset)
        meter = Meter(archive, self.name, self.size)
        yield from as_is(meter)
        if meter.taken < self.size:
            raise UserError(f"{self.name} is cut: its archive ends before it; get a complete copy")
