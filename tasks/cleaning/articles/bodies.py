"""Which rows of a chunk are articles, and their text."""

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
_INVISIBLE = r"^[\s\p{Z}\p{Cf}\p{Mn}\x{2800}\x{3164}\x{ffa0}]*$"
"""Nothing that can be seen, in RE2's syntax: spaces of any width, joiners, marks of direction."""
_ODD = f"{MAY_CHANGE}|{MAY_BE_HTML}|{MAY_BE_MOJIBAKE}"
_MOST_BYTES_A_SIGN = 4


def bodies_of(
    records: Sequence[Record], columns: ColumnMap, rules: Rules
) -> tuple[pa.StringArray, dict[str, Mask], dict[int, str]]:
    """Make the text of each row and judge it by the rules.

    Returns:
        The texts, without nulls; by flag which of them have it; and by index why a row is no
        article.
    """
    refused: dict[int, str] = {}
    raw = target_values(records, columns, "body")
    texts, noticed = _cleaned(strings_of(raw, _text_of), rules)
    if texts.null_count:
        for index in np.flatnonzero(texts.is_null()).tolist():
            refused[index] = _why_no_text(raw[index])
        texts = texts.fill_null("")
    empty = pc.match_substring_regex(texts, _INVISIBLE)
    for index in np.flatnonzero(empty).tolist():
        refused.setdefault(index, EMPTY_BODY)
    for index, reason in rejected_bodies(texts, rules):
        refused.setdefault(index, reason)
    return texts, noticed, refused


def _cleaned(texts: pa.StringArray, rules: Rules) -> tuple[pa.StringArray, dict[str, Mask]]:
    """Clean texts and make those that are HTML plain; tells also by flag which have it.

    One pass finds the few texts with anything odd; the others are not looked at again.
    """
    odd = pc.match_substring_regex(texts, _ODD).fill_null(False)
    some, was_html = _without_markup(clean_strings(texts.filter(odd)), rules)
    mojibake = mojibake_suspects(some)
    replaced = np.zeros(len(some), np.bool_)
    for index in np.flatnonzero(mojibake).tolist():
        text = some[index].as_py()
        mojibake[index], replaced[index] = has_mojibake(text), "\ufffd" in text
    noticed = {}
    for flag, mask in ((HTML, was_html), (MOJIBAKE, mojibake), (REPLACEMENT_CHARACTERS, replaced)):
        noticed[flag] = np.zeros(len(texts), np.bool_)
        noticed[flag][np.asarray(odd)] = mask
    return pc.replace_with_mask(texts, odd, some), noticed


def _text_of(value: Any) -> str | None:
    """Return an article's text; None if the value is none."""
    if isinstance(value, list):
        return join_sentences(value)
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return None
    return value if isinstance(value, str) else None


def _why_no_text(value: Any) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return EMPTY_BODY
    if isinstance(value, bytes):
        return f"{EMPTY_BODY}: bytes that are not UTF-8"
    return f"{EMPTY_BODY}: not text but {type(value).__name__}"


def _without_markup(texts: pa.StringArray, rules: Rules) -> tuple[pa.StringArray, Mask]:
    """Replace HTML by its text; tells also which rows were HTML."""
    suspects = html_suspects(texts)
    if rules.max_chars and suspects.any():
        # What is too long anyway is not worth the time that parsing it would take.
        suspects &= np.asarray(pc.binary_length(texts)) <= _MOST_BYTES_A_SIGN * rules.max_chars
    found = {}
    for index in np.flatnonzero(suspects).tolist():
        text = html_to_text(texts[index].as_py())
        if text is not None:
            found[index] = clean_text(text)
    was_html = np.zeros(len(texts), np.bool_)
    if not found:
        return texts, was_html
    was_html[list(found)] = True
    replaced = pa.array(list(found.values()), pa.string())
    return pc.replace_with_mask(texts, pa.array(was_html), replaced), was_html
