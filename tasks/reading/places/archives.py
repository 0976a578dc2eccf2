"""Archives whose files are sources of their own; nothing is ever written under a file's name."""

from __future__ import annotations

import stat
import struct
import tarfile
import zipfile
import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import BinaryIO, cast

from article_flows.tasks.common.errors import UserError
from article_flows.tasks.reading.base.byte_source import ByteSource
from article_flows.tasks.reading.base.streams import Inflater, StreamedFile, as_is, spooled
from article_flows.tasks.reading.places.compressed import (
    CODECS,
    Damaged,
    Decoder,
    Meter,
    members,
    refuse_bomb,
)

_OFFICE_SUFFIXES = (".xlsx", ".xlsm", ".xlsb", ".ods", ".docx", ".pptx", ".odt", ".epub", ".jar")
_OFFICE_FILES = {"[Content_Types].xml", "mimetype", "META-INF/MANIFEST.MF"}
_METHOD_NAMES = {1: "Shrink", 6: "Implode", 9: "Deflate64", 14: "LZMA", 98: "PPMd", 99: "AES"}
_ENCRYPTED, _UTF8 = 0x1, 0x800
_LOCAL_HEADER = struct.Struct("<4s22xHH")
"""What stands before a file in a ZIP archive: mark, ..., lengths of its name and extras."""
_ZIP_METHODS: dict[int, Callable[[], Decoder]] = {
    8: lambda: Inflater(-15),
    12: CODECS["bzip2"],
    93: CODECS["zstd"],
}
"""What unpacks a file in a ZIP archive, by the method's number in its specification."""
_ZIP_STORED = 0
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

    place: ByteSource
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
        stored = self.method == _ZIP_STORED
        pieces = as_is(meter) if stored else members(meter, _ZIP_METHODS[self.method])
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


@dataclass(frozen=True)
class Member:
    """A file in an archive: where it is, or why it cannot be read.

    Attributes:
        path: its name in the archive, with ``/``; may be anything, also ``../../etc/passwd``;
            empty where the archive itself breaks off.
    """

    path: str
    place: ByteSource | None
    reason: str = ""


def archive_kind(head: bytes, file_name: str) -> str | None:
    """Tell ``zip`` and ``tar`` by a file's first 512 bytes; office files are ZIP, and no archives.

    A ZIP may still be an office file: `zip_members` knows.
    """
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08")):
        return None if file_name.lower().endswith(_OFFICE_SUFFIXES) else "zip"
    if head[257:262] == b"ustar":
        return "tar"
    return None


def zip_members(place: ByteSource, name: str) -> list[Member] | None:
    """List the files in a ZIP archive, in order; None if it is an office file.

    Args:
        place: of the archive.
        name: what the user calls it, for messages.

    Raises:
        UserError: it is damaged, or a bomb.
        OSError: it cannot be read.
    """
    with place.open_seekable() as file:
        infos, size = _directory(file, name)
    if _OFFICE_FILES & {info.filename for info in infos[:20]}:
        return None
    refuse_bomb(name, size, sum(info.file_size for info in infos))
    _refuse_overlaps(infos, name)
    return [_zip_member(info, place, name) for info in infos if not info.is_dir()]


def _directory(file: BinaryIO, name: str) -> tuple[list[zipfile.ZipInfo], int]:
    try:
        with zipfile.ZipFile(file) as archive:
            return archive.infolist(), file.seek(0, 2)
    except (zipfile.BadZipFile, NotImplementedError, ValueError, UnicodeDecodeError) as error:
        raise UserError(
            f"{name} is a damaged ZIP archive ({error}); get a complete copy, or mend it (zip -FF)"
        ) from error


def _refuse_overlaps(infos: list[zipfile.ZipInfo], name: str) -> None:
    end, before = 0, ""
    for info in sorted(infos, key=lambda each: each.header_offset):
        if info.header_offset < end:
            raise UserError(
                f"{name} is not read: {_path_of(info)} lies within {before} in it, as in no "
                "honest archive; get a good copy"
            )
        end, before = info.header_offset + 30 + info.compress_size, _path_of(info)


def _zip_member(info: zipfile.ZipInfo, place: ByteSource, name: str) -> Member:
    path = _path_of(info)
    if reason := _refusal(info):
        return Member(path, None, reason)
    return Member(
        path,
        ZipMember(
            place=place,
            path=path,
            offset=info.header_offset,
            packed=info.compress_size,
            size=info.file_size,
            checksum=info.CRC,
            method=info.compress_type,
            name=f"{name}/{path}",
        ),
    )


def _refusal(info: zipfile.ZipInfo) -> str:
    if info.flag_bits & _ENCRYPTED:
        return "is encrypted; unpack the archive with its password (unzip -P)"
    if info.compress_type not in (_ZIP_STORED, *_ZIP_METHODS):
        method = _METHOD_NAMES.get(info.compress_type, str(info.compress_type))
        return f"is packed by a method that cannot be read ({method}); unpack it (7z x)"
    if stat.S_ISLNK(info.external_attr >> 16):
        return "is a link"
    return ""


def _path_of(info: zipfile.ZipInfo) -> str:
    """The name of a file, in UTF-8 also where a Mac has not said that it is."""
    path = info.filename
    if not info.flag_bits & _UTF8:
        try:
            path = path.encode("cp437").decode()
        except UnicodeError:
            return path
    return path


def tar_members(place: ByteSource, name: str) -> list[Member]:
    """List the files in a TAR archive, in order.

    Args:
        place: of the archive, not compressed; opened from the middle for each of its files.
        name: what the user calls it, for messages.

    Raises:
        UserError: it is damaged.
        OSError: it cannot be read.
    """
    found: list[Member] = []
    with place.open_seekable() as file:
        try:
            for member in _tar_listing(file, place, name):
                found.append(member)  # What comes before an error counts.
        except (tarfile.TarError, EOFError, ValueError) as error:
            damage = f"is a damaged TAR archive ({error}); get a complete copy"
            if not found:
                raise UserError(f"{name} {damage}") from error
            found.append(Member("", None, damage))
    return found


def _tar_listing(file: BinaryIO, place: ByteSource, name: str) -> Iterator[Member]:
    size = file.seek(0, 2)
    file.seek(0)
    with tarfile.open(fileobj=file, mode="r:") as archive:
        for info in archive:
            # tarfile keeps all it has seen: a million files would be a gigabyte.
            archive.members = []  # type: ignore[attr-defined]  # documented as a way to do so
            path = info.name.encode(errors="surrogateescape").decode(errors="replace")
            if info.isdir():
                continue
            if info.issym() or info.islnk():
                yield Member(path, None, "is a link")
            elif not info.isreg() or info.issparse():
                yield Member(path, None, "is no ordinary file")
            elif info.offset_data + info.size > size:
                yield Member(path, None, f"is cut: {name} ends before it; get a complete copy")
            else:
                label = f"{name}/{path}"
                yield Member(
                    path,
                    TarMember(
                        place=place, path=path, offset=info.offset_data, size=info.size, name=label
                    ),
                )
