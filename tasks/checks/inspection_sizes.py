"""How large a source is, and how many rows it has: counted where that is cheap, else estimated."""

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
from article_flows.tasks.reading.base.rows import Record, Source, opened_seekable
from article_flows.tasks.reading.places.compressed import CODECS, CompressedFile, Meter, members

COUNTED_BYTES = 32 << 20
"""A source up to this size (unpacked) is read to its end and its rows are counted: under a second.

Beyond, rows are estimated by the bytes of those that were looked at.
"""
_UNPACKED_BYTES = 4 << 20


@dataclass(frozen=True)
class Size:
    """The size of a source in bytes, as it lies there and unpacked; None: not known.

    ``compression`` names what it is packed with; empty: nothing.
    """

    stored: int | None
    unpacked: int | None
    compression: str = ""


def size_of(place: ByteSource) -> Size:
    """Find the size of a source; of a compressed one the unpacked size is extrapolated."""
    if isinstance(place, CompressedFile):
        stored = size_of(place.place).stored
        return Size(stored, _unpacked(place, stored), place.codec)
    declared = getattr(place, "size", None)
    if isinstance(declared, int):
        # A member of an archive: its directory says both.
        packed = getattr(place, "packed", declared)
        return Size(packed, declared, "zip" if hasattr(place, "packed") else "tar")
    try:
        if isinstance(place, LocalFile):
            size = place.path.stat().st_size
        else:
            with place.open_seekable() as file:
                size = file.seek(0, io.SEEK_END)
    except (OSError, UserError):
        return Size(None, None)
    return Size(size, size)


def _unpacked(place: CompressedFile, stored: int | None) -> int | None:
    """Unpack the start of a file and extrapolate."""
    try:
        with place.place.open() as packed:
            meter = Meter(packed, place.name)
            for _ in meter.count(members(meter, CODECS[place.codec])):
                if meter.given >= _UNPACKED_BYTES:
                    return round(meter.given * stored / meter.taken) if stored else None
    except (OSError, UserError):
        return None
    return meter.given


def parquet_rows(source: Source) -> int | None:
    """The rows of a Parquet file, by its footer."""
    try:
        with opened_seekable(source) as file:
            return int(pq.ParquetFile(file).metadata.num_rows)
    except (pa.ArrowException, OSError, UserError):
        return None


def row_bytes(records: Sequence[Record], encoding: str) -> float:
    """The mean size of a row in its file, near enough: as JSON in the file's encoding.

    ``encoding`` may have a remark behind it, as in ``gb18030 (guessed)``.
    """
    try:
        codec = codecs.lookup(encoding.split()[0] if encoding else "utf-8").name
    except LookupError:
        codec = "utf-8"
    size = sum(len(to_json(each).encode(codec, errors="replace")) for each in records)
    return size / len(records) if records else 0.0
