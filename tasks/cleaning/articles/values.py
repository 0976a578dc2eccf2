"""The values of an article's fields other than the body: short texts, dates, summaries."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from article_flows.tasks.cleaning.columns.fields import strings_of, value_at
from article_flows.tasks.cleaning.columns.guesses import ColumnMap
from article_flows.tasks.cleaning.columns.profiles import is_blank
from article_flows.tasks.cleaning.columns.templates import Template
from article_flows.tasks.cleaning.dates.to_utc import parse_date
from article_flows.tasks.cleaning.text.clean import (
    as_text,
    clean_strings,
    clean_text,
    join_sentences,
)
from article_flows.tasks.cleaning.text.html_text import html_to_line
from article_flows.tasks.common.article_schema import Mask
from article_flows.tasks.reading.base.rows import Record
from article_flows.tasks.reading.web.addresses import CREDENTIALS_PATTERN

# Feeds and web pages leave HTML in these short fields.
_MAY_HAVE_MARKUP = ("title", "author", "category")
_MARKUP = r"&[#A-Za-z][A-Za-z0-9]*;|</?[A-Za-z]"


def target_values(records: Sequence[Record], columns: ColumnMap, target: str) -> list[Any]:
    """Return the raw values of a canonical column, from its source column or its template."""
    if target in columns.templates:
        return _template_texts(records, columns.templates[target])
    name = columns.get(target)
    if name is None:
        return [None] * len(records)
    if "." in name:
        return [value_at(record, name) for record in records]
    return [record.get(name) for record in records]


def _template_texts(records: Sequence[Record], template: Template) -> list[str | None]:
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
    """Return a short field such as the title as clean text; null if missing or blank."""
    texts = _clean_or_null(target_values(records, columns, target), as_text)
    if target in ("url", "article_id"):
        return pc.replace_substring_regex(texts, CREDENTIALS_PATTERN, r"\1")
    return _without_markup(texts) if target in _MAY_HAVE_MARKUP else texts


def _without_markup(texts: pa.StringArray) -> pa.StringArray:
    suspects = pc.fill_null(pc.match_substring_regex(texts, _MARKUP), pa.scalar(value=False))
    if not pc.any(suspects).as_py():
        return texts
    plain = [clean_text(html_to_line(text)) or None for text in texts.filter(suspects).to_pylist()]
    return pc.replace_with_mask(texts, suspects, pa.array(plain, pa.string()))


def reference_summaries(records: Sequence[Record], columns: ColumnMap) -> pa.StringArray:
    """Return reference summaries as clean text; several summaries of one article are lines."""
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
    """Parse the publication dates.

    Returns:
        The dates in UTC, null if missing or not parsed; a mask of dates with a time of day but no
        time zone; and a mask of rows whose date could not be parsed.
    """
    raw = target_values(records, columns, "published_at")
    is_given = np.array([not is_blank(value) for value in raw], np.bool_)
    dates = [None if is_blank(value) else parse_date(value, columns.day_first) for value in raw]
    utc = pa.array([date and date.utc for date in dates], pa.timestamp("us", tz="UTC"))
    zone_assumed = np.array([bool(date and date.zone_assumed) for date in dates], np.bool_)
    return utc, zone_assumed, is_given & ~np.asarray(utc.is_valid())
