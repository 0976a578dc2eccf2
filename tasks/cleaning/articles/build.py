"""Convert raw records to the canonical articles table, which has the same schema for any source.

Loads and ``inspect`` call `to_canonical` for each chunk that a reader yields.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from article_flows.tasks.cleaning.articles.bodies import bodies_of
from article_flows.tasks.cleaning.articles.values import (
    publication_dates,
    reference_summaries,
    short_texts,
)
from article_flows.tasks.cleaning.columns.fields import unused_fields, value_at
from article_flows.tasks.cleaning.columns.guesses import ColumnMap
from article_flows.tasks.cleaning.filters.rules import Rules, short_bodies
from article_flows.tasks.cleaning.language.codes import usual_codes
from article_flows.tasks.cleaning.language.detect import detect_languages
from article_flows.tasks.cleaning.text.to_json import excerpt, to_json
from article_flows.tasks.common.article_schema import (
    ARTICLES_SCHEMA,
    DATE_UNREAD,
    FLAGS,
    LANGUAGE_DETECTED,
    SHORT,
    UTC_ASSUMED,
    Mask,
    hash_of_bytes,
)
from article_flows.tasks.reading.base.rows import EXCERPT_CHARS, Record, RecordChunk, Reject

TOO_DEEP = "nested too deeply to be kept"
_DEFAULT_RULES = Rules()
_SHORT_FIELDS = ("article_id", "title", "url", "author", "language", "category")


@dataclass(frozen=True)
class CanonicalChunk:
    """A chunk of a source in the canonical schema, and its rejected rows.

    Attributes:
        batch: The articles, with `ARTICLES_SCHEMA`.
        rejects: The rejected rows in order, those of the reader included.
        rows: The row number in the source of each row of `batch`.
    """

    batch: pa.RecordBatch
    rejects: list[Reject]
    rows: npt.NDArray[np.int64]


def to_canonical(
    chunk: RecordChunk, columns: ColumnMap, source: str, rules: Rules = _DEFAULT_RULES
) -> CanonicalChunk:
    """Convert raw rows to articles, and reject those that the rules exclude.

    Every row of the chunk becomes either a row of the batch or a reject, whatever it contains.

    Args:
        chunk: Rows from a reader.
        columns: The source's column mapping.
        source: The source's name, for the column ``source``.
        rules: Which rows are articles.

    Example:
        >>> from article_flows.tasks.reading.base.rows import RecordChunk
        >>> chunk = RecordChunk([{"text": "It opened."}, {"text": None}], [1, 2], [])
        >>> made = to_canonical(chunk, ColumnMap({"body": "text"}), "news.csv")
        >>> made.batch["body"].to_pylist(), made.rejects[0].reason
        (['It opened.'], 'empty body')
    """
    records, numbers = chunk.records, np.asarray(chunk.rows, np.int64)
    batch, rejected = _articles(records, columns, source, rules)
    is_kept = np.ones(len(records), np.bool_)
    is_kept[list(rejected)] = False
    rejects = list(chunk.rejects)
    for index, reason in rejected.items():
        raw = excerpt(records[index], EXCERPT_CHARS)
        rejects.append(Reject(int(numbers[index]), reason, raw))
    return CanonicalChunk(batch, sorted(rejects, key=lambda each: each.row), numbers[is_kept])


def _articles(
    records: Sequence[Record], columns: ColumnMap, source: str, rules: Rules
) -> tuple[pa.RecordBatch, dict[int, str]]:
    """Return the articles, and the reason for each rejected record by index."""
    try:
        articles = records
        bodies, flags, rejected = bodies_of(records, columns, rules)
        if rejected:
            kept = [index for index in range(len(records)) if index not in rejected]
            bodies = bodies.take(pa.array(kept, pa.int64()))
            flags = {flag: mask[kept] for flag, mask in flags.items()}
            articles = [records[index] for index in kept]
        batch = _batch(articles, bodies, columns, source, rules, flags)
    except RecursionError:
        # A row is nested too deeply; bisection finds it.
        if len(records) == 1:
            return pa.RecordBatch.from_pylist([], ARTICLES_SCHEMA), {0: TOO_DEEP}
    else:
        return batch, rejected
    middle = len(records) // 2
    first, rejected = _articles(records[:middle], columns, source, rules)
    second, more = _articles(records[middle:], columns, source, rules)
    rejected |= {middle + index: reason for index, reason in more.items()}
    return pa.concat_batches([first, second]), rejected


def _batch(
    records: Sequence[Record],
    bodies: pa.StringArray,
    columns: ColumnMap,
    source: str,
    rules: Rules,
    body_flags: Mapping[str, Mask],
) -> pa.RecordBatch:
    arrays = {name: short_texts(records, columns, name) for name in _SHORT_FIELDS}
    arrays["body"] = bodies
    arrays["published_at"], zone_assumed, unread = publication_dates(records, columns)
    arrays["content_hash"] = _hashes(arrays["title"], bodies)
    arrays["article_id"] = _ids(arrays)
    given = usual_codes(arrays["language"])
    arrays["language"], detected = _languages(given, bodies, rules)
    arrays["source"] = pa.repeat(pa.scalar(source, pa.string()), len(records))
    arrays["extra"] = _extras(records, columns, unread)
    arrays["reference_summary"] = reference_summaries(records, columns)
    flags = {
        **body_flags,
        SHORT: short_bodies(bodies),
        LANGUAGE_DETECTED: detected,
        UTC_ASSUMED: zone_assumed,
        DATE_UNREAD: unread,
    }
    arrays["flags"] = _flag_lists(flags, len(records))
    in_order = [arrays[name] for name in ARTICLES_SCHEMA.names]
    return pa.RecordBatch.from_arrays(in_order, schema=ARTICLES_SCHEMA)


def _hashes(titles: pa.StringArray, bodies: pa.StringArray) -> pa.StringArray:
    rows = zip(*(texts.cast(pa.binary()).to_pylist() for texts in (titles, bodies)), strict=True)
    return pa.array([hash_of_bytes(title or b"", body) for title, body in rows], pa.string())


def _ids(arrays: dict[str, pa.Array]) -> pa.StringArray:
    """Return the ids: the source's, else the URL, else one derived from the content hash."""
    ids = arrays["article_id"]
    if not ids.null_count:
        return ids
    digits = pc.utf8_slice_codeunits(arrays["content_hash"], 0, 16)
    return pc.coalesce(ids, arrays["url"], pc.binary_join_element_wise("content-", digits, ""))


def _languages(
    given: pa.StringArray, texts: pa.StringArray, rules: Rules
) -> tuple[pa.StringArray, Mask]:
    """Detect the languages that the source does not give; return also which rows these are."""
    missing = given.is_null().to_numpy(zero_copy_only=False)
    if not (rules.detect_language and missing.any()):
        return given, np.zeros(len(given), np.bool_)
    mask = pa.array(missing)
    found = detect_languages(texts if missing.all() else texts.filter(mask))
    languages = pc.replace_with_mask(given, mask, found)
    return languages, missing & languages.is_valid().to_numpy(zero_copy_only=False)


def _extras(records: Sequence[Record], columns: ColumnMap, unread_dates: Mask) -> pa.StringArray:
    """Return for each row a JSON object of its unmapped columns and of a date that was not read."""
    date = columns.templates.get("published_at")
    date_columns = date.columns if date else tuple(filter(None, [columns.get("published_at")]))
    extras = list(unused_fields(records, columns.used))
    for index in np.flatnonzero(unread_dates).tolist():
        extras[index] |= {name: value_at(records[index], name) for name in date_columns}
    return pa.array([to_json(extra) if extra else None for extra in extras], pa.string())


def _flag_lists(flags: Mapping[str, Mask], rows: int) -> pa.ListArray:
    """Return the flags of each row in the order of `FLAGS`; null if it has none."""
    none = np.zeros(rows, np.bool_)
    table = np.column_stack([flags.get(flag, none) for flag in FLAGS])
    ends = np.cumsum(table.sum(axis=1))
    offsets = np.concatenate([[0], ends]).astype(np.int32)
    names = pa.array(FLAGS, pa.string()).take(pa.array(np.nonzero(table)[1]))
    return pa.ListArray.from_arrays(pa.array(offsets), names, mask=pa.array(~table.any(axis=1)))
