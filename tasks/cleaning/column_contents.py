"""What columns whose names say nothing are, by what is in them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import date

from tasks.cleaning.column_names import is_generic, may_be_id, may_be_published
from tasks.cleaning.column_profiles import Profile
from tasks.cleaning.language_codes import usual_code

Found = tuple[Profile, str]
"""A column, and why it is what was looked for, in words."""

LONG_TEXT = 200
"""Characters (the median of a column) from which text is taken for a body whatever its name."""
TITLE_WEIGHT = 300
ID_CHARS = 64
CATEGORY_WEIGHT = 60
_CATEGORY_ROWS = 20
_MOST_CATEGORIES = 50
_NEARLY_ALL = 0.9
# Without "no" and "si", which are answers as often.
_LANGUAGES = frozenset(
    "af am ar az be bg bn bs ca cs cy da de el en eo es et eu fa fi fr ga gl gu he hi hr hu hy id "
    "is it ja ka kk km kn ko lb lt lv mk ml mn mr ms mt my ne nl nb nn pa pl ps pt ro ru sd "
    "sk sl so sq sr sv sw ta te tg th tk tl tr tt uk ur uz vi xh yi zh zu".split()
)


def longest_text(candidates: Iterable[Profile]) -> Profile | None:
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


def find(target: str, candidates: Iterable[Profile], body: Profile | None) -> Found | None:
    """Find a column for a canonical one among those that are free."""
    rule = _RULES.get(target)
    if rule is None:
        return None
    for profile in candidates:
        if profile.values and not profile.is_constant and (reason := rule(profile, body)):
            return profile, reason
    return None


def _title(profile: Profile, body: Profile | None) -> str:
    is_title = (
        body is not None
        and profile.type == "text"
        and profile.is_text
        and profile.is_unique
        and profile.weight <= TITLE_WEIGHT
        and profile.weight * 2 < body.weight
        and profile.is_phrases
        and not profile.is_url
        and not profile.date_share > 0.5
    )
    return f"short and different in each row: median {profile.chars:,} characters" * is_title


def _published_at(profile: Profile, _: Profile | None) -> str:
    if profile.type not in ("text", "date") or not may_be_published(profile.name):
        return ""
    is_day = isinstance(profile.values[0], date) or not profile.is_number
    return "its values are dates" * (is_day and profile.date_share >= _NEARLY_ALL)


def _url(profile: Profile, _: Profile | None) -> str:
    pictures = profile.share(
        lambda text: text.lower().endswith((".jpg", ".jpeg", ".png", ".gif", ".webp", ".svg"))
    )
    is_page = profile.is_web and pictures < 0.5 and profile.is_unique
    return "its values are URLs" * (is_page and profile.is_url)


def _language(profile: Profile, _: Profile | None) -> str:
    codes = profile.share(
        lambda text: text[2:3] in ("", "-", "_") and usual_code(text) in _LANGUAGES
    )
    return "its values are language codes" * (codes >= _NEARLY_ALL and profile.type == "text")


def _article_id(profile: Profile, _: Profile | None) -> str:
    """Counters are no ids: those of another file are the same."""
    if not (
        may_be_id(profile.name) and profile.is_unique and len(profile.values) >= _CATEGORY_ROWS
    ):
        return ""
    if profile.is_number:
        numbers = [str(value).strip() for value in profile.values]
        if not all(each.isdecimal() for each in numbers):
            return ""
        ordered = sorted(map(int, numbers))
        is_counter = ordered[-1] - ordered[0] < 2 * len(ordered) or ordered[-1] < 10_000
        return "" if is_counter else "numbers that are different in each row"
    compact = profile.share(lambda text: len(text) <= ID_CHARS and not any(map(str.isspace, text)))
    if compact < _NEARLY_ALL or profile.is_url or profile.is_cjk or profile.date_share > 0.5:
        return ""
    return "short and different in each row, without spaces"


def _category(profile: Profile, _: Profile | None) -> str:
    rows = len(profile.values)
    few = 1 < profile.distinct <= min(_MOST_CATEGORIES, rows // 4)
    is_label = profile.type == "text" and profile.is_text and profile.weight <= CATEGORY_WEIGHT
    if not (is_generic(profile.name) and rows >= _CATEGORY_ROWS and few and is_label):
        return ""
    if profile.date_share > 0.5 or profile.is_url:
        return ""
    return f"few different short values: {profile.distinct:,} in {rows:,} rows"


_RULES: dict[str, Callable[[Profile, Profile | None], str]] = {
    "title": _title,
    "url": _url,
    "published_at": _published_at,
    "language": _language,
    "category": _category,
    "article_id": _article_id,
}
