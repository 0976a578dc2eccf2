"""Footers of parts with a checksum: Parquet has one for each page, and none for its footer.

A bit that flips there can rename a column, move rows or change their type without an error. So a
checksum follows the footer, within the length that the file gives for it. Any reader of Parquet
takes the footer from the front and leaves the rest; the signature of an encrypted file stands at
the same place. https://parquet.apache.org/docs/file-format/data-pages/encryption/ (5.5)
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
"""How a Parquet file ends: length of the footer, magic."""
_SEAL = struct.Struct("<4sI")
"""How a sealed footer ends: mark, CRC-32 of what is before it."""
_MARK = b"FtrC"
_TAIL = 64 << 10
"""Bytes that are read at once from the end: most footers with what follows."""


def append_footer_checksum(path: Path) -> None:
    """Put a checksum behind the footer of a Parquet file."""
    with path.open("r+b") as file:
        size = file.seek(-_END.size, 2)
        length, _ = _END.unpack(file.read(_END.size))
        file.seek(size - length)
        seal = _SEAL.pack(_MARK, zlib.crc32(file.read(length)))
        file.seek(size)
        file.write(seal + _END.pack(length + len(seal), _MAGIC))


def read_footer(file: Any) -> pq.FileMetaData:
    """The footer of an open Parquet file, compared with its checksum if it has one.

    Raises:
        ValueError: the file is cut, or its footer is damaged.
        OSError: it cannot be read.
    """
    size = file.seek(0, 2)
    if size < len(_MAGIC) + _END.size:
        raise ValueError(f"it has {size} bytes")
    tail = _read_end(file, size, min(size, _TAIL))
    length, magic = _END.unpack(tail[-_END.size :])
    if magic != _MAGIC or length > size - _END.size - len(_MAGIC):
        raise ValueError("it does not end as Parquet files do")
    if length + _END.size > len(tail):
        tail = _read_end(file, size, length + _END.size)
    footer = tail[len(tail) - _END.size - length : -_END.size]
    if length >= _SEAL.size:
        mark, checksum = _SEAL.unpack(footer[-_SEAL.size :])
        if mark == _MARK and checksum != zlib.crc32(footer[: -_SEAL.size]):
            raise ValueError("the checksum of its footer is wrong")
    return pq.read_metadata(pa.BufferReader(_MAGIC + footer + _END.pack(length, _MAGIC)))


def _read_end(file: Any, size: int, count: int) -> bytes:
    file.seek(size - count)
    content: bytes = file.read(count)
    if len(content) != count:
        raise ValueError("it was cut while it was read")
    return content
