"""Read Arrow IPC files, Arrow streams and Feather; the Parquet reader uses its row conversion."""

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from functools import cache
from typing import Any, BinaryIO
from uuid import UUID

import pyarrow as pa

from article_flows.tasks.common.errors import UserError
from article_flows.tasks.reading.base.rows import (
    BATCH_ROWS,
    EXCERPT_CHARS,
    RecordChunk,
    Reject,
    Row,
    Source,
    in_chunks,
    open_source,
    unique_names,
)

_MAGIC_BYTES = 8
MAX_FEATHER_V1_BYTES = 200 << 20
"""Size limit, because a Feather version 1 file can only be read as a whole."""
_FEATHER_V1_SCRIPT = """
import sys
import pyarrow as pa
from pyarrow import feather
table = feather.read_table(sys.stdin.buffer, memory_map=False)
with pa.ipc.new_stream(sys.stdout.buffer, table.schema) as writer:
    writer.write_table(table, max_chunksize=1000)
"""


def read_arrow(source: Source, batch_rows: int = BATCH_ROWS) -> Iterator[RecordChunk]:
    """Read an Arrow IPC or Feather file, one record batch in memory at a time.

    Rows are numbered from 1.

    Raises:
        UserError: The file is damaged; the rows before the damage have been yielded.
    """
    counter = RowCounter()
    with open_source(source) as file:
        try:
            for batch in _batches(source, file):
                yield from in_chunks(batch_to_rows(batch, counter), batch_rows)
        except READ_ERRORS as error:
            raise reading_error(source.name, "Arrow", counter, error) from error


def _batches(source: Source, file: BinaryIO) -> Iterator[pa.RecordBatch]:
    magic = file.read(_MAGIC_BYTES)
    if magic.startswith(b"FEA1"):
        source.facts["kind"] = "Feather 1"
        file.seek(0)
        yield from _feather_v1_batches(file, source.name)
        return
    if magic.startswith(b"ARROW1"):
        source.facts["kind"] = "Arrow file (Feather 2)"
        # After the magic bytes, the file format is a stream. Reading it as one recovers the
        # batches of a truncated file, whose footer is missing.
    else:
        source.facts["kind"] = "Arrow stream"
        file.seek(0)
    with pa.ipc.open_stream(file) as reader:
        yield from reader


def _feather_v1_batches(file: BinaryIO, name: str) -> Iterator[pa.RecordBatch]:
    """Read Feather version 1 in a subprocess, because Arrow aborts on a damaged file.

    Arrow does not validate the metadata of this version before using it.

    Raises:
        UserError: The file is larger than MAX_FEATHER_V1_BYTES.
        pa.ArrowInvalid: The file is damaged.
    """
    with tempfile.TemporaryFile() as copy:
        while block := file.read(1 << 20):
            copy.write(block)
            if copy.tell() > MAX_FEATHER_V1_BYTES:
                raise UserError(
                    f"{name} is a Feather version 1 file of over {MAX_FEATHER_V1_BYTES >> 20} MiB, "
                    "which can only be read as a whole; convert it to Parquet"
                )
        copy.seek(0)
        command = [sys.executable, "-I", "-W", "ignore", "-c", _FEATHER_V1_SCRIPT]
        with subprocess.Popen(
            command, stdin=copy, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        ) as child:
            try:
                with pa.ipc.open_stream(child.stdout) as reader:
                    yield from reader
            except pa.ArrowInvalid as error:
                raise pa.ArrowInvalid("its metadata is damaged") from error
            finally:
                child.kill()


NOT_UTF8 = "text that is not UTF-8"
"""Reason of a reject."""
MAX_EXPANSION, MIN_BOMB_BYTES = 50, 1 << 30
"""A file whose text exceeds both this ratio to its stored size and this size is a bomb."""
READ_ERRORS = (pa.ArrowException, OSError, UnicodeDecodeError, MemoryError)
"""Exceptions that Arrow raises for a damaged file; an invalid size causes a MemoryError."""
# Raised for dates out of Python's range and for unknown time zones.
_CONVERSION_ERRORS = (ValueError, OverflowError, KeyError)
_LIST_TYPES = (
    (pa.types.is_list, pa.list_),
    (pa.types.is_large_list, pa.large_list),
    (pa.types.is_list_view, pa.list_view),
    (pa.types.is_large_list_view, pa.large_list_view),
)


class RowCounter:
    """Row counter of a file, which also detects decompression bombs.

    Attributes:
        last: The number of the last row, from 1; 0 before the first.
    """

    def __init__(self) -> None:
        self.last = 0
        self._stored_bytes = 0
        self._row_bytes = 0.0

    def add_stored(self, size: int) -> None:
        """Count bytes that are stored in the file."""
        self._stored_bytes += size

    def next(self, size: float) -> int:
        """Count a row of `size` bytes and return its number.

        Raises:
            pa.ArrowInvalid: The file is a decompression bomb of repeated text.
        """
        self._row_bytes += size
        if self._row_bytes > max(MIN_BOMB_BYTES, MAX_EXPANSION * self._stored_bytes):
            raise pa.ArrowInvalid(
                f"its rows repeat text until they are over {MAX_EXPANSION} times its size, "
                f"{int(self._row_bytes) >> 20:,} MiB"
            )
        self.last += 1
        return self.last


def reading_error(name: str, kind: str, counter: RowCounter, error: BaseException) -> UserError:
    """Return the UserError for a file that cannot be read any further, with a remedy."""
    reason = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
    if "crypt" in reason:
        return UserError(f"{name} is encrypted {kind}; decrypt it first ({reason})")
    kept = f"after row {counter.last} (the rows before are kept) " if counter.last else ""
    return UserError(f"{name} cannot be read {kept}as {kind}: {reason}; download or save it again")


def batch_to_rows(
    batch: pa.RecordBatch, counter: RowCounter, stored: int | None = None
) -> Iterator[Row | Reject]:
    """Convert a record batch of any schema to rows; reject rows with text that is not UTF-8.

    Args:
        counter: The row counter of the file.
        stored: The batch's size in the file in bytes; None if it is the size in memory.

    Raises:
        pa.ArrowInvalid: The batch is damaged or a decompression bomb.
    """
    names = unique_names(batch.schema.names)
    columns = [_validated(column) for column in batch.columns]
    counter.add_stored(batch.nbytes if stored is None else stored)
    average_size = batch.nbytes / max(1, batch.num_rows)
    # A dictionary value is stored once, but takes its full size in every row that refers to it.
    dictionaries = [n for n, each in enumerate(columns) if pa.types.is_dictionary(each.type)]
    for _, *scalars in zip(range(batch.num_rows), *columns, strict=True):
        size = average_size
        try:
            values = [_value(scalar) for scalar in scalars]
        except UnicodeDecodeError as error:
            raw = bytes(error.object)[: EXCERPT_CHARS * 4].decode(errors="replace")
            yield Reject(counter.next(size), NOT_UTF8, raw[:EXCERPT_CHARS])
            continue
        for index in dictionaries:
            if isinstance(values[index], (str, bytes)):
                size += len(values[index])
        yield Row(counter.next(size), dict(zip(names, values, strict=True)), int(size))


def _validated(column: Any) -> Any:
    """Return a column whose values are safe to access; raise pa.ArrowInvalid if it is damaged.

    Arrow crashes the process when it follows an offset or index out of its buffer. The column is
    validated as bytes, so that text that is not UTF-8 passes and rejects only its own row.
    """
    storage = column.storage if isinstance(column.type, pa.BaseExtensionType) else column
    storage.view(_binary_type(storage.type)).validate(full=True)
    if pa.types.is_timestamp(column.type):
        # A datetime holds no more than microseconds.
        unit = "us" if column.type.unit == "ns" else column.type.unit
        return column.cast(pa.timestamp(unit, _known_zone(column.type.tz)), safe=False)
    return column if isinstance(column.type, pa.UuidType) else storage


def _binary_type(kind: pa.DataType) -> pa.DataType:
    """Return the type of the same memory layout with binary in place of strings."""
    strings = {
        pa.string(): pa.binary(),
        pa.large_string(): pa.large_binary(),
        pa.string_view(): pa.binary_view(),
    }
    if kind in strings:
        return strings[kind]
    if pa.types.is_dictionary(kind):
        return pa.dictionary(kind.index_type, _binary_type(kind.value_type), kind.ordered)
    for is_list, list_of in _LIST_TYPES:
        if is_list(kind):
            return list_of(_binary_type(kind.value_type))
    if pa.types.is_fixed_size_list(kind):
        return pa.list_(_binary_type(kind.value_type), kind.list_size)
    if pa.types.is_struct(kind):
        return pa.struct([field.with_type(_binary_type(field.type)) for field in kind])
    if pa.types.is_map(kind):
        return pa.map_(_binary_type(kind.key_type), _binary_type(kind.item_type))
    return kind


@cache
def _known_zone(zone: str | None) -> str | None:
    """Return the time zone, or UTC if it is unknown: Arrow stores the instants in UTC anyway."""
    try:
        # Looks up the zone as Arrow does for every datetime.
        pa.scalar(0, pa.timestamp("s", tz=zone)).as_py()
    except (KeyError, ValueError):
        return "UTC"
    return zone


def _value(scalar: pa.Scalar) -> Any:
    """Return the Python value, or text for a value that Python cannot represent."""
    try:
        value = scalar.as_py()
    except UnicodeDecodeError:
        raise
    except _CONVERSION_ERRORS:
        return _text(scalar)
    return str(value) if isinstance(value, UUID) else value


def _text(value: Any) -> str:
    if isinstance(value, pa.StructScalar):
        return f"{{{', '.join(f'{name}: {_text(part)}' for name, part in value.items())}}}"
    if isinstance(value, pa.ListScalar) and value.values is not None:
        return f"[{', '.join(map(_text, value.values))}]"
    try:
        return str(value.cast(pa.string()))
    except pa.ArrowException:
        return f"a {value.type} beyond the range of Python"
