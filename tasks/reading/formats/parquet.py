"""Stream Parquet files of any schema in bounded memory."""

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
    open_source_seekable,
)
from article_flows.tasks.reading.formats.arrow import (
    READ_ERRORS,
    RowCounter,
    batch_to_rows,
    reading_error,
)

BUFFER_BYTES = 1 << 20
"""Read buffer per column."""
MAX_BATCH_BYTES = 256 << 20
"""Upper bound of a batch if every row held the longest text of its row group."""


def read_parquet(source: Source, batch_rows: int = BATCH_ROWS) -> Iterator[RecordChunk]:
    """Read a Parquet file, rows numbered from 1.

    Raises:
        UserError: The file is damaged or encrypted; the rows before the damage have been yielded.
    """
    counter = RowCounter()
    try:
        # pre_buffer=False with a buffer_size keeps Arrow from reading a row group in one piece.
        # int96 timestamps of Impala and old Spark can overflow Arrow's default of nanoseconds.
        with (
            open_source_seekable(source) as opened,
            pq.ParquetFile(
                opened,
                pre_buffer=False,
                buffer_size=BUFFER_BYTES,
                coerce_int96_timestamp_unit="us",
            ) as file,
        ):
            rows = _rows_per_chunk(file.metadata, batch_rows)
            source.facts["writer"] = str(file.metadata.created_by or "unknown")
            for batch, stored in _batches(file, opened, rows):
                yield from in_chunks(batch_to_rows(batch, counter, stored), batch_rows)
    except READ_ERRORS as error:
        raise reading_error(source.name, "Parquet", counter, error) from error


def _batches(
    file: pq.ParquetFile, opened: BinaryIO, rows: int
) -> Iterator[tuple[pa.RecordBatch, int]]:
    """Yield the batches of each row group, so that a damaged one does not affect those before.

    The size of the row group in bytes comes with its first batch, 0 with the others.
    """
    texts = _TextColumns(file, opened)
    for group in range(file.metadata.num_row_groups):
        stored = file.metadata.row_group(group).total_byte_size
        # No single text is larger than its row group.
        small = stored * rows <= MAX_BATCH_BYTES
        batch_size = rows if small else texts.safe_batch_size(group, rows)
        for batch in file.iter_batches(batch_size=batch_size, row_groups=[group]):
            yield batch, stored
            stored = 0


class _TextColumns:
    """The text columns of an open file, read as dictionaries of their distinct values.

    It never reads the metadata of a column chunk: pyarrow crashes the process if it is encrypted.
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

    def safe_batch_size(self, group: int, rows: int) -> int:
        """Return how many rows of a row group stay within MAX_BATCH_BYTES, from 1 to `rows`."""
        if not self._columns:
            return rows
        # Even a batch of one row carries the complete dictionaries.
        for batch in self._file.iter_batches(1, row_groups=[group], columns=self._columns):
            longest = sum(map(_longest_text, batch.columns))
            return max(1, min(rows, MAX_BATCH_BYTES // max(1, longest)))
        return rows


def _longest_text(column: Any) -> int:
    while pa.types.is_list(column.type) or pa.types.is_large_list(column.type):
        column = column.values
    if not pa.types.is_dictionary(column.type):
        return 0
    return pc.max(pc.binary_length(column.dictionary)).as_py() or 0


def _rows_per_chunk(metadata: pq.FileMetaData, batch_rows: int) -> int:
    groups = [metadata.row_group(index) for index in range(metadata.num_row_groups)]
    size: int = sum(group.total_byte_size for group in groups) // max(1, metadata.num_rows)
    return max(1, min(batch_rows, CHUNK_BYTES // max(1, size)))
