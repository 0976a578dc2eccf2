"""The short fields of articles by the column map: text, dates, reference summaries."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tasks.cleaning.canonical_dates import moment
from tasks.cleaning.canonical_fields import Fields, Raw, python_values, strings_of
from tasks.cleaning.canonical_text import as_text, clean_strings, clean_text, join_sentences
from tasks.cleaning.column_profiles import is_blank
from tasks.cleaning.columns import ColumnMap
from tasks.cleaning.html_text import line_of_html
from tasks.cleaning.templates import Template
from tasks.cleaning.text_buffers import Mask, bytes_of
from tasks.reading.addresses import USER

_IN_WORDS = ("title", "author", "category")
"""Short fields that people read: feeds and web pages leave HTML in them."""
_MARKUP = r"&[#A-Za-z][A-Za-z0-9]*;|</?[A-Za-z]"


@dataclass(frozen=True)
class Moments:
    """When articles were published.

    Attributes:
        utc: as `timestamp[us, UTC]`, null where it is not known.
        zone_assumed: which of them had a time of day and no zone.
        unread: which of them have a date that cannot be told.
    """

    utc: pa.TimestampArray
    zone_assumed: Mask
    unread: Mask


def target_column(fields: Fields, columns: ColumnMap, target: str, failed: dict[int, str]) -> Raw:
    """Return the raw values that a canonical column is made of: of a column, or of a template."""
    if target in columns.templates:
        return _filled(fields, columns.templates[target], failed)
    name = columns.get(target)
    return pa.nulls(len(fields)) if name is None else fields.column(name)


def _filled(fields: Fields, template: Template, failed: dict[int, str]) -> list[str | None]:
    parts = [
        strings_of(fields.column(name), _part_text, failed).to_pylist() for name in template.columns
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


def short_texts(
    fields: Fields, columns: ColumnMap, target: str, failed: dict[int, str]
) -> pa.StringArray:
    """Return a field such as the title as clean text; null where it is missing or blank."""
    texts = _clean_or_null(target_column(fields, columns, target, failed), as_text, failed)
    if target in ("url", "article_id") and _has_any(texts, b"@"):
        return pc.replace_substring_regex(texts, USER, r"\1")
    if target in _IN_WORDS and _has_any(texts, b"&<"):
        return _without_markup(texts)
    return texts


def _has_any(texts: pa.StringArray, signs: bytes) -> bool:
    """Tell whether one of some ASCII characters is anywhere: a tenth of the time of a pattern."""
    content, _ = bytes_of(texts)
    return any(bool((content == sign).any()) for sign in signs)


def _without_markup(texts: pa.StringArray) -> pa.StringArray:
    """Decode the entities and drop the tags of the few that have some."""
    marked = pc.fill_null(pc.match_substring_regex(texts, _MARKUP), pa.scalar(value=False))
    if not pc.any(marked).as_py():
        return texts
    plain = [clean_text(line_of_html(text)) or None for text in texts.filter(marked).to_pylist()]
    return pc.replace_with_mask(texts, marked, pa.array(plain, pa.string()))


def summaries(fields: Fields, columns: ColumnMap, failed: dict[int, str]) -> pa.StringArray:
    """Return reference summaries as clean text; of several for one article each has a line."""
    raw = target_column(fields, columns, "reference_summary", failed)
    return _clean_or_null(raw, _summary, failed)


def _clean_or_null(
    raw: Raw, text_of: Callable[[Any], str | None], failed: dict[int, str]
) -> pa.StringArray:
    if _is_all_null(raw):
        return pa.nulls(len(raw), pa.string())
    strings = clean_strings(strings_of(raw, text_of, failed))
    blank = np.diff(bytes_of(strings)[1]) == 0
    if not blank.any():
        return strings
    return pc.if_else(pa.array(blank), pa.scalar(None, pa.string()), strings)


def _is_all_null(raw: Raw) -> bool:
    return isinstance(raw, pa.Array) and raw.null_count == len(raw)


def _summary(value: Any) -> str | None:
    if not isinstance(value, (list, tuple)):
        return as_text(value)
    texts = (_part_text(each) for each in value)
    return "\n".join(clean for text in texts if text and (clean := clean_text(text))) or None


def moments(fields: Fields, columns: ColumnMap, failed: dict[int, str]) -> Moments:
    """Read the dates of publication."""
    raw = target_column(fields, columns, "published_at", failed)
    utc: list[datetime | None] = [None] * len(fields)
    assumed = np.zeros(len(fields), np.bool_)
    unread = np.zeros(len(fields), np.bool_)
    if not _is_all_null(raw):
        for index, value in enumerate(python_values(raw)):
            if is_blank(value):
                continue
            found = moment(value, columns.day_first)
            if found is None:
                unread[index] = True
            else:
                utc[index] = found.utc
                assumed[index] = found.zone_assumed
    return Moments(pa.array(utc, pa.timestamp("us", tz="UTC")), assumed, unread)
