"""Whether a column can be what its name says: objections in words."""

from __future__ import annotations

import re
from collections.abc import Callable

from tasks.cleaning.column_profiles import Profile, written
from tasks.cleaning.language_codes import usual_code

_DECIMAL = re.compile(r"\d+(\.\d+)?", re.ASCII)
ID_CHARS = 500
SHORT_WEIGHT = 300
_ENOUGH_IDS = 10
_UNIQUE = 0.5
"""Ids may repeat, as versions of an article do, but not most of them. A sample tells it: a bound
near what files have would change an article's id from one load to the next."""
_SERIAL_DAYS = range(20_000, 80_000)
"""Days since the end of 1899, as spreadsheets count them: 1954 to 2119."""


def objection(target: str, profile: Profile, body: Profile | None) -> str:
    """Say why a column of this name is not the canonical column; empty if it can be.

    Args:
        target: the canonical column.
        profile: the source's column.
        body: the column of the body, if there is one.
    """
    if not profile.values:
        return ""
    return _CHECKS[target](profile, body)


def _no_body(profile: Profile, _: Profile | None) -> str:
    if not profile.is_text:
        return f"holds no text but {_what(profile)}"
    if profile.is_url:
        return "holds addresses, no text"
    return "holds dates, no text" if profile.date_share > 0.5 else ""


def _no_title(profile: Profile, body: Profile | None) -> str:
    if not profile.is_text:
        return f"holds no text but {_what(profile)}"
    if profile.is_url:
        return "holds addresses, no titles"
    if body is not None and profile.chars > body.chars:
        return f"longer than the body: median {profile.chars:,} characters"
    return ""


def _no_url(profile: Profile, _: Profile | None) -> str:
    return "" if profile.is_url else "its values are no URLs"


def _no_author(profile: Profile, _: Profile | None) -> str:
    if profile.type == "nested" or (profile.type == "list" and not profile.texts):
        return ""
    if not profile.is_text:
        return f"holds no names but {_what(profile)}"
    return _too_long(profile)


def _no_date(profile: Profile, _: Profile | None) -> str:
    if profile.date_share >= 0.5:
        return ""
    some = [written(value).strip() for value in profile.values[:100]]
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


def _no_language(profile: Profile, _: Profile | None) -> str:
    named = profile.share(lambda text: usual_code(text) is not None)
    return "its values name no language" * (named < 0.5)


def _no_category(profile: Profile, _: Profile | None) -> str:
    if profile.type == "nested" or (profile.type == "list" and not profile.texts):
        return ""
    if not profile.is_text:
        return f"holds no names but {_what(profile)}"
    return _too_long(profile)


def _no_id(profile: Profile, body: Profile | None) -> str:
    if profile.type not in ("text", "number", "mixed"):
        return f"holds no ids but {_what(profile)}"
    if profile.chars > ID_CHARS:
        return f"too long for an id: median {profile.chars:,} characters"
    # A row that comes twice as a whole may repeat its id.
    bodies = body.raw if body is not None else profile.raw
    rows = {(written(each), written(text)) for each, text in zip(profile.raw, bodies, strict=True)}
    repeats = profile.distinct < _UNIQUE * len(rows)
    if (repeats and len(rows) >= _ENOUGH_IDS) or (profile.is_constant and len(rows) >= 3):
        return f"repeated: {profile.distinct:,} values in {len(rows):,} rows"
    return ""


def _no_summary(profile: Profile, body: Profile | None) -> str:
    if not profile.is_text:
        return f"holds no text but {_what(profile)}"
    if body is None:
        return "there is no text that it could be of"
    if profile.chars >= body.chars:
        return f"not shorter than the body: median {profile.chars:,} characters"
    if profile.is_url or not profile.is_phrases:
        return "its values are no sentences"
    return ""


def _too_long(profile: Profile) -> str:
    if profile.weight > SHORT_WEIGHT:
        return f"too long: median {profile.chars:,} characters"
    return ""


def _what(profile: Profile) -> str:
    names = {"number": "numbers", "text": "numbers", "list": "lists", "date": "dates"}
    return names.get(profile.type, f"{profile.type} values")


_CHECKS: dict[str, Callable[[Profile, Profile | None], str]] = {
    "body": _no_body,
    "title": _no_title,
    "url": _no_url,
    "author": _no_author,
    "published_at": _no_date,
    "language": _no_language,
    "category": _no_category,
    "article_id": _no_id,
    "reference_summary": _no_summary,
}
