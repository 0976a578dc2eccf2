"""List and read the files in ZIP and TAR archives; nothing is ever extracted to their paths."""

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
from article_flows.tasks.reading.base.streams import (
    Inflater,
    StreamedFile,
    copy_to_temporary_file,
    read_blocks,
)
from article_flows.tasks.reading.places.compressed import (
    CODECS,
    CorruptData,
    Decoder,
    Meter,
    decompress,
    reject_bomb,
)

_OFFICE_SUFFIXES = (".xlsx", ".xlsm", ".xlsb", ".ods", ".docx", ".pptx", ".odt", ".epub", ".jar")
_OFFICE_FILES = {"[Content_Types].xml", "mimetype", "META-INF/MANIFEST.MF"}
_METHOD_NAMES = {1: "Shrink", 6: "Implode", 9: "Deflate64", 14: "LZMA", 98: "PPMd", 99: "AES"}
_ENCRYPTED, _UTF8 = 0x1, 0x800
_LOCAL_HEADER = struct.Struct("<4s22xHH")
"""The header before a file in a ZIP archive: signature, …, lengths of its name and extra field."""
_ZIP_METHODS: dict[int, Callable[[], Decoder]] = {
    8: lambda: Inflater(-15),
    12: CODECS["bzip2"],
    93: CODECS["zstd"],
}
"""Decoder factories by compression method (APPNOTE.TXT 4.4.5)."""
_ZIP_STORED = 0
"""The method of files that are not compressed."""


@dataclass(frozen=True, kw_only=True)
class ArchiveMember(ABC):
    """A file in an archive.

    Attributes:
        path: The file's path in the archive.
        offset: Position in the archive where the file begins, in bytes.
        name: As shown to the user, for messages.
    """

    archive: ByteSource
    path: str
    offset: int
    name: str = field(compare=False)

    @property
    def file_name(self) -> str:
        """The file's name without its folders."""
        return PurePosixPath(self.path).name

    @property
    def identity(self) -> str:
        """The identity of the archive, and the file's offset in it."""
        return f"{self.archive.identity}!{self.offset}"

    def open(self) -> BinaryIO:
        """Open it as a stream; reading raises UserError if the archive is truncated or corrupt."""
        return cast(BinaryIO, StreamedFile(self.archive.open_seekable(), self._extract))

    def open_seekable(self) -> BinaryIO:
        """Extract it to a temporary file."""
        with self.open() as file:
            return copy_to_temporary_file(file, self.name)

    @abstractmethod
    def _extract(self, archive: BinaryIO) -> Iterator[bytes]:
        """Yield the file's content."""


@dataclass(frozen=True, kw_only=True)
class ZipMember(ArchiveMember):
    """A file in a ZIP archive.

    Attributes:
        offset: Of its local header.
        packed: Compressed size in bytes, from the archive's directory like the following.
        size: Uncompressed size in bytes.
        checksum: CRC-32 of the uncompressed content.
        method: Number of the compression method.
    """

    packed: int
    size: int
    checksum: int
    method: int

    def _extract(self, archive: BinaryIO) -> Iterator[bytes]:
        archive.seek(self.offset)
        header = archive.read(_LOCAL_HEADER.size)
        if len(header) < _LOCAL_HEADER.size or not header.startswith(b"PK\x03\x04"):
            raise UserError(
                f"{self.name} is not where its archive's directory points; get an intact copy"
            )
        _, name_bytes, extra_bytes = _LOCAL_HEADER.unpack(header)
        archive.seek(name_bytes + extra_bytes, 1)
        meter = Meter(archive, self.name, self.packed)
        is_stored = self.method == _ZIP_STORED
        pieces = read_blocks(meter) if is_stored else decompress(meter, _ZIP_METHODS[self.method])
        return meter.count(self._verify(pieces))

    def _verify(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        """Pass on the content, and check its size and checksum against the directory."""
        checksum = size = 0
        for piece in pieces:
            size += len(piece)
            if size > self.size:
                raise CorruptData(f"it has more than the {self.size:,} bytes its archive declares")
            checksum = zlib.crc32(piece, checksum)
            yield piece
        if size < self.size:
            raise EOFError
        if checksum != self.checksum:
            raise CorruptData("its checksum is wrong")


@dataclass(frozen=True, kw_only=True)
class TarMember(ArchiveMember):
    """A file in a TAR archive.

    Attributes:
        offset: Of its content in the uncompressed archive.
        size: Of its content, in bytes.
    """

    size: int

    def _extract(self, archive: BinaryIO) -> Iterator[bytes]:
        archive.seek(self.offset)
        meter = Meter(archive, self.name, self.size)
        yield from read_blocks(meter)
        if meter.bytes_in < self.size:
            raise UserError(
                f"{self.name} is truncated: its archive ends before it; get a complete copy"
            )


@dataclass(frozen=True)
class Member:
    """An entry of an archive's listing.

    Attributes:
        path: Its path in the archive, with ``/``. Not trusted: it may be ``../../etc/passwd``.
            Empty for the point where the archive is damaged.
        file: Its content; None if it cannot be read.
        reason: Why it cannot be read.
    """

    path: str
    file: ByteSource | None
    reason: str = ""


def archive_kind(head: bytes, file_name: str) -> str | None:
    """Return ``zip`` or ``tar`` for an archive, by its first 512 bytes; else None.

    Office files, which are ZIP archives, are excluded by suffix here and by content in
    `zip_members`.
    """
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08")):
        return None if file_name.lower().endswith(_OFFICE_SUFFIXES) else "zip"
    if head[257:262] == b"ustar":
        return "tar"
    return None


def zip_members(archive: ByteSource, name: str) -> list[Member] | None:
    """List the files in a ZIP archive, in order; return None if it is an office file.

    Args:
        name: As shown to the user, for messages.

    Raises:
        UserError: The archive is damaged, or a decompression bomb.
        OSError: It cannot be read.
    """
    with archive.open_seekable() as file:
        infos, size = _directory(file, name)
    if _OFFICE_FILES & {info.filename for info in infos[:20]}:
        return None
    reject_bomb(name, size, sum(info.file_size for info in infos))
    _reject_overlaps(infos, name)
    return [_zip_member(info, archive, name) for info in infos if not info.is_dir()]


def _directory(file: BinaryIO, name: str) -> tuple[list[zipfile.ZipInfo], int]:
    try:
        with zipfile.ZipFile(file) as archive:
            return archive.infolist(), file.seek(0, 2)
    except (zipfile.BadZipFile, NotImplementedError, ValueError, UnicodeDecodeError) as error:
        raise UserError(
            f"{name} is a damaged ZIP archive ({error}); get a complete copy, or repair it "
            "(zip -FF)"
        ) from error


def _reject_overlaps(infos: list[zipfile.ZipInfo], name: str) -> None:
    """Raise UserError if files share content, as in https://www.bamsoftware.com/hacks/zipbomb/."""
    end, previous = 0, ""
    for info in sorted(infos, key=lambda each: each.header_offset):
        if info.header_offset < end:
            raise UserError(
                f"{name} is not read: {_path_of(info)} overlaps with {previous} in it, which is "
                "typical of a ZIP bomb; get an intact copy"
            )
        end, previous = info.header_offset + 30 + info.compress_size, _path_of(info)


def _zip_member(info: zipfile.ZipInfo, archive: ByteSource, name: str) -> Member:
    path = _path_of(info)
    if reason := _unreadable_reason(info):
        return Member(path, None, reason)
    return Member(
        path,
        ZipMember(
            archive=archive,
            path=path,
            offset=info.header_offset,
            packed=info.compress_size,
            size=info.file_size,
            checksum=info.CRC,
            method=info.compress_type,
            name=f"{name}/{path}",
        ),
    )


def _unreadable_reason(info: zipfile.ZipInfo) -> str:
    if info.flag_bits & _ENCRYPTED:
        return "is encrypted; unpack the archive with its password (unzip -P)"
    if info.compress_type not in (_ZIP_STORED, *_ZIP_METHODS):
        method = _METHOD_NAMES.get(info.compress_type, str(info.compress_type))
        return f"is compressed with an unsupported method ({method}); unpack it (7z x)"
    if stat.S_ISLNK(info.external_attr >> 16):
        return "is a link"
    return ""


def _path_of(info: zipfile.ZipInfo) -> str:
    """Return a file's path, decoded as UTF-8 even without its flag, which macOS does not set."""
    path = info.filename
    if not info.flag_bits & _UTF8:
        try:
            path = path.encode("cp437").decode()
        except UnicodeError:
            return path
    return path


def tar_members(archive: ByteSource, name: str) -> list[Member]:
    """List the files in a TAR archive, in order.

    Args:
        archive: The archive, not compressed; reading each of its files opens it again.
        name: As shown to the user, for messages.

    Raises:
        UserError: The archive is damaged before its first file.
        OSError: It cannot be read.
    """
    found: list[Member] = []
    with archive.open_seekable() as file:
        try:
            for member in _tar_listing(file, archive, name):
                found.append(member)  # One by one, to keep the files before an error.
        except (tarfile.TarError, EOFError, ValueError) as error:
            damage = f"is a damaged TAR archive ({error}); get a complete copy"
            if not found:
                raise UserError(f"{name} {damage}") from error
            found.append(Member("", None, damage))
    return found


def _tar_listing(file: BinaryIO, archive: ByteSource, name: str) -> Iterator[Member]:
    archive_size = file.seek(0, 2)
    file.seek(0)
    with tarfile.open(fileobj=file, mode="r:") as tar:
        for info in tar:
            # tarfile keeps every entry that it has read: a million would take a gigabyte.
            tar.members = []  # type: ignore[attr-defined]  # documented as a way to do so
            path = info.name.encode(errors="surrogateescape").decode(errors="replace")
            if info.isdir():
                continue
            if info.issym() or info.islnk():
                yield Member(path, None, "is a link")
            elif not info.isreg() or info.issparse():
                yield Member(path, None, "is not a regular file")
            elif info.offset_data + info.size > archive_size:
                reason = f"is truncated: {name} ends before it; get a complete copy"
                yield Member(path, None, reason)
            else:
                content = TarMember(
                    archive=archive,
                    path=path,
                    offset=info.offset_data,
                    size=info.size,
                    name=f"{name}/{path}",
                )
                yield Member(path, content)
