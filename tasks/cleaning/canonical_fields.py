"""Rows as records: what a chunk of columns holds as Python values, and values as Arrow strings."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from tasks.reading.readers_base import Chunk, Record, RecordChunk
from tasks.reading.readers_text import without_surrogates


def as_records(chunk: Chunk) -> RecordChunk:
    """Return a chunk with its rows as records."""
    if isinstance(chunk, RecordChunk):
        return chunk
    columns = [python_values(column) for column in chunk.columns.values()]
    records: list[Record] = [{} for _ in chunk.rows]
    if columns:
        records = [dict(zip(chunk.columns, row, strict=True)) for row in zip(*columns, strict=True)]
    return RecordChunk(records, chunk.rows.tolist(), chunk.rejects)


def others(records: Sequence[Record], used: frozenset[str]) -> Iterator[Record]:
    """Yield what is in none of the used columns of each record."""
    dotted = [name for name in used if "." in name]
    for record in records:
        if record.keys() <= used:
            yield {}
            continue
        rest = {name: value for name, value in record.items() if name not in used}
        inner = [name for name in dotted if name not in record]
        yield _without(rest, inner) if inner else rest


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


def python_values(column: pa.Array) -> list[Any]:
    """Return a column as Python values: what `to_pylist` gives, or the next best of odd values.

    Nanoseconds, which a datetime cannot hold, are cut off; what has no Python value is written
    out as text.
    """
    if pa.types.is_timestamp(column.type) and column.type.unit == "ns":
        column = column.cast(pa.timestamp("us", column.type.tz), safe=False)
    try:
        return list(column.to_pylist())
    except (ValueError, OverflowError, UnicodeDecodeError, pa.ArrowException):
        return [_python_value(scalar) for scalar in column]


def _python_value(scalar: pa.Scalar) -> Any:
    try:
        return scalar.as_py()
    except (ValueError, OverflowError, pa.ArrowException):
        pass
    if pa.types.is_struct(scalar.type):
        return {field.name: _python_value(scalar[at]) for at, field in enumerate(scalar.type)}
    if isinstance(scalar, pa.ListScalar):
        return [_python_value(each) for each in scalar.values]
    try:
        return pc.cast(scalar, pa.string()).as_py()
    except (ValueError, pa.ArrowException):
        return None


def strings_of(values: list[Any], text_of: Callable[[Any], str | None]) -> pa.StringArray:
    """Return values as strings: as they are if all are text, else what `text_of` makes of each.

    Raises:
        RecursionError: a value is nested too deeply.
    """
    try:
        return pa.array(values, pa.string())
    except (TypeError, ValueError, NotImplementedError):
        texts = [text_of(value) for value in values]
    try:
        return pa.array(texts, pa.string())
    except UnicodeEncodeError:
        sound = [None if text is None else without_surrogates(text) for text in texts]
        return pa.array(sound, pa.string())
