"""The rules, configurable by the user, that decide which rows are articles."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from article_flows.tasks.cleaning.filters.boilerplate import boilerplate_notices
from article_flows.tasks.common.article_schema import MAX_CHARS, Mask

SHORT_CHARS = 100
"""Articles below this many characters are flagged as short. One sentence of English news has about
130; of 3,794 articles, abstracts and speeches in the development data, five are shorter."""
_CJK = "[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7a3]"
_CJK_WEIGHT = 3


@dataclass(frozen=True)
class Rules:
    """Which rows are articles.

    Attributes:
        min_chars: The minimum length of a body, in characters.
        max_chars: The maximum length of a body, in characters; 0 for no limit.
        boilerplate: Whether to keep boilerplate pages (page not found, enable JavaScript).
        detect_language: Whether to detect the language if the source does not give it.
    """

    min_chars: int = 1
    max_chars: int = MAX_CHARS
    boilerplate: bool = False
    detect_language: bool = True


def rejected_bodies(bodies: pa.StringArray, rules: Rules) -> list[tuple[int, str]]:
    """Return the index and the reason of each body that the rules reject, in order.

    Nulls are left to the caller.
    """
    lengths = np.asarray(pc.utf8_length(bodies).fill_null(rules.min_chars))
    found: dict[int, str] = {}
    for row in np.flatnonzero(lengths < rules.min_chars).tolist():
        found[row] = (
            f"{lengths[row]:,} characters; the minimum is {rules.min_chars:,} (--min-chars)"
        )
    if rules.max_chars:
        for row in np.flatnonzero(lengths > rules.max_chars).tolist():
            found[row] = (
                f"{lengths[row]:,} characters; the maximum is {rules.max_chars:,} (--max-chars)"
            )
    if not rules.boilerplate:
        for row, notice in boilerplate_notices(bodies):
            found.setdefault(row, f"boilerplate: {notice}")
    return sorted(found.items())


def short_bodies(bodies: pa.StringArray) -> Mask:
    """Return for each body whether it is shorter than `SHORT_CHARS`.

    A Chinese, Japanese or Korean character counts as 3, as it says as much as three letters.
    """
    # No character has more than four bytes in UTF-8.
    few_bytes = pc.less(pc.binary_length(bodies), 4 * SHORT_CHARS).fill_null(False)
    short = np.asarray(few_bytes).astype(bool)
    rows = np.flatnonzero(short)
    suspects = bodies.take(pa.array(rows))
    extra = pc.multiply(pc.count_substring_regex(suspects, _CJK), _CJK_WEIGHT - 1)
    short[rows] = np.asarray(pc.less(pc.add(pc.utf8_length(suspects), extra), SHORT_CHARS))
    return short
