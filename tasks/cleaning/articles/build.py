"""Raw records to the canonical table of articles: one fixed schema, whatever the source was."""

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
_USUAL = Rules()
_SHORT_FIELDS = ("article_id", "title", "url", "author", "language", "category")


@dataclass(frozen=True)
class CanonicalChunk:
    """A chunk of a source in the canonical schema, and those of its rows that are no articles.

    `rejects` holds the reader's too, by row; `rows` are the numbers of the batch's rows.
    """

    batch: pa.RecordBatch
    rejects: list[Reject]
    rows: npt.NDArray[np.int64]


def canonical(
    chunk: RecordChunk, columns: ColumnMap, source: str, rules: Rules = _USUAL
) -> CanonicalChunk:
    """Turn raw rows into canonical ones; those that the rules take for no article are rejects.

    Every row of the chunk becomes a row of the batch or a reject, whatever it holds.
    """
    records, numbers = chunk.records, np.asarray(chunk.rows, np.int64)
    batch, refused = _articles(records, columns, source, rules)
    is_kept = np.ones(len(records), np.bool_)
    is_kept[list(refused)] = False
    rejects = list(chunk.rejects)
    for index, reason in refused.items():
        raw = excerpt(records[index], EXCERPT_CHARS)
        rejects.append(Reject(int(numbers[index]), reason, raw))
    return CanonicalChunk(batch, sorted(rejects, key=lambda each: each.row), numbers[is_kept])


def _articles(
    records: Sequence[Record], columns: ColumnMap, source: str, rules: Rules
) -> tuple[pa.RecordBatch, dict[int, str]]:
    """Make articles of records; tells also which are none, by index, and why."""
    try:
        articles = records
        bodies, noticed, refused = bodies_of(records, columns, rules)
        if refused:
            kept = [index for index in range(len(records)) if index not in refused]
            bodies = bodies.take(pa.array(kept, pa.int64()))
            noticed = {flag: mask[kept] for flag, mask in noticed.items()}
            articles = [records[index] for index in kept]
        batch = _batch(articles, bodies, columns, source, rules, noticed)
    except RecursionError:
        # Some row is nested too deeply: it is found by halves.
        if len(records) == 1:
            return pa.RecordBatch.from_pylist([], ARTICLES_SCHEMA), {0: TOO_DEEP}
    else:
        return batch, refused
    middle = len(records) // 2
    first, refused = _articles(records[:middle], columns, source, rules)
    second, more = _articles(records[middle:], columns, source, rules)
    refused |= {middle + index: reason for index, reason in more.items()}
    return pa.concat_batches([first, second]), refused


def _batch(
    records: Sequence[Record],
    bodies: pa.StringArray,
    columns: ColumnMap,
    source: str,
    rules: Rules,
    noticed: Mapping[str, Mask],
) -> pa.RecordBatch:
    made = {name: short_texts(records, columns, name) for name in _SHORT_FIELDS}
    made["body"] = bodies
    made["published_at"], zone_assumed, unread = publication_dates(records, columns)
    made["content_hash"] = _hashes(made["title"], bodies)
    made["article_id"] = _ids(made)
    given = usual_codes(made["language"])
    made["language"], detected = _languages(given, bodies, rules)
    made["source"] = pa.repeat(pa.scalar(source, pa.string()), len(records))
    made["extra"] = _extras(records, columns, unread)
    made["reference_summary"] = reference_summaries(records, columns)
    noticed = {
        **noticed,
        SHORT: short_bodies(bodies),
        LANGUAGE_DETECTED: detected,
        UTC_ASSUMED: zone_assumed,
        DATE_UNREAD: unread,
    }
    made["flags"] = _flag_lists(noticed, len(records))
    arrays = [made[name] for name in ARTICLES_SCHEMA.names]
    return pa.RecordBatch.from_arrays(arrays, schema=ARTICLES_SCHEMA)


def _hashes(titles: pa.StringArray, bodies: pa.StringArray) -> pa.StringArray:
    """Return `content_hash` of each row."""
    rows = zip(*(texts.cast(pa.binary()).to_pylist() for texts in (titles, bodies)), strict=True)
    return pa.array([hash_of_bytes(title or b"", body) for title, body in rows], pa.string())


def _ids(made: dict[str, pa.Array]) -> pa.StringArray:
    """The id that the source gives, else the URL, else one by the content."""
    ids = made["article_id"]
    if not ids.null_count:
        return ids
    digits = pc.utf8_slice_codeunits(made["content_hash"], 0, 16)
    return pc.coalesce(ids, made["url"], pc.binary_join_element_wise("content-", digits, ""))


def _languages(
    given: pa.StringArray, texts: pa.StringArray, rules: Rules
) -> tuple[pa.StringArray, Mask]:
    """Tell the languages that the source does not say; also which these are."""
    missing = given.is_null().to_numpy(zero_copy_only=False)
    if not (rules.detect_language and missing.any()):
        return given, np.zeros(len(given), np.bool_)
    mask = pa.array(missing)
    found = detect_languages(texts if missing.all() else texts.filter(mask))
    languages = pc.replace_with_mask(given, mask, found)
    return languages, missing & languages.is_valid().to_numpy(zero_copy_only=False)


def _extras(records: Sequence[Record], columns: ColumnMap, unread_dates: Mask) -> pa.StringArray:
    """Return a JSON object of what is in no column used, and the dates that nobody could read."""
    date = columns.templates.get("published_at")
    date_columns = date.columns if date else tuple(filter(None, [columns.get("published_at")]))
    rests = list(unused_fields(records, columns.used))
    for index in np.flatnonzero(unread_dates).tolist():
        rests[index] |= {name: value_at(records[index], name) for name in date_columns}
    return pa.array([to_json(rest) if rest else None for rest in rests], pa.string())


def _flag_lists(noticed: Mapping[str, Mask], rows: int) -> pa.ListArray:
    """Return the flags of each row, in the order of `FLAGS`; null where there is none."""
    none = np.zeros(rows, np.bool_)
    table = np.column_stack([noticed.get(flag, none) for flag in FLAGS])
    ends = np.cumsum(table.sum(axis=1))
    offsets = np.concatenate([[0], ends]).astype(np.int32)
    names = pa.array(FLAGS, pa.string()).take(pa.array(np.nonzero(table)[1]))
    return pa.ListArray.from_arrays(pa.array(offsets), names, mask=pa.array(~table.any(axis=1)))
