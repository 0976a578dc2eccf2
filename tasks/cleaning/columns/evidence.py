"""Reasons, from a column's values, why it is or is not a canonical column, as text for the user."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from datetime import date

from article_flows.tasks.cleaning.columns.profiles import ColumnProfile
from article_flows.tasks.cleaning.language.codes import usual_code
from article_flows.tasks.common.column_names import is_generic, may_be_id, may_be_published

ColumnCheck = Callable[[ColumnProfile, ColumnProfile | None], str]
"""A function of a column and of the body's column, if known; returns the reason, or an empty string
if the check does not apply."""

LONG_TEXT = 200
"""The minimum median length of a body that is not named like one, in characters."""
# The maximum median length of titles, names and labels, in characters.
_MAX_LABEL_CHARS = 300
_MAX_ID_CHARS, _MAX_COMPACT_ID_CHARS = 500, 64
_MAX_CATEGORY_CHARS = 60
_MIN_IDS = 10
# Ids may repeat, as versions of an article do, but most must be distinct. The bound is far below
# what files usually have; otherwise the samples of two loads could give an article different ids.
_MIN_DISTINCT_IDS = 0.5
_MIN_ROWS = 20
_MAX_CATEGORIES = 50
_NEARLY_ALL = 0.9
# Days since the end of 1899, as spreadsheets count them: 1954 to 2119.
_SERIAL_DAYS = range(20_000, 80_000)
_DECIMAL = re.compile(r"\d+(\.\d+)?", re.ASCII)
_PICTURES = (".jpg", ".jpeg", ".png", ".gif", ".webp", ".svg")
# Without "no" and "si", which are just as often answers.
_LANGUAGES = frozenset(
    "af am ar az be bg bn bs ca cs cy da de el en eo es et eu fa fi fr ga gl gu he hi hr hu hy id "
    "is it ja ka kk km kn ko lb lt lv mk ml mn mr ms mt my ne nl nb nn pa pl ps pt ro ru sd "
    "sk sl so sq sr sv sw ta te tg th tk tl tr tt uk ur uz vi xh yi zh zu".split()
)


def rejection_reason(target: str, profile: ColumnProfile, body: ColumnProfile | None) -> str:
    """Return why a column with a matching name is not the canonical column; empty if it may be."""
    return _REJECTION_CHECKS[target](profile, body) if profile.values else ""


def find_column(
    target: str, candidates: Iterable[ColumnProfile], body: ColumnProfile | None
) -> tuple[ColumnProfile, str] | None:
    """Find the column of a canonical one by its values; return it with the reason, or None."""
    check = _CONTENT_CHECKS.get(target)
    if check is None:
        return None
    for profile in candidates:
        if profile.values and not profile.is_constant and (reason := check(profile, body)):
            return profile, reason
    return None


def longest_text(candidates: Iterable[ColumnProfile]) -> ColumnProfile | None:
    """Return the column with the longest texts that are long enough for articles, or None."""
    fitting = [
        each
        for each in candidates
        if each.is_text
        and each.is_prose
        and each.weighted_chars >= LONG_TEXT
        and not each.is_constant
        and each.distinct * 2 >= len(each.values)
    ]
    return max(fitting, key=lambda each: each.weighted_chars, default=None)


def _reject_non_text(profile: ColumnProfile, things: str = "text") -> str:
    if profile.is_text:
        return ""
    kinds = {"number": "numbers", "text": "numbers", "list": "lists", "date": "dates"}
    return f"holds {kinds.get(profile.type, f'{profile.type} values')}, not {things}"


def _reject_body(profile: ColumnProfile, _: ColumnProfile | None) -> str:
    if profile.is_text and profile.is_url:
        return "holds URLs, not text"
    if profile.is_text and profile.date_share > 0.5:
        return "holds dates, not text"
    return _reject_non_text(profile)


def _reject_title(profile: ColumnProfile, body: ColumnProfile | None) -> str:
    if profile.is_text and profile.is_url:
        return "holds URLs, not titles"
    if profile.is_text and body is not None and profile.chars > body.chars:
        return f"longer than the body: median {profile.chars:,} characters"
    return _reject_non_text(profile)


def _reject_url(profile: ColumnProfile, _: ColumnProfile | None) -> str:
    return "" if profile.is_url else "its values are not URLs"


def _reject_label(profile: ColumnProfile, _: ColumnProfile | None) -> str:
    # Authors and categories may also be records, or lists of records.
    if profile.type == "nested" or (profile.type == "list" and not profile.texts):
        return ""
    if profile.is_text and profile.weighted_chars > _MAX_LABEL_CHARS:
        return f"too long: median {profile.chars:,} characters"
    return _reject_non_text(profile, "names")


def _reject_date(profile: ColumnProfile, _: ColumnProfile | None) -> str:
    if profile.date_share >= 0.5:
        return ""
    sample = [str(value).strip() for value in profile.values[:100]]
    whole = [value.partition(".")[0] for value in sample if _DECIMAL.fullmatch(value)]
    if len(whole) < len(sample):
        return "most of its values are not dates"
    if all(int(value) in _SERIAL_DAYS for value in whole):
        return f"spreadsheet day numbers such as {sample[0]}; write the dates as 2024-01-31"
    if all(len(value) == 4 for value in whole):
        return "a year alone is not a date"
    if all(len(value) == 6 and 1 <= int(value[4:]) <= 12 for value in whole):
        return "a year and a month alone are not a date"
    return "its numbers are not dates"


def _reject_language(profile: ColumnProfile, _: ColumnProfile | None) -> str:
    languages = profile.share(lambda text: usual_code(text) is not None)
    return "its values are not languages" * (languages < 0.5)


def _reject_id(profile: ColumnProfile, body: ColumnProfile | None) -> str:
    if profile.type not in ("text", "number", "mixed"):
        return _reject_non_text(profile, "ids")
    if profile.chars > _MAX_ID_CHARS:
        return f"too long for an id: median {profile.chars:,} characters"
    # Duplicate rows may repeat the id, so only distinct pairs of id and body count.
    bodies = body.raw if body is not None else profile.raw
    rows = {(str(each), str(text)) for each, text in zip(profile.raw, bodies, strict=True)}
    repeats = profile.distinct < _MIN_DISTINCT_IDS * len(rows)
    if (repeats and len(rows) >= _MIN_IDS) or (profile.is_constant and len(rows) >= 3):
        return f"repeated: {profile.distinct:,} values in {len(rows):,} rows"
    return ""


def _reject_summary(profile: ColumnProfile, body: ColumnProfile | None) -> str:
    if problem := _reject_non_text(profile):
        return problem
    if body is None:
        return "there is no body that it could summarize"
    if profile.chars >= body.chars:
        return f"not shorter than the body: median {profile.chars:,} characters"
    is_sentences = profile.is_phrases and not profile.is_url
    return "" if is_sentences else "its values are not sentences"


def _title_reason(profile: ColumnProfile, body: ColumnProfile | None) -> str:
    is_title = (
        body is not None
        and profile.type == "text"
        and profile.is_text
        and profile.is_unique
        and profile.weighted_chars <= _MAX_LABEL_CHARS
        and profile.weighted_chars * 2 < body.weighted_chars
        and profile.is_phrases
        and not profile.is_url
        and not profile.date_share > 0.5
    )
    return f"short and different in each row: median {profile.chars:,} characters" * is_title


def _date_reason(profile: ColumnProfile, _: ColumnProfile | None) -> str:
    if profile.type not in ("text", "date") or not may_be_published(profile.name):
        return ""
    is_day = isinstance(profile.values[0], date) or not profile.is_number
    return "its values are dates" * (is_day and profile.date_share >= _NEARLY_ALL)


def _url_reason(profile: ColumnProfile, _: ColumnProfile | None) -> str:
    pictures = profile.share(lambda text: text.lower().endswith(_PICTURES))
    is_page = profile.is_web and pictures < 0.5 and profile.is_unique
    return "its values are URLs" * (is_page and profile.is_url)


def _language_reason(profile: ColumnProfile, _: ColumnProfile | None) -> str:
    codes = profile.share(
        lambda text: text[2:3] in ("", "-", "_") and usual_code(text) in _LANGUAGES
    )
    return "its values are language codes" * (codes >= _NEARLY_ALL and profile.type == "text")


def _id_reason(profile: ColumnProfile, _: ColumnProfile | None) -> str:
    is_enough = profile.is_unique and len(profile.values) >= _MIN_ROWS
    if not (is_enough and may_be_id(profile.name)):
        return ""
    if profile.is_number:
        numbers = [str(value).strip() for value in profile.values]
        if not all(each.isdecimal() for each in numbers):
            return ""
        # A row counter is not an id: other files count from the same number.
        ordered = sorted(map(int, numbers))
        is_counter = ordered[-1] - ordered[0] < 2 * len(ordered) or ordered[-1] < 10_000
        return "" if is_counter else "numbers that are different in each row"
    compact = profile.share(
        lambda text: len(text) <= _MAX_COMPACT_ID_CHARS and not _has_space(text)
    )
    if compact < _NEARLY_ALL or profile.is_url or profile.is_cjk or profile.date_share > 0.5:
        return ""
    return "short and different in each row, without spaces"


def _has_space(text: str) -> bool:
    return any(map(str.isspace, text))


def _category_reason(profile: ColumnProfile, _: ColumnProfile | None) -> str:
    rows = len(profile.values)
    is_label = (
        is_generic(profile.name)
        and rows >= _MIN_ROWS
        and 1 < profile.distinct <= min(_MAX_CATEGORIES, rows // 4)
        and profile.type == "text"
        and profile.is_text
        and profile.weighted_chars <= _MAX_CATEGORY_CHARS
        and not profile.date_share > 0.5
        and not profile.is_url
    )
    return f"few different short values: {profile.distinct:,} in {rows:,} rows" * is_label


_REJECTION_CHECKS: dict[str, ColumnCheck] = {
    "body": _reject_body,
    "title": _reject_title,
    "url": _reject_url,
    "author": _reject_label,
    "published_at": _reject_date,
    "language": _reject_language,
    "category": _reject_label,
    "article_id": _reject_id,
    "reference_summary": _reject_summary,
}
"""Checks of columns that are named like a canonical column."""
_CONTENT_CHECKS: dict[str, ColumnCheck] = {
    "title": _title_reason,
    "url": _url_reason,
    "published_at": _date_reason,
    "language": _language_reason,
    "category": _category_reason,
    "article_id": _id_reason,
}
"""Checks of columns whose names are not known."""
