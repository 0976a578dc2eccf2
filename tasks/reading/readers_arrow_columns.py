"""Arrow batches to chunks of columns: bad text found row by row, types that Python can hold."""

from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tasks.errors import UserError
from tasks.reading.readers_base import CHUNK_BYTES, EXCERPT_CHARS, ColumnChunk, Reject, unique_names

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
# Python's datetime ends at the year 9999; both are in days since 1970.
_FIRST_DAY, _LAST_DAY = -719_162, 2_932_896
_PER_DAY = {"s": 86_400, "ms": 86_400_000, "us": 86_400_000_000}


class RowNumbers:
    """Numbers the rows of a file from 1, batch after batch, and adds up how much they come to."""

    def __init__(self) -> None:
        self.last = 0
        self._stored = self._text = 0

    def take(self, rows: int) -> range:
        """Return the numbers of the next rows."""
        first = self.last + 1
        self.last += rows
        return range(first, first + rows)

    def grow(self, stored: int, text: int) -> None:
        """Count bytes as stored and as text; raise pa.ArrowInvalid for a bomb of repeated text."""
        self._stored += stored
        self._text += text
        if self._text > max(FREE_GROWTH, MAX_GROWTH * self._stored):
            raise pa.ArrowInvalid(
                f"it repeats so few texts that its rows come to over {MAX_GROWTH} times its size, "
                f"{self._text >> 20:,} MiB"
            )


def reading_error(name: str, kind: str, numbers: RowNumbers, error: BaseException) -> UserError:
    """Return the error of a file that cannot be read further, with what to do about it."""
    reason = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
    if "crypt" in reason:
        return UserError(f"{name} is encrypted {kind}; decrypt it first ({reason})")
    kept = f"after row {numbers.last} (the rows before are kept) " if numbers.last else ""
    return UserError(f"{name} cannot be read {kept}as {kind}: {reason}; fetch or write it anew")


def column_chunks(
    batch: pa.RecordBatch, numbers: RowNumbers, batch_rows: int, stored: int | None = None
) -> Iterator[ColumnChunk]:
    """Cut a batch into chunks of at most `batch_rows` rows and about CHUNK_BYTES.

    Rows with text that is not UTF-8 become rejects. `stored` are the batch's bytes in its file, if
    they are not those in memory. Raises pa.ArrowInvalid for a batch that is damaged, or a bomb.
    """
    names = unique_names(batch.schema.names)
    suspects = [column for column in batch.columns if not _is_text_valid(column)]
    sizes = _row_sizes(batch)
    numbers.grow(batch.nbytes if stored is None else stored, int(sizes.sum()))
    for start, end in _cuts(sizes, batch_rows):
        part = batch.slice(start, end - start)
        bad = _bad_rows([column.slice(start, end - start) for column in suspects])
        own = numbers.take(part.num_rows)
        kept = np.array(own, dtype=np.int64)
        if bad:
            good = np.ones(part.num_rows, dtype=bool)
            good[list(bad)] = False
            part, kept = part.filter(pa.array(good)), kept[good]
        columns = [_plain(column) for column in part.columns]
        rejects = [Reject(own[index], NOT_UTF8, raw) for index, raw in sorted(bad.items())]
        yield ColumnChunk(dict(zip(names, columns, strict=True)), kept, rejects)


def _row_sizes(batch: pa.RecordBatch) -> npt.NDArray[np.float64]:
    """Return the bytes of each row: exact for text from dictionaries, else those of the average."""
    sizes = np.zeros(batch.num_rows)
    for column in batch.columns:
        if pa.types.is_dictionary(column.type) and _has_length(column.type.value_type):
            lengths = pc.take(pc.binary_length(column.dictionary), column.indices)
            sizes += lengths.cast(pa.float64()).fill_null(0).to_numpy(zero_copy_only=False)
            column = column.indices
        sizes += column.nbytes / max(1, batch.num_rows)
    return sizes


def _has_length(kind: pa.DataType) -> bool:
    return any(
        test(kind)
        for test in (
            pa.types.is_string, pa.types.is_large_string, pa.types.is_binary,
            pa.types.is_large_binary,
        )
    )  # fmt: skip


def _cuts(sizes: npt.NDArray[np.float64], batch_rows: int) -> Iterator[tuple[int, int]]:
    """Yield where chunks of at most `batch_rows` rows and about CHUNK_BYTES begin and end."""
    ends, start, before = np.cumsum(sizes), 0, 0.0
    while start < len(ends):
        large = int(np.searchsorted(ends, before + CHUNK_BYTES, side="right"))
        end = max(start + 1, min(start + batch_rows, large))
        yield start, end
        start, before = end, float(ends[end - 1])


def _is_text_valid(column: Any) -> bool:
    """Tell whether all text of a column is UTF-8; raise pa.ArrowInvalid if its layout is damaged.

    Arrow ends the process when it uses offsets or indices that point out of their buffer.
    """
    if isinstance(column.type, pa.BaseExtensionType):
        column = column.storage
    try:
        column.validate(full=True)
    except pa.ArrowInvalid as error:
        if "UTF8" not in str(error):
            raise
        # Bad text hides what else may be wrong; as bytes only the layout counts.
        column.view(_as_bytes(column.type)).validate(full=True)
        return False
    return True


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
    raise pa.ArrowInvalid(f"a column of {kind} has text that is not UTF-8")


def _bad_rows(columns: list[Any]) -> dict[int, str]:
    """Return the rows with text that is not UTF-8, each with an excerpt of it."""
    bad: dict[int, str] = {}
    for column in columns:
        for index in range(len(column)):
            if index not in bad and (raw := _undecodable(column[index])) is not None:
                bad[index] = raw
    return bad


def _undecodable(value: pa.Scalar) -> str | None:
    try:
        value.as_py()
    except UnicodeDecodeError as error:
        return bytes(error.object)[: EXCERPT_CHARS * 4].decode(errors="replace")[:EXCERPT_CHARS]
    except _NO_VALUE:
        pass  # A date that Python cannot hold is no bad text.
    return None


def _plain(column: Any) -> Any:
    """Return a column whose values all are ones that Python can hold."""
    kind = column.type
    if isinstance(kind, pa.BaseExtensionType):
        is_uuid = isinstance(kind, pa.UuidType)
        return pa.array(map(_text, column), pa.string()) if is_uuid else _plain(column.storage)
    if pa.types.is_run_end_encoded(kind):
        return _plain(pc.run_end_decode(column))
    if kind in (pa.string_view(), pa.binary_view()):
        return column.cast(pa.large_string() if kind == pa.string_view() else pa.large_binary())
    if pa.types.is_timestamp(kind):
        return _datetimes(column)
    if pa.types.is_nested(kind) or pa.types.is_temporal(kind) or pa.types.is_dictionary(kind):
        return _checked(column)
    return column


def _text(value: pa.Scalar) -> str | None:
    return str(value.as_py()) if value.is_valid else None


def _datetimes(column: Any) -> Any:
    """Round nanoseconds to microseconds, datetime's finest; give years beyond its as text."""
    unit = "us" if column.type.unit == "ns" else column.type.unit
    kind = pa.timestamp(unit, tz=_known_zone(column.type.tz))
    if column.type != kind:
        column = pc.cast(column, kind, safe=False)
    ticks = column.cast(pa.int64())
    day = _PER_DAY[unit]
    least, most = pc.min_max(ticks).values()
    if least.is_valid and not (
        (_FIRST_DAY + 1) * day <= least.as_py() <= most.as_py() < _LAST_DAY * day
    ):
        return column.cast(pa.string())
    return column


@cache
def _known_zone(zone: str | None) -> str | None:
    """Return a time zone, or UTC for one that cannot be found: the instants are in UTC anyway."""
    try:
        # What Arrow itself looks up when it makes a datetime.
        pa.scalar(0, pa.timestamp("s", tz=zone)).as_py()
    except (KeyError, ValueError):
        return "UTC"
    return zone


def _checked(column: Any) -> Any:
    """Return a column of a type that may hold anything, as text where Python cannot hold it."""
    if pa.types.is_dictionary(column.type) and _is_simple(column.type.value_type):
        return column
    try:
        column.to_pylist()
    except _NO_VALUE:
        return pa.array(map(_as_text, column), pa.string())
    return column


def _is_simple(kind: pa.DataType) -> bool:
    return not (pa.types.is_nested(kind) or pa.types.is_temporal(kind))


def _as_text(value: pa.Scalar) -> str | None:
    if not value.is_valid:
        return None
    try:
        return str(value.as_py())
    except _NO_VALUE:
        return _cast_text(value)


def _cast_text(value: Any) -> str:
    """Return the text of a value that is none of Python's: of a list or struct part by part."""
    if isinstance(value, pa.StructScalar):
        inside = ", ".join(f"{name}: {_cast_text(part)}" for name, part in value.items())
        return f"{{{inside}}}"
    if isinstance(value, pa.ListScalar) and value.values is not None:
        return f"[{', '.join(map(_cast_text, value.values))}]"
    try:
        return str(value.cast(pa.string()))
    except pa.ArrowException:
        return f"a {value.type} beyond the range of Python"
