"""Parquet: any column types, streamed; a row that is no valid text is rejected alone."""

from collections.abc import Iterator
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from article_flows.tasks.reading.base.rows import (
    BATCH_ROWS,
    CHUNK_BYTES,
    RecordChunk,
    Source,
    in_chunks,
    opened_seekable,
)
from article_flows.tasks.reading.formats.arrow import (
    READ_ERRORS,
    RowNumbers,
    batch_rows_of,
    reading_error,
)

BUFFER_BYTES = 1 << 20
"""How much of each column is read ahead."""
MAX_BATCH = 256 << 20
"""Bytes that a batch may come to if all of its rows have the longest text there is."""


def read_parquet(source: Source, batch_rows: int = BATCH_ROWS) -> Iterator[RecordChunk]:
    """Read a Parquet file, rows numbered from 1; raise UserError where it goes no further."""
    numbers = RowNumbers()
    try:
        # Without pre_buffer and with buffer_size a large row group is not read in one piece.
        # Dates of Impala and old Spark (int96) overflow the nanoseconds that are Arrow's choice.
        with (
            opened_seekable(source) as opened,
            pq.ParquetFile(
                opened,
                pre_buffer=False,
                buffer_size=BUFFER_BYTES,
                coerce_int96_timestamp_unit="us",
            ) as file,
        ):
            rows = _rows_at_a_time(file.metadata, batch_rows)
            source.facts["writer"] = str(file.metadata.created_by or "unknown")
            for batch, stored in _batches(file, opened, rows):
                yield from in_chunks(batch_rows_of(batch, numbers, stored), batch_rows)
    except READ_ERRORS as error:
        raise reading_error(source.name, "Parquet", numbers, error) from error


def _batches(
    file: pq.ParquetFile, opened: BinaryIO, rows: int
) -> Iterator[tuple[pa.RecordBatch, int]]:
    """Read row group by row group: one that is broken does not take the one before with it.

    The bytes that a group takes in the file come with its first batch, with the others 0.
    """
    texts = _Texts(file, opened)
    for group in range(file.metadata.num_row_groups):
        stored = file.metadata.row_group(group).total_byte_size
        # A dictionary is no larger than its row group.
        at_once = rows if stored * rows <= MAX_BATCH else texts.rows_at_once(group, rows)
        for batch in file.iter_batches(batch_size=at_once, row_groups=[group]):
            yield batch, stored
            stored = 0


class _Texts:
    """The text columns of an open file, read as dictionaries: each distinct text once.

    Nothing here asks the metadata about a column of a row group: pyarrow ends the process where
    that is encrypted.
    """

    def __init__(self, file: pq.ParquetFile, opened: BinaryIO) -> None:
        self._columns = [each.path for each in file.schema if each.physical_type == "BYTE_ARRAY"]
        self._file = pq.ParquetFile(
            opened,
            metadata=file.metadata,
            read_dictionary=self._columns,
            pre_buffer=False,
            buffer_size=1 << 16,
        )

    def rows_at_once(self, group: int, rows: int) -> int:
        """Return how many rows of a row group stay within MAX_BATCH, from 1 to `rows`."""
        if not self._columns:
            return rows
        # The dictionaries come whole with the first row.
        for batch in self._file.iter_batches(1, row_groups=[group], columns=self._columns):
            longest = sum(map(_longest_text, batch.columns))
            return max(1, min(rows, MAX_BATCH // max(1, longest)))
        return rows


def _longest_text(column: Any) -> int:
    while pa.types.is_list(column.type) or pa.types.is_large_list(column.type):
        column = column.values
    if not pa.types.is_dictionary(column.type):
        return 0
    return pc.max(pc.binary_length(column.dictionary)).as_py() or 0


def _rows_at_a_time(metadata: pq.FileMetaData, batch_rows: int) -> int:
    """Return how many rows come to about a chunk's bytes, by what the file says of itself."""
    groups = [metadata.row_group(index) for index in range(metadata.num_row_groups)]
    size: int = sum(group.total_byte_size for group in groups) // max(1, metadata.num_rows)
    return max(1, min(batch_rows, CHUNK_BYTES // max(1, size)))
