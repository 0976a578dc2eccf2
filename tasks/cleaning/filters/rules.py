"""Which rows are articles: rules that a user can set."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from article_flows.tasks.cleaning.filters.boilerplate import boilerplate_notices
from article_flows.tasks.common.article_schema import MAX_CHARS, Mask

SHORT_CHARS = 100
"""Below it, an article is flagged as short: one English sentence of news has about 130 characters.

Of 3,794 articles, abstracts and speeches that this was tried with, five are shorter.
"""
_CJK = "[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7a3]"
_CJK_WEIGHT = 3


@dataclass(frozen=True)
class Rules:
    """Which rows are taken for articles.

    Attributes:
        min_chars: a body of fewer characters is rejected.
        max_chars: a body of more is rejected; 0: none is.
        boilerplate: take pages that are nothing but a notice (page not found, enable JavaScript).
        detect_language: tell the language by the text where the source does not say it.
    """

    min_chars: int = 1
    max_chars: int = MAX_CHARS
    boilerplate: bool = False
    detect_language: bool = True


def rejected_bodies(bodies: pa.StringArray, rules: Rules) -> list[tuple[int, str]]:
    """Return the index of each body to be rejected, in order, and the reason for the user.

    Lengths are in characters. A null is left to the caller.
    """
    lengths = np.asarray(pc.utf8_length(bodies).fill_null(rules.min_chars))
    found: dict[int, str] = {}
    for row in np.flatnonzero(lengths < rules.min_chars).tolist():
        found[row] = (
            f"{lengths[row]:,} characters; at least {rules.min_chars:,} are wanted (--min-chars)"
        )
    if rules.max_chars:
        for row in np.flatnonzero(lengths > rules.max_chars).tolist():
            found[row] = (
                f"{lengths[row]:,} characters; at most {rules.max_chars:,} are taken (--max-chars)"
            )
    if not rules.boilerplate:
        for row, notice in boilerplate_notices(bodies):
            found.setdefault(row, f"boilerplate: {notice}")
    return sorted(found.items())


def short_bodies(bodies: pa.StringArray) -> Mask:
    """Tell of each body whether it is short for an article: SHORT_CHARS, a sign of Chinese for 3.

    A sign of Chinese, Japanese or Korean says as much as three letters do.
    """
    # No character has more than four bytes in UTF-8.
    few_bytes = pc.less(pc.binary_length(bodies), 4 * SHORT_CHARS).fill_null(False)
    short = np.asarray(few_bytes).astype(bool)
    rows = np.flatnonzero(short)
    some = bodies.take(pa.array(rows))
    extra = pc.multiply(pc.count_substring_regex(some, _CJK), _CJK_WEIGHT - 1)
    short[rows] = np.asarray(pc.less(pc.add(pc.utf8_length(some), extra), SHORT_CHARS))
    return short
