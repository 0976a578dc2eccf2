"""Which rows of a chunk are articles, and their text."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tasks.cleaning.canonical_fields import Fields, python_values, strings_of
from tasks.cleaning.canonical_text import clean_strings, clean_text, join_sentences
from tasks.cleaning.canonical_values import target_column
from tasks.cleaning.columns import ColumnMap
from tasks.cleaning.html_text import html_suspects, text_of_html
from tasks.cleaning.rules import Rules, judge
from tasks.cleaning.text_buffers import Mask, bytes_of

EMPTY_BODY = "empty body"
_INVISIBLE = r"^[\s\p{Z}\p{Cf}\p{Mn}\x{2800}\x{3164}\x{ffa0}]*$"
"""Nothing that can be seen, in RE2's syntax: spaces of any width, joiners, marks of direction."""
_MOST_BYTES_A_SIGN = 4


@dataclass(frozen=True)
class Bodies:
    """The articles among some rows.

    Attributes:
        texts: their text as stored; no nulls.
        was_html: of each of them, whether its source was HTML.
        kept: the index of each of them among the rows.
        refused: why each other row is no article, by index.
    """

    texts: pa.StringArray
    was_html: Mask
    kept: list[int]
    refused: dict[int, str]


def bodies_of(fields: Fields, columns: ColumnMap, rules: Rules) -> Bodies:
    """Make the text of each row and judge it by the rules."""
    refused: dict[int, str] = {}
    raw = target_column(fields, columns, "body", refused)
    texts = clean_strings(strings_of(raw, _text_of, refused))
    if texts.null_count:
        for index in np.flatnonzero(texts.is_null().to_numpy(zero_copy_only=False)).tolist():
            refused.setdefault(index, _why_no_text(python_values(raw[index : index + 1])[0]))
        texts = texts.fill_null("")
    texts, was_html = _without_markup(texts, rules)
    empty = pc.match_substring_regex(texts, _INVISIBLE)
    for index in np.flatnonzero(empty.to_numpy(zero_copy_only=False)).tolist():
        refused.setdefault(index, EMPTY_BODY)
    for index, reason in judge(texts, rules):
        refused.setdefault(index, reason)
    kept = [index for index in range(len(texts)) if index not in refused]
    if refused:
        texts, was_html = texts.take(pa.array(kept, pa.int64())), was_html[kept]
    return Bodies(texts, was_html, kept, refused)


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
        suspects &= np.diff(bytes_of(texts)[1]) <= _MOST_BYTES_A_SIGN * rules.max_chars
    found = {}
    for index in np.flatnonzero(suspects).tolist():
        text = text_of_html(texts[index].as_py())
        if text is not None:
            found[index] = clean_text(text)
    was_html = np.zeros(len(texts), np.bool_)
    if not found:
        return texts, was_html
    was_html[list(found)] = True
    replaced = pa.array(list(found.values()), pa.string())
    return pc.replace_with_mask(texts, pa.array(was_html), replaced), was_html
