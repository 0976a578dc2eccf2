"""The size of a source in bytes and rows, counted or estimated; used by `inspection`."""

from __future__ import annotations

import codecs
import io
from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from article_flows.tasks.cleaning.text.to_json import to_json
from article_flows.tasks.common.errors import UserError
from article_flows.tasks.reading.base.byte_source import ByteSource, LocalFile
from article_flows.tasks.reading.base.rows import Record, Source, open_source_seekable
from article_flows.tasks.reading.places.compressed import CODECS, CompressedFile, Meter, decompress

COUNTED_BYTES = 32 << 20
"""Uncompressed size up to which all rows are counted, which takes less than a second.

The rows of larger sources are estimated from the mean size of the inspected rows.
"""
_SAMPLED_BYTES = 4 << 20


@dataclass(frozen=True)
class Size:
    """The size of a source in bytes; None if unknown.

    Attributes:
        stored: Size as stored.
        unpacked: Uncompressed size.
        compression: Name of the compression, empty if there is none.
    """

    stored: int | None
    unpacked: int | None
    compression: str = ""


def size_of(source: ByteSource) -> Size:
    """Return the size of a source; the uncompressed size is extrapolated."""
    if isinstance(source, CompressedFile):
        stored = size_of(source.file).stored
        return Size(stored, _unpacked(source, stored), source.codec)
    declared = getattr(source, "size", None)
    if isinstance(declared, int):
        # A member of an archive, whose directory has both sizes.
        packed = getattr(source, "packed", declared)
        return Size(packed, declared, "zip" if hasattr(source, "packed") else "tar")
    try:
        if isinstance(source, LocalFile):
            size = source.path.stat().st_size
        else:
            with source.open_seekable() as file:
                size = file.seek(0, io.SEEK_END)
    except (OSError, UserError):
        return Size(None, None)
    return Size(size, size)


def _unpacked(source: CompressedFile, stored: int | None) -> int | None:
    """Extrapolate the uncompressed size from the start of a file."""
    try:
        with source.file.open() as packed:
            meter = Meter(packed, source.name)
            for _ in meter.count(decompress(meter, CODECS[source.codec])):
                if meter.bytes_out >= _SAMPLED_BYTES:
                    return round(meter.bytes_out * stored / meter.bytes_in) if stored else None
    except (OSError, UserError):
        return None
    return meter.bytes_out


def parquet_rows(source: Source) -> int | None:
    """Return the number of rows in a Parquet file's footer; None if it cannot be read."""
    try:
        with open_source_seekable(source) as file:
            return int(pq.ParquetFile(file).metadata.num_rows)
    except (pa.ArrowException, OSError, UserError):
        return None


def mean_row_bytes(records: Sequence[Record], encoding: str) -> float:
    """Return the approximate mean size of a row: its size as JSON in the file's encoding.

    Args:
        records: The rows.
        encoding: May be followed by a remark, as in ``gb18030 (guessed)``.
    """
    try:
        codec = codecs.lookup(encoding.split()[0] if encoding else "utf-8").name
    except LookupError:
        codec = "utf-8"
    size = sum(len(to_json(each).encode(codec, errors="resource")) for each in records)
    return size / len(records) if records else 0.0
