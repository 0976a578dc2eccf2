"""Arrow IPC files and streams, and Feather of both versions: streamed batch by batch."""

from collections.abc import Iterator
from typing import BinaryIO

import pyarrow as pa

from tasks.reading.readers_arrow_columns import (
    READ_ERRORS,
    RowNumbers,
    column_chunks,
    reading_error,
)
from tasks.reading.readers_base import BATCH_ROWS, ColumnChunk, Source, opened
from tasks.reading.readers_feather1 import feather_1_batches

_MAGIC_BYTES = 8


def read_arrow(source: Source, batch_rows: int = BATCH_ROWS) -> Iterator[ColumnChunk]:
    """Read Arrow IPC or Feather, rows numbered from 1; raise UserError where it goes no further.

    Memory is bounded by the file's largest record batch.
    """
    numbers = RowNumbers()
    with opened(source) as file:
        try:
            for batch in _batches(source, file):
                yield from column_chunks(batch, numbers, batch_rows)
        except READ_ERRORS as error:
            raise reading_error(source.name, "Arrow", numbers, error) from error


def _batches(source: Source, file: BinaryIO) -> Iterator[pa.RecordBatch]:
    magic = file.read(_MAGIC_BYTES)
    if magic.startswith(b"FEA1"):
        source.facts["kind"] = "Feather 1"
        file.seek(0)
        yield from feather_1_batches(file, source.name)
        return
    if magic.startswith(b"ARROW1"):
        source.facts["kind"] = "Arrow file (Feather 2)"
        # After its magic the file format is a stream; read so, a file that is cut gives what
        # comes before the cut, although its footer is gone.
    else:
        source.facts["kind"] = "Arrow stream"
        file.seek(0)
    with pa.ipc.open_stream(file) as reader:
        yield from reader
