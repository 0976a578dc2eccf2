"""Arrow IPC files and streams, and Feather of both versions: streamed batch by batch."""

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from typing import BinaryIO

import pyarrow as pa

from tasks.errors import UserError
from tasks.reading.readers_arrow_columns import (
    READ_ERRORS,
    RowNumbers,
    batch_rows_of,
    reading_error,
)
from tasks.reading.readers_base import BATCH_ROWS, RecordChunk, Source, in_chunks, opened

_MAGIC_BYTES = 8
MAX_FEATHER_1 = 200 << 20
"""Bytes of the largest file taken: this version can only be read whole."""
_TO_STREAM = """
import sys
import pyarrow as pa
from pyarrow import feather
table = feather.read_table(sys.stdin.buffer, memory_map=False)
with pa.ipc.new_stream(sys.stdout.buffer, table.schema) as writer:
    writer.write_table(table, max_chunksize=1000)
"""


def read_arrow(source: Source, batch_rows: int = BATCH_ROWS) -> Iterator[RecordChunk]:
    """Read Arrow IPC or Feather, rows numbered from 1; raise UserError where it goes no further.

    Memory is bounded by the file's largest record batch.
    """
    numbers = RowNumbers()
    with opened(source) as file:
        try:
            for batch in _batches(source, file):
                yield from in_chunks(batch_rows_of(batch, numbers), batch_rows)
        except READ_ERRORS as error:
            raise reading_error(source.name, "Arrow", numbers, error) from error


def _batches(source: Source, file: BinaryIO) -> Iterator[pa.RecordBatch]:
    magic = file.read(_MAGIC_BYTES)
    if magic.startswith(b"FEA1"):
        source.facts["kind"] = "Feather 1"
        file.seek(0)
        yield from _feather_1_batches(file, source.name)
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


def _feather_1_batches(file: BinaryIO, name: str) -> Iterator[pa.RecordBatch]:
    """Read Feather of version 1 in a process of its own: of a damaged file Arrow aborts.

    Its metadata are not checked before they are used, as those of all newer formats are. Raises
    UserError for a file that is too large, pa.ArrowInvalid for one that is damaged.
    """
    with tempfile.TemporaryFile() as copy:
        while block := file.read(1 << 20):
            copy.write(block)
            if copy.tell() > MAX_FEATHER_1:
                raise UserError(
                    f"{name} is over {MAX_FEATHER_1 >> 20} MiB of Feather version 1, which can "
                    "only be read whole; convert it to Parquet"
                )
        copy.seek(0)
        command = [sys.executable, "-I", "-W", "ignore", "-c", _TO_STREAM]
        with subprocess.Popen(
            command, stdin=copy, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        ) as child:
            try:
                with pa.ipc.open_stream(child.stdout) as reader:
                    yield from reader
            except pa.ArrowInvalid as error:
                raise pa.ArrowInvalid("its metadata are damaged") from error
            finally:
                child.kill()
