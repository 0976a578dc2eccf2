"""The bodies of a chunk's articles, and the reasons why other rows are rejected."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from article_flows.tasks.cleaning.articles.values import target_values
from article_flows.tasks.cleaning.columns.fields import strings_of
from article_flows.tasks.cleaning.columns.guesses import ColumnMap
from article_flows.tasks.cleaning.filters.rules import Rules, rejected_bodies
from article_flows.tasks.cleaning.text.clean import (
    MAY_CHANGE,
    clean_strings,
    clean_text,
    join_sentences,
)
from article_flows.tasks.cleaning.text.html_text import MAY_BE_HTML, html_suspects, html_to_text
from article_flows.tasks.cleaning.text.mojibake import (
    MAY_BE_MOJIBAKE,
    has_mojibake,
    mojibake_suspects,
)
from article_flows.tasks.common.article_schema import HTML, MOJIBAKE, REPLACEMENT_CHARACTERS, Mask
from article_flows.tasks.reading.base.rows import Record

EMPTY_BODY = "empty body"
# Nothing visible, in RE2 syntax: spaces of any width, joiners, directional marks.
_INVISIBLE = r"^[\s\p{Z}\p{Cf}\p{Mn}\x{2800}\x{3164}\x{ffa0}]*$"
_NEEDS_CLEANING = f"{MAY_CHANGE}|{MAY_BE_HTML}|{MAY_BE_MOJIBAKE}"
_MAX_BYTES_PER_CHARACTER = 4


def bodies_of(
    records: Sequence[Record], columns: ColumnMap, rules: Rules
) -> tuple[pa.StringArray, dict[str, Mask], dict[int, str]]:
    """Return the body of each row, its flags, and the rows to reject.

    Returns:
        The bodies, without nulls; for each flag a mask of the rows that have it; and the reason
        for each rejected row, by index.
    """
    rejected: dict[int, str] = {}
    raw = target_values(records, columns, "body")
    texts, flags = _cleaned(strings_of(raw, _text_of), rules)
    if texts.null_count:
        for index in np.flatnonzero(texts.is_null()).tolist():
            rejected[index] = _missing_text_reason(raw[index])
        texts = texts.fill_null("")
    empty = pc.match_substring_regex(texts, _INVISIBLE)
    for index in np.flatnonzero(empty).tolist():
        rejected.setdefault(index, EMPTY_BODY)
    for index, reason in rejected_bodies(texts, rules):
        rejected.setdefault(index, reason)
    return texts, flags, rejected


def _cleaned(texts: pa.StringArray, rules: Rules) -> tuple[pa.StringArray, dict[str, Mask]]:
    """Clean texts and convert HTML; return also a mask for each flag.

    One pass finds the few texts that need cleaning; the others are not read again.
    """
    needs_cleaning = pc.match_substring_regex(texts, _NEEDS_CLEANING).fill_null(False)
    cleaned, was_html = _without_markup(clean_strings(texts.filter(needs_cleaning)), rules)
    mojibake = mojibake_suspects(cleaned)
    replaced = np.zeros(len(cleaned), np.bool_)
    for index in np.flatnonzero(mojibake).tolist():
        text = cleaned[index].as_py()
        mojibake[index], replaced[index] = has_mojibake(text), "\ufffd" in text
    flags = {}
    for flag, mask in ((HTML, was_html), (MOJIBAKE, mojibake), (REPLACEMENT_CHARACTERS, replaced)):
        flags[flag] = np.zeros(len(texts), np.bool_)
        flags[flag][np.asarray(needs_cleaning)] = mask
    return pc.replace_with_mask(texts, needs_cleaning, cleaned), flags


def _text_of(value: Any) -> str | None:
    if isinstance(value, list):
        return join_sentences(value)
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return None
    return value if isinstance(value, str) else None


def _missing_text_reason(value: Any) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return EMPTY_BODY
    if isinstance(value, bytes):
        return f"{EMPTY_BODY}: bytes that are not UTF-8"
    return f"{EMPTY_BODY}: not text but {type(value).__name__}"


def _without_markup(texts: pa.StringArray, rules: Rules) -> tuple[pa.StringArray, Mask]:
    """Replace HTML with its text; return also which rows were HTML."""
    suspects = html_suspects(texts)
    if rules.max_chars and suspects.any():
        # Texts that will be rejected as too long are not converted, which saves time.
        max_bytes = _MAX_BYTES_PER_CHARACTER * rules.max_chars
        suspects &= np.asarray(pc.binary_length(texts)) <= max_bytes
    converted = {}
    for index in np.flatnonzero(suspects).tolist():
        text = html_to_text(texts[index].as_py())
        if text is not None:
            converted[index] = clean_text(text)
    was_html = np.zeros(len(texts), np.bool_)
    if not converted:
        return texts, was_html
    was_html[list(converted)] = True
    replacements = pa.array(list(converted.values()), pa.string())
    return pc.replace_with_mask(texts, pa.array(was_html), replacements), was_html
