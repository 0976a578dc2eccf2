"""Parquet: any column types, streamed; a row that is no valid text is rejected alone."""

from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tasks.errors import UserError
from tasks.readers_base import (
    BATCH_ROWS,
    CHUNK_BYTES,
    EXCERPT_CHARS,
    Record,
    RecordChunk,
    Reject,
    Row,
    Source,
    in_chunks,
    opened_seekable,
    unique_names,
)

_READ_ERRORS = (pa.ArrowException, OSError)


def read_parquet(source: Source, batch_rows: int = BATCH_ROWS) -> Iterator[RecordChunk]:
    """Read a Parquet file, rows numbered from 1; raise UserError once it cannot be read further."""
    return in_chunks(_rows(source, batch_rows), batch_rows)


def _rows(source: Source, batch_rows: int) -> Iterator[Row | Reject]:
    number = 0
    try:
        # Without pre_buffer and with buffer_size a large row group is not read in one piece.
        with (
            opened_seekable(source) as opened,
            pq.ParquetFile(opened, pre_buffer=False, buffer_size=1 << 20) as file,
        ):
            rows = _rows_at_a_time(file.metadata, batch_rows)
            for batch in _batches(file, rows):
                size = batch.nbytes // max(1, batch.num_rows)
                for record in _records(batch):
                    number += 1
                    yield _row(number, record, size)
    except _READ_ERRORS as error:
        reason = str(error).splitlines()[0].rstrip(".")
        kept = f"after row {number} (the rows before are kept) " if number else ""
        raise UserError(
            f"{source.name} cannot be read {kept}as Parquet: {reason}; fetch or write it anew"
        ) from error


def _batches(file: Any, rows: int) -> Iterator[Any]:
    """Read row group by row group: one that is broken does not take the one before with it."""
    for group in range(file.metadata.num_row_groups):
        yield from file.iter_batches(batch_size=rows, row_groups=[group])


def _rows_at_a_time(metadata: Any, batch_rows: int) -> int:
    """Return how many rows come to about a chunk's bytes, by what the file says of itself."""
    groups = [metadata.row_group(index) for index in range(metadata.num_row_groups)]
    size: int = sum(group.total_byte_size for group in groups) // max(1, metadata.num_rows)
    return max(1, min(batch_rows, CHUNK_BYTES // max(1, size)))


def _row(number: int, record: Record | str, size: int) -> Row | Reject:
    if isinstance(record, str):
        return Reject(number, "text that is not UTF-8", record)
    return Row(number, record, size)


def _records(batch: Any) -> Iterator[Record | str]:
    """Yield each row as a dict, or as an excerpt if it holds text that is not UTF-8."""
    names = unique_names(batch.schema.names)
    columns = [_without_nanoseconds(column) for column in batch.columns]
    try:
        values = [column.to_pylist() for column in columns]
    except (ValueError, OverflowError):
        # UnicodeDecodeError is a ValueError; a date that Python cannot hold is one too.
        for index in range(batch.num_rows):
            yield _careful_record(names, columns, index)
        return
    for row in zip(*values, strict=True) if values else ({},) * batch.num_rows:
        yield dict(zip(names, row, strict=True))


def _careful_record(names: list[str], columns: list[Any], index: int) -> Record | str:
    record: Record = {}
    for name, column in zip(names, columns, strict=True):
        try:
            record[name] = column[index].as_py()
        except UnicodeDecodeError as error:
            return bytes(error.object).decode(errors="replace")[:EXCERPT_CHARS]
        except (ValueError, OverflowError):
            record[name] = str(column[index : index + 1].cast(pa.string())[0])
    return record


def _without_nanoseconds(column: Any) -> Any:
    """Round timestamps to microseconds, the finest that Python's datetime holds."""
    kind = column.type
    if pa.types.is_timestamp(kind) and kind.unit == "ns":
        return pc.cast(column, pa.timestamp("us", tz=kind.tz), safe=False)
    return column
