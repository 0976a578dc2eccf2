"""Files in compressed form: told by their first bytes, unpacked on the way, bombs refused."""

from __future__ import annotations

import bz2
import lzma
import re
import sys
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any, BinaryIO, Protocol, cast

from article_flows.tasks.common.errors import UserError
from article_flows.tasks.reading.base.byte_source import ByteSource
from article_flows.tasks.reading.base.streams import PIECE_BYTES, Inflater, StreamedFile, spooled

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

MAX_EXPANSION = 50
"""Unpacked over packed size beyond which a file is no data: text of articles gives 3 to 10,
repetitive JSON 20 to 30, a file of zeros in gzip 1,000."""
MIN_BOMB_BYTES = 1 << 30
"""Up to this unpacked size a file may be of any expansion."""
DECODER_BYTES = 256 << 20
"""Memory that an .xz may ask for; its strongest usual setting (-9) takes 65 MB."""

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
    """What `bz2` and `lzma` call a decompressor: one member of a file."""

    @property
    def eof(self) -> bool:
        """Whether the member is complete."""

    @property
    def needs_input(self) -> bool:
        """Whether there is nothing more to give without more input."""

    @property
    def unused_data(self) -> bytes:
        """What came behind the member."""

    def decompress(self, data: bytes, max_length: int) -> bytes:
        """Give at most so many bytes."""


@dataclass
class Meter:
    """A file that is unpacked, how much of it was read, and how much has come of that.

    Attributes:
        limit: bytes to read at most.
    """

    file: BinaryIO
    name: str
    limit: int | None = None
    taken: int = 0
    given: int = 0

    def read(self, size: int) -> bytes:
        """The next bytes, none at the end or limit."""
        if self.limit is not None:
            size = min(size, self.limit - self.taken)
        data = self.file.read(size) if size else b""
        self.taken += len(data)
        return data

    def count(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        """Pass on what is unpacked; raises UserError when it is a bomb, or cannot go on."""
        try:
            for piece in pieces:
                self.given += len(piece)
                refuse_bomb(self.name, self.taken, self.given)
                yield piece
        except EOFError as error:
            raise UserError(
                f"{self.name} ends in the middle of its compressed data, after {self.given:,} "
                "unpacked bytes; get a complete copy"
            ) from error
        except Damaged as error:
            raise UserError(
                f"{self.name} is damaged: {error}, after {self.given:,} unpacked bytes; "
                "get a good copy"
            ) from error


class Damaged(Exception):
    """Compressed data is not such, or gives something else than was packed."""


def refuse_bomb(name: str, packed: int, unpacked: int) -> None:
    """Raise UserError for what is blown up beyond anything that text could be."""
    if unpacked > MIN_BOMB_BYTES and unpacked > MAX_EXPANSION * packed:
        raise UserError(
            f"{name} unpacks to more than {MAX_EXPANSION} times its size ({packed:,} bytes give "
            f"{unpacked:,} or more), as no text does; unpack it yourself if that is right"
        )


def members(meter: Meter, new: Callable[[], Decoder]) -> Iterator[bytes]:
    """Unpack all members of a compressed file, one behind the other, in bounded pieces."""
    data, first = meter.read(PIECE_BYTES), True
    while data:
        decoder = new()
        while not decoder.eof:
            if decoder.needs_input and not data:
                data = meter.read(PIECE_BYTES)
                if not data:
                    raise EOFError
            if piece := _decompress(decoder, data, first):
                yield piece
            data = b""
        data, first = decoder.unused_data.lstrip(b"\0"), False
        # Archivers fill up to whole blocks with NULs.
        while not data and (more := meter.read(PIECE_BYTES)):
            data = more.lstrip(b"\0")


def _decompress(decoder: Decoder, data: bytes, first: bool) -> bytes:
    try:
        return decoder.decompress(data, PIECE_BYTES)
    except (zlib.error, OSError, lzma.LZMAError, zstd.ZstdError, ValueError) as error:
        said = re.sub(r"^Error -?\d+ while decompressing data: ", "", str(error))
        if any(mark in said for mark in ("header check", "not supported by", "frame descriptor")):
            said = "no compressed data" if first else "something else follows its compressed data"
        elif "data check" in said or "CRC" in said:
            said = "its checksum is wrong"
        raise Damaged(" ".join(said.split()) or "its compressed data cannot be read") from error


CODECS: dict[str, Callable[[], Decoder]] = {
    "gzip": lambda: Inflater(31),
    "zstd": zstd.ZstdDecompressor,
    "bzip2": bz2.BZ2Decompressor,
    "xz": lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=DECODER_BYTES),
}
"""By name, what unpacks one member of a file."""


def codec_of(head: bytes) -> str | None:
    """Name the compression of a file by its first bytes, at least 10 of them."""
    if head.startswith(b"\x1f\x8b\x08"):
        return "gzip"
    if _ZSTD.match(head):
        return "zstd"
    if re.match(rb"BZh[1-9](1AY&SY|\x17\x72\x45\x38\x50\x90)", head):
        return "bzip2"
    return "xz" if head.startswith(b"\xfd7zXZ\0") else None


def unpacked_name(file_name: str) -> str:
    """What a file is called once it is unpacked: ``a.csv`` for ``a.csv.gz``."""
    path = PurePath(file_name)
    if path.suffix.lower() in _TAR_SUFFIXES:
        return f"{path.stem}.tar"
    return path.stem if codec_of_suffix(file_name) else file_name


def codec_of_suffix(file_name: str) -> str | None:
    """Name the compression that a file's name tells, if any."""
    return _SUFFIXES.get(PurePath(file_name).suffix.lower())


@dataclass(frozen=True)
class CompressedFile:
    """A compressed file, whose bytes are those that were packed.

    Attributes:
        place: the packed file.
        codec: one of `CODECS`.
        name: what the user calls it, for messages.
    """

    place: ByteSource
    codec: str
    name: str = field(compare=False)

    @property
    def file_name(self) -> str:
        """The name without the suffix of the compression."""
        return unpacked_name(self.place.file_name)

    @property
    def identity(self) -> str:
        """That of the packed file."""
        return self.place.identity

    def open(self) -> BinaryIO:
        """Open it as a stream."""
        return cast(BinaryIO, StreamedFile(self.place.open(), self._pieces))

    def open_seekable(self) -> BinaryIO:
        """Unpack it to a temporary file."""
        with self.open() as file:
            return spooled(file, self.name)

    def _pieces(self, packed: Any) -> Iterator[bytes]:
        meter = Meter(packed, self.name)
        return meter.count(members(meter, CODECS[self.codec]))
