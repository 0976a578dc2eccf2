"""What speaks for and against a column by its values: objections and reasons, in words."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from datetime import date

from article_flows.tasks.cleaning.columns.profiles import ColumnProfile
from article_flows.tasks.cleaning.language.codes import usual_code
from article_flows.tasks.common.column_names import is_generic, may_be_id, may_be_published

ColumnCheck = Callable[[ColumnProfile, ColumnProfile | None], str]
"""Looks at a column, and at that of the body if there is one; says why (or why not), or nothing."""

LONG_TEXT = 200
"""Characters (the median of a column) from which text is taken for a body whatever its name."""
_SHORT_TEXT = 300
"""The most characters of titles, names and labels."""
_ID_CHARS, _COMPACT_ID_CHARS = 500, 64
_CATEGORY_CHARS = 60
_ENOUGH_IDS = 10
_UNIQUE = 0.5
"""Ids may repeat, as versions of an article do, but not most of them. A sample tells it: a bound
near what files have would change an article's id from one load to the next."""
_ENOUGH_ROWS = 20
_MOST_CATEGORIES = 50
_NEARLY_ALL = 0.9
_SERIAL_DAYS = range(20_000, 80_000)
"""Days since the end of 1899, as spreadsheets count them: 1954 to 2119."""
_DECIMAL = re.compile(r"\d+(\.\d+)?", re.ASCII)
_PICTURES = (".jpg", ".jpeg", ".png", ".gif", ".webp", ".svg")
# Without "no" and "si", which are answers as often.
_LANGUAGES = frozenset(
    "af am ar az be bg bn bs ca cs cy da de el en eo es et eu fa fi fr ga gl gu he hi hr hu hy id "
    "is it ja ka kk km kn ko lb lt lv mk ml mn mr ms mt my ne nl nb nn pa pl ps pt ro ru sd "
    "sk sl so sq sr sv sw ta te tg th tk tl tr tt uk ur uz vi xh yi zh zu".split()
)


def rejection_reason(target: str, profile: ColumnProfile, body: ColumnProfile | None) -> str:
    """Say why a column of this name is not the canonical column; empty if it can be."""
    return _REJECTION_CHECKS[target](profile, body) if profile.values else ""


def find_column(
    target: str, candidates: Iterable[ColumnProfile], body: ColumnProfile | None
) -> tuple[ColumnProfile, str] | None:
    """Find a column for a canonical one among those that are free, and say why."""
    rule = _CONTENT_CHECKS.get(target)
    if rule is None:
        return None
    for profile in candidates:
        if profile.values and not profile.is_constant and (reason := rule(profile, body)):
            return profile, reason
    return None


def longest_text(candidates: Iterable[ColumnProfile]) -> ColumnProfile | None:
    """Return the column with the longest texts, if they are long enough for articles."""
    fitting = [
        each
        for each in candidates
        if each.is_text
        and each.is_prose
        and each.weight >= LONG_TEXT
        and not each.is_constant
        and each.distinct * 2 >= len(each.values)
    ]
    return max(fitting, key=lambda each: each.weight, default=None)


def _reject_non_text(profile: ColumnProfile, things: str = "text") -> str:
    if profile.is_text:
        return ""
    kinds = {"number": "numbers", "text": "numbers", "list": "lists", "date": "dates"}
    return f"holds no {things} but {kinds.get(profile.type, f'{profile.type} values')}"


def _reject_body(profile: ColumnProfile, _: ColumnProfile | None) -> str:
    if profile.is_text and profile.is_url:
        return "holds addresses, no text"
    if profile.is_text and profile.date_share > 0.5:
        return "holds dates, no text"
    return _reject_non_text(profile)


def _reject_title(profile: ColumnProfile, body: ColumnProfile | None) -> str:
    if profile.is_text and profile.is_url:
        return "holds addresses, no titles"
    if profile.is_text and body is not None and profile.chars > body.chars:
        return f"longer than the body: median {profile.chars:,} characters"
    return _reject_non_text(profile)


def _reject_url(profile: ColumnProfile, _: ColumnProfile | None) -> str:
    return "" if profile.is_url else "its values are no URLs"


def _reject_label(profile: ColumnProfile, _: ColumnProfile | None) -> str:
    """Authors and categories are also records, and lists of them."""
    if profile.type == "nested" or (profile.type == "list" and not profile.texts):
        return ""
    if profile.is_text and profile.weight > _SHORT_TEXT:
        return f"too long: median {profile.chars:,} characters"
    return _reject_non_text(profile, "names")


def _reject_date(profile: ColumnProfile, _: ColumnProfile | None) -> str:
    if profile.date_share >= 0.5:
        return ""
    some = [str(value).strip() for value in profile.values[:100]]
    whole = [value.partition(".")[0] for value in some if _DECIMAL.fullmatch(value)]
    if len(whole) < len(some):
        return "most of its values are no dates"
    if all(int(value) in _SERIAL_DAYS for value in whole):
        return f"numbers such as {some[0]}, as spreadsheets count days; write them as 2024-01-31"
    if all(len(value) == 4 for value in whole):
        return "a year alone is no date"
    if all(len(value) == 6 and 1 <= int(value[4:]) <= 12 for value in whole):
        return "a year and a month alone are no date"
    return "its numbers are no dates"


def _reject_language(profile: ColumnProfile, _: ColumnProfile | None) -> str:
    named = profile.share(lambda text: usual_code(text) is not None)
    return "its values name no language" * (named < 0.5)


def _reject_id(profile: ColumnProfile, body: ColumnProfile | None) -> str:
    if profile.type not in ("text", "number", "mixed"):
        return _reject_non_text(profile, "ids")
    if profile.chars > _ID_CHARS:
        return f"too long for an id: median {profile.chars:,} characters"
    # A row that comes twice as a whole may repeat its id.
    bodies = body.raw if body is not None else profile.raw
    rows = {(str(each), str(text)) for each, text in zip(profile.raw, bodies, strict=True)}
    repeats = profile.distinct < _UNIQUE * len(rows)
    if (repeats and len(rows) >= _ENOUGH_IDS) or (profile.is_constant and len(rows) >= 3):
        return f"repeated: {profile.distinct:,} values in {len(rows):,} rows"
    return ""


def _reject_summary(profile: ColumnProfile, body: ColumnProfile | None) -> str:
    if problem := _reject_non_text(profile):
        return problem
    if body is None:
        return "there is no text that it could be of"
    if profile.chars >= body.chars:
        return f"not shorter than the body: median {profile.chars:,} characters"
    is_sentences = profile.is_phrases and not profile.is_url
    return "" if is_sentences else "its values are no sentences"


def _title(profile: ColumnProfile, body: ColumnProfile | None) -> str:
    is_title = (
        body is not None
        and profile.type == "text"
        and profile.is_text
        and profile.is_unique
        and profile.weight <= _SHORT_TEXT
        and profile.weight * 2 < body.weight
        and profile.is_phrases
        and not profile.is_url
        and not profile.date_share > 0.5
    )
    return f"short and different in each row: median {profile.chars:,} characters" * is_title


def _published_at(profile: ColumnProfile, _: ColumnProfile | None) -> str:
    if profile.type not in ("text", "date") or not may_be_published(profile.name):
        return ""
    is_day = isinstance(profile.values[0], date) or not profile.is_number
    return "its values are dates" * (is_day and profile.date_share >= _NEARLY_ALL)


def _url(profile: ColumnProfile, _: ColumnProfile | None) -> str:
    pictures = profile.share(lambda text: text.lower().endswith(_PICTURES))
    is_page = profile.is_web and pictures < 0.5 and profile.is_unique
    return "its values are URLs" * (is_page and profile.is_url)


def _language(profile: ColumnProfile, _: ColumnProfile | None) -> str:
    codes = profile.share(
        lambda text: text[2:3] in ("", "-", "_") and usual_code(text) in _LANGUAGES
    )
    return "its values are language codes" * (codes >= _NEARLY_ALL and profile.type == "text")


def _article_id(profile: ColumnProfile, _: ColumnProfile | None) -> str:
    """Counters are no ids: those of another file are the same."""
    is_enough = profile.is_unique and len(profile.values) >= _ENOUGH_ROWS
    if not (is_enough and may_be_id(profile.name)):
        return ""
    if profile.is_number:
        numbers = [str(value).strip() for value in profile.values]
        if not all(each.isdecimal() for each in numbers):
            return ""
        ordered = sorted(map(int, numbers))
        is_counter = ordered[-1] - ordered[0] < 2 * len(ordered) or ordered[-1] < 10_000
        return "" if is_counter else "numbers that are different in each row"
    compact = profile.share(lambda text: len(text) <= _COMPACT_ID_CHARS and not _has_space(text))
    if compact < _NEARLY_ALL or profile.is_url or profile.is_cjk or profile.date_share > 0.5:
        return ""
    return "short and different in each row, without spaces"


def _has_space(text: str) -> bool:
    return any(map(str.isspace, text))


def _category(profile: ColumnProfile, _: ColumnProfile | None) -> str:
    rows = len(profile.values)
    is_label = (
        is_generic(profile.name)
        and rows >= _ENOUGH_ROWS
        and 1 < profile.distinct <= min(_MOST_CATEGORIES, rows // 4)
        and profile.type == "text"
        and profile.is_text
        and profile.weight <= _CATEGORY_CHARS
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
"""Why a column of a canonical one's name is not that."""
_CONTENT_CHECKS: dict[str, ColumnCheck] = {
    "title": _title,
    "url": _url,
    "published_at": _published_at,
    "language": _language,
    "category": _category,
    "article_id": _article_id,
}
"""Why a column whose name says nothing is a canonical one."""
