"""Access to the fields of records, and conversion of values to Arrow strings."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pyarrow as pa

from article_flows.tasks.reading.base.rows import Record
from article_flows.tasks.reading.base.text_encoding import without_surrogates


def unused_fields(records: Sequence[Record], used: frozenset[str]) -> Iterator[Record]:
    """Yield the fields of each record that are not among the used columns."""
    dotted = [name for name in used if "." in name]
    for record in records:
        if record.keys() <= used:
            yield {}
            continue
        unused = {name: value for name, value in record.items() if name not in used}
        nested = [name for name in dotted if name not in record]
        yield _without(unused, nested) if nested else unused


def value_at(record: Record, name: str) -> Any:
    """Return the value of a column or of a nested field; None if missing.

    Example:
        >>> value_at({"page": {"text": "It opened."}}, "page.text")
        'It opened.'
    """
    if name in record:
        return record[name]
    head, dot, rest = name.partition(".")
    inner = record.get(head) if dot else None
    return value_at(inner, rest) if isinstance(inner, dict) else None


def _without(record: Record, dotted: list[str]) -> Record:
    """Return a copy without some nested fields, and without structs that become empty."""
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


def strings_of(values: list[Any], text_of: Callable[[Any], str | None]) -> pa.StringArray:
    """Return values as strings; if not all are text, each is converted by `text_of`.

    Raises:
        RecursionError: A value is nested too deeply.
    """
    try:
        return pa.array(values, pa.string())
    except (TypeError, ValueError, NotImplementedError):
        texts = [text_of(value) for value in values]
    try:
        return pa.array(texts, pa.string())
    except UnicodeEncodeError:
        encodable = [None if text is None else without_surrogates(text) for text in texts]
        return pa.array(encodable, pa.string())
