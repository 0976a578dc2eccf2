"""The columns of a chunk by name, whether it holds records or Arrow arrays."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc

from tasks.reading.readers_base import Chunk, ColumnChunk, Record
from tasks.reading.readers_text import without_surrogates

Raw: TypeAlias = list[Any] | pa.Array
"""A column: Python values or an Arrow array of any type."""

TOO_DEEP = "nested too deeply to be kept"


class Fields(Protocol):
    """The columns of some rows. A dotted name (`article.text`) finds a field of a struct."""

    def __len__(self) -> int:
        """How many rows there are."""

    def column(self, name: str) -> Raw:
        """A column; of rows that lack it None."""

    def others(self, used: frozenset[str]) -> Iterator[Record]:
        """Of each row what is not in the used columns."""

    def record(self, index: int) -> Record:
        """A whole row."""

    def take(self, indices: Sequence[int]) -> Fields:
        """Some of the rows."""


def fields_of(chunk: Chunk) -> Fields:
    """Look at a chunk's columns."""
    if isinstance(chunk, ColumnChunk):
        columns = {name: _plain(column) for name, column in chunk.columns.items()}
        return _ColumnFields(columns, chunk.num_rows)
    return _RecordFields(chunk.records)


def _plain(column: pa.Array) -> pa.Array:
    """Give a column of views another type, as many functions of Arrow know none."""
    if pa.types.is_string_view(column.type):
        return column.cast(pa.large_string())
    if pa.types.is_binary_view(column.type):
        return column.cast(pa.large_binary())
    if pa.types.is_timestamp(column.type) and column.type.unit == "ns":
        # Python's datetime has no nanoseconds, and nobody publishes by them.
        return column.cast(pa.timestamp("us", column.type.tz), safe=False)
    return column


@dataclass(frozen=True)
class _RecordFields:
    records: list[Record]

    def __len__(self) -> int:
        return len(self.records)

    def column(self, name: str) -> Raw:
        if "." in name:
            return [value_at(record, name) for record in self.records]
        return [record.get(name) for record in self.records]

    def others(self, used: frozenset[str]) -> Iterator[Record]:
        dotted = [name for name in used if "." in name]
        for record in self.records:
            if record.keys() <= used:
                yield {}
                continue
            rest = {name: value for name, value in record.items() if name not in used}
            inner = [name for name in dotted if name not in record]
            yield _without(rest, inner) if inner else rest

    def record(self, index: int) -> Record:
        return self.records[index]

    def take(self, indices: Sequence[int]) -> _RecordFields:
        return _RecordFields([self.records[index] for index in indices])


@dataclass(frozen=True)
class _ColumnFields:
    columns: dict[str, pa.Array]
    rows: int

    def __len__(self) -> int:
        return self.rows

    def column(self, name: str) -> Raw:
        if name in self.columns:
            return self.columns[name]
        head, dot, rest = name.partition(".")
        if not dot or head not in self.columns:
            return pa.nulls(self.rows)
        array = self.columns[head]
        if pa.types.is_struct(array.type) and array.type.get_field_index(rest) >= 0:
            return pc.struct_field(array, rest)
        return [value_at({head: value}, name) for value in python_values(array)]

    def others(self, used: frozenset[str]) -> Iterator[Record]:
        names = [name for name in self.columns if name not in used]
        if not names:
            yield from ({} for _ in range(self.rows))
            return
        dotted = [name for name in used if "." in name and name not in self.columns]
        values = [python_values(self.columns[name]) for name in names]
        for row in zip(*values, strict=True):
            rest = dict(zip(names, row, strict=True))
            yield _without(rest, dotted) if dotted else rest

    def record(self, index: int) -> Record:
        return {
            name: python_values(column[index : index + 1])[0]
            for name, column in self.columns.items()
        }

    def take(self, indices: Sequence[int]) -> _ColumnFields:
        wanted = pa.array(indices, pa.int64())
        columns = {name: column.take(wanted) for name, column in self.columns.items()}
        return _ColumnFields(columns, len(indices))


def value_at(record: Record, name: str) -> Any:
    """Find a column, or a field of the structs in it; None if it is not there."""
    if name in record:
        return record[name]
    head, dot, rest = name.partition(".")
    inner = record.get(head) if dot else None
    return value_at(inner, rest) if isinstance(inner, dict) else None


def _without(record: Record, dotted: list[str]) -> Record:
    """Leave out fields of structs, and structs that have no other; the record is not changed."""
    for name in dotted:
        head, _, rest = name.partition(".")
        inner = record.get(head)
        if not isinstance(inner, dict):
            continue
        kept = _without({key: value for key, value in inner.items() if key != rest}, [rest])
        record = {key: value for key, value in record.items() if key != head}
        if kept:
            record[head] = kept
    return record


def python_values(raw: Raw) -> list[Any]:
    """Return a column as Python values: what `to_pylist` gives, or the next best of odd values.

    Nanoseconds, which a datetime cannot hold, are cut off; what has no Python value is written
    out as text.
    """
    if isinstance(raw, list):
        return raw
    try:
        return list(raw.to_pylist())
    except (ValueError, OverflowError, UnicodeDecodeError, pa.ArrowException):
        return [_python_value(scalar) for scalar in raw]


def _python_value(scalar: pa.Scalar) -> Any:
    try:
        return scalar.as_py()
    except (ValueError, OverflowError, pa.ArrowException):
        pass
    kind = scalar.type
    if pa.types.is_struct(kind):
        return {field.name: _python_value(scalar[at]) for at, field in enumerate(kind)}
    if isinstance(scalar, pa.ListScalar):
        return [_python_value(each) for each in scalar.values]
    for coarser in _coarser(kind):
        try:
            return pc.cast(scalar, coarser, safe=False).as_py()
        except (ValueError, OverflowError, pa.ArrowException):
            continue
    return None


def _coarser(kind: pa.DataType) -> Iterator[pa.DataType]:
    if pa.types.is_timestamp(kind):
        yield pa.timestamp("us", kind.tz)
    elif pa.types.is_time64(kind):
        yield pa.time64("us")
    elif pa.types.is_duration(kind):
        yield pa.duration("us")
    yield pa.string()


def strings_of(
    raw: Raw, text_of: Callable[[Any], str | None], failed: dict[int, str]
) -> pa.StringArray:
    """Return a column as strings: as they are if all are text, else what `text_of` makes of each.

    A value that is nested too deeply is null, and `failed` gets its index and why.
    """
    strings = _all_strings(raw)
    if strings is not None:
        return strings
    texts: list[str | None] = []
    for index, value in enumerate(python_values(raw)):
        try:
            texts.append(text_of(value))
        except RecursionError:
            texts.append(None)
            failed[index] = TOO_DEEP
    try:
        return pa.array(texts, pa.string())
    except UnicodeEncodeError:
        sound = [None if text is None else without_surrogates(text) for text in texts]
        return pa.array(sound, pa.string())


def _all_strings(raw: Raw) -> pa.StringArray | None:
    """Convert a column of text, null or UTF-8 bytes; None if it has anything else."""
    try:
        if isinstance(raw, list):
            return pa.array(raw, pa.string())
        if pa.types.is_dictionary(raw.type):
            raw = raw.dictionary_decode()
        if not _is_text(raw.type):
            return None
        return raw.cast(pa.string())
    except (TypeError, ValueError, NotImplementedError):
        return None


def _is_text(kind: pa.DataType) -> bool:
    types = pa.types
    return any(
        is_kind(kind)
        for is_kind in (
            *(types.is_string, types.is_large_string, types.is_string_view, types.is_null),
            *(types.is_binary, types.is_large_binary, types.is_binary_view),
            types.is_fixed_size_binary,
        )
    )
