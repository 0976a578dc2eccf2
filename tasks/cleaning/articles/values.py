"""The short fields of articles by the column map: text, dates, reference summaries."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from article_flows.tasks.cleaning.columns.fields import strings_of, value_at
from article_flows.tasks.cleaning.columns.guesses import ColumnMap
from article_flows.tasks.cleaning.columns.profiles import is_blank
from article_flows.tasks.cleaning.columns.templates import Template
from article_flows.tasks.cleaning.dates.to_utc import moment
from article_flows.tasks.cleaning.text.clean import (
    as_text,
    clean_strings,
    clean_text,
    join_sentences,
)
from article_flows.tasks.cleaning.text.html_text import html_to_line
from article_flows.tasks.common.article_schema import Mask
from article_flows.tasks.reading.base.rows import Record
from article_flows.tasks.reading.web.addresses import USER

_IN_WORDS = ("title", "author", "category")
"""Short fields that people read: feeds and web pages leave HTML in them."""
_MARKUP = r"&[#A-Za-z][A-Za-z0-9]*;|</?[A-Za-z]"


def target_values(records: Sequence[Record], columns: ColumnMap, target: str) -> list[Any]:
    """Return the raw values that a canonical column is made of: of a column, or of a template."""
    if target in columns.templates:
        return _filled(records, columns.templates[target])
    name = columns.get(target)
    if name is None:
        return [None] * len(records)
    if "." in name:
        return [value_at(record, name) for record in records]
    return [record.get(name) for record in records]


def _filled(records: Sequence[Record], template: Template) -> list[str | None]:
    parts = [
        strings_of([value_at(record, name) for record in records], _part_text).to_pylist()
        for name in template.columns
    ]
    return [
        template.fill(
            {
                name: value
                for name, value in zip(template.columns, row, strict=True)
                if value is not None
            }
        )
        for row in zip(*parts, strict=True)
    ]


def _part_text(value: Any) -> str | None:
    text = join_sentences(value) if isinstance(value, list) else None
    return as_text(value) if text is None else text


def short_texts(records: Sequence[Record], columns: ColumnMap, target: str) -> pa.StringArray:
    """Return a field such as the title as clean text; null where it is missing or blank."""
    texts = _clean_or_null(target_values(records, columns, target), as_text)
    if target in ("url", "article_id"):
        return pc.replace_substring_regex(texts, USER, r"\1")
    return _without_markup(texts) if target in _IN_WORDS else texts


def _without_markup(texts: pa.StringArray) -> pa.StringArray:
    """Decode the entities and drop the tags of the few that have some."""
    marked = pc.fill_null(pc.match_substring_regex(texts, _MARKUP), pa.scalar(value=False))
    if not pc.any(marked).as_py():
        return texts
    plain = [clean_text(html_to_line(text)) or None for text in texts.filter(marked).to_pylist()]
    return pc.replace_with_mask(texts, marked, pa.array(plain, pa.string()))


def reference_summaries(records: Sequence[Record], columns: ColumnMap) -> pa.StringArray:
    """Return reference summaries as clean text; of several for one article each has a line."""
    return _clean_or_null(target_values(records, columns, "reference_summary"), _summary)


def _clean_or_null(raw: list[Any], text_of: Callable[[Any], str | None]) -> pa.StringArray:
    strings = clean_strings(strings_of(raw, text_of))
    return pc.if_else(pc.equal(strings, ""), pa.scalar(None, pa.string()), strings)


def _summary(value: Any) -> str | None:
    if not isinstance(value, (list, tuple)):
        return as_text(value)
    texts = (_part_text(each) for each in value)
    return "\n".join(clean for text in texts if text and (clean := clean_text(text))) or None


def publication_dates(
    records: Sequence[Record], columns: ColumnMap
) -> tuple[pa.TimestampArray, Mask, Mask]:
    """Read the dates of publication.

    Returns:
        The dates in UTC, null where there is none; which of them had a time of day and no zone;
        and which rows have a date that cannot be told.
    """
    raw = target_values(records, columns, "published_at")
    is_there = np.array([not is_blank(value) for value in raw], np.bool_)
    found = [None if is_blank(value) else moment(value, columns.day_first) for value in raw]
    utc = pa.array([each and each.utc for each in found], pa.timestamp("us", tz="UTC"))
    assumed = np.array([bool(each and each.zone_assumed) for each in found], np.bool_)
    return utc, assumed, is_there & ~np.asarray(utc.is_valid())
