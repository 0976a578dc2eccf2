"""Arrow IPC files and streams, and Feather of both versions: streamed batch by batch."""

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
    opened,
    unique_names,
)

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


NOT_UTF8 = "text that is not UTF-8"
"""Why a row is rejected; its neighbours are kept."""
MAX_GROWTH, FREE_GROWTH = 50, 1 << 30
"""A file is a bomb if its text is so many times, and so many bytes, larger than what is stored."""
READ_ERRORS = (pa.ArrowException, OSError, UnicodeDecodeError, MemoryError)
"""What Arrow raises for a file that is damaged: bad sizes come as a MemoryError."""
# Dates that Python cannot hold, zones that it does not know.
_NO_VALUE = (ValueError, OverflowError, KeyError)
_LISTS = (
    (pa.types.is_list, pa.list_),
    (pa.types.is_large_list, pa.large_list),
    (pa.types.is_list_view, pa.list_view),
    (pa.types.is_large_list_view, pa.large_list_view),
)


class RowNumbers:
    """Numbers the rows of a file from 1, batch after batch, and adds up how much they come to.

    Attributes:
        last: the number of the last row.
    """

    def __init__(self) -> None:
        self.last = 0
        self._stored = 0
        self._text = 0.0

    def store(self, size: int) -> None:
        """Count bytes that are stored in the file."""
        self._stored += size

    def next(self, size: float) -> int:
        """Return the next row's number; raise pa.ArrowInvalid for a bomb of repeated text."""
        self._text += size
        if self._text > max(FREE_GROWTH, MAX_GROWTH * self._stored):
            raise pa.ArrowInvalid(
                f"it repeats so few texts that its rows come to over {MAX_GROWTH} times its size, "
                f"{int(self._text) >> 20:,} MiB"
            )
        self.last += 1
        return self.last


def reading_error(name: str, kind: str, numbers: RowNumbers, error: BaseException) -> UserError:
    """Return the error of a file that cannot be read further, with what to do about it."""
    reason = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
    if "crypt" in reason:
        return UserError(f"{name} is encrypted {kind}; decrypt it first ({reason})")
    kept = f"after row {numbers.last} (the rows before are kept) " if numbers.last else ""
    return UserError(f"{name} cannot be read {kept}as {kind}: {reason}; fetch or write it anew")


def batch_rows_of(
    batch: pa.RecordBatch, numbers: RowNumbers, stored: int | None = None
) -> Iterator[Row | Reject]:
    """Yield the rows of a batch; those with text that is not UTF-8 are rejects.

    `stored` are the batch's bytes in its file, if they are not those in memory. Raises
    pa.ArrowInvalid for a batch that is damaged, or a bomb.
    """
    names = unique_names(batch.schema.names)
    columns = [_readable(column) for column in batch.columns]
    numbers.store(batch.nbytes if stored is None else stored)
    usual_size = batch.nbytes / max(1, batch.num_rows)
    # A text of a dictionary is stored once, and is large in each row that has it.
    repeated = [n for n, each in enumerate(columns) if pa.types.is_dictionary(each.type)]
    for _, *scalars in zip(range(batch.num_rows), *columns, strict=True):
        size = usual_size
        try:
            values = [_value(scalar) for scalar in scalars]
        except UnicodeDecodeError as error:
            raw = bytes(error.object)[: EXCERPT_CHARS * 4].decode(errors="replace")
            yield Reject(numbers.next(size), NOT_UTF8, raw[:EXCERPT_CHARS])
            continue
        for place in repeated:
            if isinstance(values[place], (str, bytes)):
                size += len(values[place])
        yield Row(numbers.next(size), dict(zip(names, values, strict=True)), int(size))


def _readable(column: Any) -> Any:
    """Return a column whose values can be asked for; raise pa.ArrowInvalid if it is damaged.

    Arrow ends the process when it uses offsets or indices that point out of their buffer. Whether
    text is UTF-8 is not looked at here: as bytes only the layout counts.
    """
    storage = column.storage if isinstance(column.type, pa.BaseExtensionType) else column
    storage.view(_as_bytes(storage.type)).validate(full=True)
    if pa.types.is_timestamp(column.type):
        # Microseconds are the finest that a datetime holds.
        unit = "us" if column.type.unit == "ns" else column.type.unit
        return column.cast(pa.timestamp(unit, _known_zone(column.type.tz)), safe=False)
    return column if isinstance(column.type, pa.UuidType) else storage


def _as_bytes(kind: pa.DataType) -> pa.DataType:
    """Return a type of the same layout whose texts are bytes."""
    texts = {
        pa.string(): pa.binary(),
        pa.large_string(): pa.large_binary(),
        pa.string_view(): pa.binary_view(),
    }
    if kind in texts:
        return texts[kind]
    if pa.types.is_dictionary(kind):
        return pa.dictionary(kind.index_type, _as_bytes(kind.value_type), kind.ordered)
    for is_list, list_of in _LISTS:
        if is_list(kind):
            return list_of(_as_bytes(kind.value_type))
    if pa.types.is_fixed_size_list(kind):
        return pa.list_(_as_bytes(kind.value_type), kind.list_size)
    if pa.types.is_struct(kind):
        return pa.struct([field.with_type(_as_bytes(field.type)) for field in kind])
    if pa.types.is_map(kind):
        return pa.map_(_as_bytes(kind.key_type), _as_bytes(kind.item_type))
    return kind


@cache
def _known_zone(zone: str | None) -> str | None:
    """Return a time zone, or UTC for one that cannot be found: the instants are in UTC anyway."""
    try:
        # What Arrow itself looks up when it makes a datetime.
        pa.scalar(0, pa.timestamp("s", tz=zone)).as_py()
    except (KeyError, ValueError):
        return "UTC"
    return zone


def _value(scalar: pa.Scalar) -> Any:
    """Return a Python value, or its text where Python cannot hold it."""
    try:
        value = scalar.as_py()
    except UnicodeDecodeError:
        raise
    except _NO_VALUE:
        return _text(scalar)
    return str(value) if isinstance(value, UUID) else value


def _text(value: Any) -> str:
    """Return the text of a value that is none of Python's: of a list or struct part by part."""
    if isinstance(value, pa.StructScalar):
        return f"{{{', '.join(f'{name}: {_text(part)}' for name, part in value.items())}}}"
    if isinstance(value, pa.ListScalar) and value.values is not None:
        return f"[{', '.join(map(_text, value.values))}]"
    try:
        return str(value.cast(pa.string()))
    except pa.ArrowException:
        return f"a {value.type} beyond the range of Python"
