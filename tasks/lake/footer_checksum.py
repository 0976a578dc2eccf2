"""Checksums for Parquet footers: Parquet has one for each page but none for the footer.

A flipped bit in a footer can rename a column, move rows or change their type without an error. So
parts have a checksum after the footer, included in the footer length that the file states. Parquet
readers parse the footer from its start and ignore the rest; the signature of an encrypted file has
the same position: https://parquet.apache.org/docs/file-format/data-pages/encryption/ (5.5).
"""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

_MAGIC = b"PAR1"
_END = struct.Struct("<I4s")
"""The end of a Parquet file: footer length, magic."""
_CHECKSUM = struct.Struct("<4sI")
"""The end of a footer with a checksum: marker, CRC-32 of the bytes before it."""
_MARKER = b"FtrC"
_TAIL_BYTES = 64 << 10
"""Bytes to read from the end at first; they contain most footers."""


def append_footer_checksum(path: Path) -> None:
    """Append a checksum to the footer of a Parquet file."""
    with path.open("r+b") as file:
        size = file.seek(-_END.size, 2)
        length, _ = _END.unpack(file.read(_END.size))
        file.seek(size - length)
        checksum = _CHECKSUM.pack(_MARKER, zlib.crc32(file.read(length)))
        file.seek(size)
        file.write(checksum + _END.pack(length + len(checksum), _MAGIC))


def read_footer(file: Any) -> pq.FileMetaData:
    """Read the footer of an open Parquet file, and verify its checksum if it has one.

    Raises:
        ValueError: The file is truncated, or its footer is damaged.
        OSError: The file cannot be read.
    """
    size = file.seek(0, 2)
    if size < len(_MAGIC) + _END.size:
        raise ValueError(f"it has {size} bytes")
    tail = _read_end(file, size, min(size, _TAIL_BYTES))
    length, magic = _END.unpack(tail[-_END.size :])
    if magic != _MAGIC or length > size - _END.size - len(_MAGIC):
        raise ValueError("it does not end like a Parquet file")
    if length + _END.size > len(tail):
        tail = _read_end(file, size, length + _END.size)
    footer = tail[len(tail) - _END.size - length : -_END.size]
    if length >= _CHECKSUM.size:
        marker, checksum = _CHECKSUM.unpack(footer[-_CHECKSUM.size :])
        if marker == _MARKER and checksum != zlib.crc32(footer[: -_CHECKSUM.size]):
            raise ValueError("the checksum of its footer is wrong")
    return pq.read_metadata(pa.BufferReader(_MAGIC + footer + _END.pack(length, _MAGIC)))


def _read_end(file: Any, size: int, count: int) -> bytes:
    file.seek(size - count)
    content: bytes = file.read(count)
    if len(content) != count:
        raise ValueError("it was truncated while it was read")
    return content
