"""Raw records to the canonical table of articles: one fixed schema, whatever the source was."""

import math
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import pyarrow as pa

from tasks.canonical_dates import as_utc
from tasks.canonical_json import to_json
from tasks.canonical_text import as_text, clean_text, join_sentences
from tasks.columns import ColumnMap
from tasks.readers_base import EXCERPT_CHARS, Chunk, Record, Reject

ARTICLES_SCHEMA = pa.schema(
    [
        ("article_id", pa.string()),
        ("title", pa.string()),
        ("body", pa.string()),
        ("url", pa.string()),
        ("author", pa.string()),
        ("published_at", pa.timestamp("us", tz="UTC")),
        ("language", pa.string()),
        ("category", pa.string()),
        ("content_hash", pa.string()),
        ("source", pa.string()),
        ("extra", pa.string()),
        ("reference_summary", pa.string()),
        ("flags", pa.list_(pa.string())),
    ]
)
"""The schema of every part of `<lake>/articles/`.

`extra` is a JSON object of all other columns, `reference_summary` what somebody wrote before, to
measure answers by. `flags` says what was noticed or assumed (`tasks.flags`); null if nothing.
"""

_SHORT_FIELDS = ("url", "author", "language", "category")
EMPTY_BODY = "empty body"


@dataclass(frozen=True)
class CanonicalChunk:
    """A chunk of a source in the canonical schema, and those of its rows that are no articles.

    `rejects` holds the reader's too, by row.
    """

    batch: pa.RecordBatch
    rejects: list[Reject]


def content_hash(title: str | None, body: str) -> str:
    """Return the hash of an article's content as stored: 32 hex digits of BLAKE2b."""
    digest = blake2b((title or "").encode() + b"\0", digest_size=16)
    digest.update(body.encode())
    return digest.hexdigest()


def canonical(chunk: Chunk, columns: ColumnMap, source: str) -> CanonicalChunk:
    """Turn raw records into canonical rows; a record without a body becomes a reject."""
    build = _RowBuilder(columns, source)
    rows: list[tuple[Any, ...]] = []
    rejects = list(chunk.rejects)
    for number, record in zip(chunk.rows, chunk.head(chunk.num_rows), strict=True):
        try:
            row = build.row(record)
        except RecursionError:
            row = "nested too deeply to be kept"
        if isinstance(row, str):
            rejects.append(Reject(int(number), row, _excerpt(record)))
        else:
            rows.append(row)
    rejects.sort(key=lambda reject: reject.row)
    values = list(zip(*rows, strict=True)) if rows else [()] * len(ARTICLES_SCHEMA)
    arrays = [
        pa.array(column, type=field.type)
        for column, field in zip(values, ARTICLES_SCHEMA, strict=True)
    ]
    return CanonicalChunk(pa.RecordBatch.from_arrays(arrays, schema=ARTICLES_SCHEMA), rejects)


class _RowBuilder:
    """Builds canonical rows of one source, in the order of ARTICLES_SCHEMA."""

    def __init__(self, columns: ColumnMap, source: str) -> None:
        self._source = source
        self._used = frozenset(columns.columns.values())
        self._id, self._title, self._body, self._date = map(
            columns.get, ("article_id", "title", "body", "published_at")
        )
        self._short_columns = [columns.get(each) for each in _SHORT_FIELDS]

    def row(self, record: Record) -> tuple[Any, ...] | str:
        """Return a row, or the reason why the record is no article."""
        body = _body(_value(record, self._body))
        if isinstance(body, _NotText):
            return body.reason
        title = _short(record, self._title)
        hashed = content_hash(title, body)
        url, author, language, category = (_short(record, each) for each in self._short_columns)
        raw_date = _value(record, self._date)
        published_at = as_utc(raw_date)
        rest = {name: value for name, value in record.items() if name not in self._used}
        if self._date is not None and published_at is None and raw_date not in (None, ""):
            rest[self._date] = raw_date
        return (
            _short(record, self._id) or url or f"content-{hashed[:16]}",
            title,
            body,
            url,
            author,
            published_at,
            language,
            category,
            hashed,
            self._source,
            to_json(rest) if rest else None,
            None,
            None,
        )


def _value(record: Record, column: str | None) -> Any:
    return record.get(column) if column is not None else None


def _short(record: Record, column: str | None) -> str | None:
    """Return a field such as the title as clean text; None if it is missing or blank."""
    raw = _value(record, column)
    text = raw if isinstance(raw, str) else as_text(raw)
    return clean_text(text) or None if text else None


@dataclass(frozen=True)
class _NotText:
    reason: str


def _body(value: Any) -> str | _NotText:
    """Return an article's text, or why there is none."""
    if isinstance(value, list):
        text = join_sentences(value)
    elif isinstance(value, bytes):
        try:
            text = value.decode()
        except UnicodeDecodeError:
            return _NotText(f"{EMPTY_BODY}: bytes that are not UTF-8")
    elif isinstance(value, str):
        text = value
    elif value is None or (isinstance(value, float) and math.isnan(value)):
        return _NotText(EMPTY_BODY)
    else:
        text = None
    if text is None:
        return _NotText(f"{EMPTY_BODY}: not text but {type(value).__name__}")
    return clean_text(text) or _NotText(EMPTY_BODY)


def _excerpt(record: Record) -> str:
    try:
        return to_json(record)[:EXCERPT_CHARS]
    except RecursionError:
        return ""
