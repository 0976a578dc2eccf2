"""Detect compressed files, decompress them as streams, and reject decompression bombs."""

from __future__ import annotations

import bz2
import lzma
import re
import sys
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import BinaryIO, Protocol, cast

from article_flows.tasks.common.errors import UserError
from article_flows.tasks.reading.base.byte_source import ByteSource
from article_flows.tasks.reading.base.streams import (
    PIECE_BYTES,
    Inflater,
    StreamedFile,
    copy_to_temporary_file,
)

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

MAX_EXPANSION = 50
"""Ratio of decompressed to compressed size above which a file is a bomb. Articles have 3 to 10,
repetitive JSON 20 to 30, zeros in gzip 1,000."""
MIN_BOMB_BYTES = 1 << 30
"""Decompressed size up to which any ratio is accepted."""
MAX_DECODER_BYTES = 256 << 20
"""Memory that decompressing an .xz may take; the highest usual preset (-9) takes 65 MB."""

_ZSTD = re.compile(rb"\x28\xb5\x2f\xfd|[\x50-\x5f]\x2a\x4d\x18")
_SUFFIXES = {
    ".gz": "gzip",
    ".gzip": "gzip",
    ".zst": "zstd",
    ".zstd": "zstd",
    ".bz2": "bzip2",
    ".xz": "xz",
}
_TAR_SUFFIXES = (".tgz", ".tbz2", ".txz", ".tzst")


class Decoder(Protocol):
    """The interface of the decompressors of `bz2` and `lzma`, for one member of a file."""

    @property
    def eof(self) -> bool:
        """Whether the member is complete."""

    @property
    def needs_input(self) -> bool:
        """Whether no more output is available without more input."""

    @property
    def unused_data(self) -> bytes:
        """Input after the end of the member."""

    def decompress(self, data: bytes, max_length: int) -> bytes:
        """Return at most `max_length` bytes."""


@dataclass
class Meter:
    """A count of the bytes read from a compressed file and decompressed from it.

    Attributes:
        file: The compressed file.
        name: Its name, for messages.
        limit: Number of bytes after which `read` reports the end of the file.
        bytes_in: Bytes that were read.
        bytes_out: Bytes that were decompressed.
    """

    file: BinaryIO
    name: str
    limit: int | None = None
    bytes_in: int = 0
    bytes_out: int = 0

    def read(self, size: int) -> bytes:
        """Read up to `size` bytes; none at the end or the limit."""
        if self.limit is not None:
            size = min(size, self.limit - self.bytes_in)
        data = self.file.read(size) if size else b""
        self.bytes_in += len(data)
        return data

    def count(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        """Pass on and count the decompressed bytes of the file.

        Raises:
            UserError: The file is truncated, corrupt, or a decompression bomb.
        """
        try:
            for piece in pieces:
                self.bytes_out += len(piece)
                reject_bomb(self.name, self.bytes_in, self.bytes_out)
                yield piece
        except EOFError as error:
            raise UserError(
                f"{self.name} ends in the middle of its compressed data, after {self.bytes_out:,} "
                "unpacked bytes; get a complete copy"
            ) from error
        except CorruptData as error:
            raise UserError(
                f"{self.name} is damaged: {error}, after {self.bytes_out:,} unpacked bytes; "
                "get an intact copy"
            ) from error


class CorruptData(Exception):
    """Compressed data that is invalid, or whose checksum is wrong."""


def reject_bomb(name: str, packed: int, unpacked: int) -> None:
    """Raise UserError if the expansion is greater than that of any text; sizes in bytes."""
    if unpacked > MIN_BOMB_BYTES and unpacked > MAX_EXPANSION * packed:
        raise UserError(
            f"{name} unpacks to more than {MAX_EXPANSION} times its size ({packed:,} bytes to at "
            f"least {unpacked:,}), unlike any text; if that is correct, unpack it yourself"
        )


def decompress(meter: Meter, make_decoder: Callable[[], Decoder]) -> Iterator[bytes]:
    """Decompress all concatenated members of a file, in blocks of at most `PIECE_BYTES`.

    Raises:
        EOFError: The file ends within a member.
        CorruptData: The file cannot be decompressed.
    """
    data, first = meter.read(PIECE_BYTES), True
    while data:
        decoder = make_decoder()
        while not decoder.eof:
            if decoder.needs_input and not data:
                data = meter.read(PIECE_BYTES)
                if not data:
                    raise EOFError
            if piece := _decompress(decoder, data, first):
                yield piece
            data = b""
        data, first = decoder.unused_data.lstrip(b"\0"), False
        # Some archivers pad files with NULs to whole blocks.
        while not data and (more := meter.read(PIECE_BYTES)):
            data = more.lstrip(b"\0")


def _decompress(decoder: Decoder, data: bytes, first: bool) -> bytes:
    try:
        return decoder.decompress(data, PIECE_BYTES)
    except (zlib.error, OSError, lzma.LZMAError, zstd.ZstdError, ValueError) as error:
        reason = re.sub(r"^Error -?\d+ while decompressing data: ", "", str(error))
        if any(mark in reason for mark in ("header check", "not supported by", "frame descriptor")):
            reason = "it is not compressed" if first else "other data follows its compressed data"
        elif "data check" in reason or "CRC" in reason:
            reason = "its checksum is wrong"
        reason = " ".join(reason.split()) or "its compressed data cannot be read"
        raise CorruptData(reason) from error


CODECS: dict[str, Callable[[], Decoder]] = {
    "gzip": lambda: Inflater(31),
    "zstd": zstd.ZstdDecompressor,
    "bzip2": bz2.BZ2Decompressor,
    "xz": lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=MAX_DECODER_BYTES),
}
"""Names of compressions to factories of decoders for one member."""


def codec_of(head: bytes) -> str | None:
    """Return the name of the compression of a file by its first bytes, at least 10 of them."""
    if head.startswith(b"\x1f\x8b\x08"):
        return "gzip"
    if _ZSTD.match(head):
        return "zstd"
    if re.match(rb"BZh[1-9](1AY&SY|\x17\x72\x45\x38\x50\x90)", head):
        return "bzip2"
    return "xz" if head.startswith(b"\xfd7zXZ\0") else None


def unpacked_name(file_name: str) -> str:
    """Return a file's name after decompression: ``a.csv`` for ``a.csv.gz``."""
    path = PurePath(file_name)
    if path.suffix.lower() in _TAR_SUFFIXES:
        return f"{path.stem}.tar"
    return path.stem if codec_of_suffix(file_name) else file_name


def codec_of_suffix(file_name: str) -> str | None:
    """Return the name of the compression that a file's suffix indicates, if any."""
    return _SUFFIXES.get(PurePath(file_name).suffix.lower())


@dataclass(frozen=True)
class CompressedFile:
    """The decompressed content of a compressed file.

    Attributes:
        file: The compressed file.
        codec: A key of `CODECS`.
        name: As shown to the user, for messages.
    """

    file: ByteSource
    codec: str
    name: str = field(compare=False)

    @property
    def file_name(self) -> str:
        """The file name without the suffix of the compression."""
        return unpacked_name(self.file.file_name)

    @property
    def identity(self) -> str:
        """The identity of the compressed file."""
        return self.file.identity

    def open(self) -> BinaryIO:
        """Open it as a stream."""
        return cast(BinaryIO, StreamedFile(self.file.open(), self._decompress))

    def open_seekable(self) -> BinaryIO:
        """Decompress it to a temporary file."""
        with self.open() as file:
            return copy_to_temporary_file(file, self.name)

    def _decompress(self, packed: BinaryIO) -> Iterator[bytes]:
        meter = Meter(packed, self.name)
        return meter.count(decompress(meter, CODECS[self.codec]))
