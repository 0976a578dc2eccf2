"""Usual names of columns in the languages that data comes in, to what they mean."""

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache

from article_flows.tasks.common.package_data import words_of

ORDER = (
    "body", "title", "url", "author", "published_at", "language", "category", "article_id",
    "reference_summary",
)  # fmt: skip
"""The canonical columns that a source's column can be, as they are shown."""
_WORDS = words_of("column_names.txt")
ALIASES = {target: tuple(_WORDS[target]) for target in ORDER}
"""For each canonical column the usual names of it, see `plain`, best first."""
ALONE = tuple(_WORDS["alone"])
"""What is the body where there is no other: somebody's data may be nothing but abstracts."""
AMBIGUOUS = frozenset(_WORDS["ambiguous"])
"""Names of bodies that mean a publisher, a number or a file as often."""
NAME = ("name", "fullname")
"""The name of the article, or of somebody: its values tell."""
WRAPPERS = frozenset(_WORDS["wrappers"])
"""Columns that hold a whole article, in small letters: their ids are its own."""
PEOPLE = frozenset(_WORDS["people"])
"""Columns that hold somebody."""
OTHERS = PEOPLE | frozenset(_WORDS["things"])
"""Columns that hold somebody or something else than the article."""
_GENERIC = re.compile(
    r"(column|col|field|var|unnamed|spalte|feld|colonne|columna|c|f|v|x|列|字段)?\d*|[a-z]"
)
_NOT_PUBLISHED = re.compile(
    r"upd|modif|crawl|fetch|scrap|retriev|access|index|birth|expir|delet|download|changed|ingest"
)
_AN_ID = re.compile(r".*(id|key|nr|no|number|num|code|uuid|guid)$")


@lru_cache(maxsize=4096)
def plain(name: str) -> str:
    """A name without case and separators."""
    return re.sub(r"[\W_]+", "", name.casefold())


def named(names: Sequence[str], target: str | Iterable[str]) -> list[str]:
    """Return those of a source's columns whose names mean a canonical column, best first.

    Names of columns go before those of fields in a nested column (``article.text``).
    """
    aliases = ALIASES[target] if isinstance(target, str) else tuple(target)
    places = {alias: place for place, alias in enumerate(aliases)}
    found = []
    for number, name in enumerate(names):
        depth = 0 if plain(name) in places else name.count(".")
        place = places.get(plain(name.rpartition(".")[2] if depth else name))
        if place is not None:
            found.append((depth, place, number, name))
    return [name for *_, name in sorted(found)]


def is_known(name: str) -> bool:
    """Tell a usual name of a column: a header line has some, a line of data hardly."""
    return plain(name) in _KNOWN or plain(name.rpartition(".")[2]) in _KNOWN


def is_generic(name: str) -> bool:
    """Tell a name that says nothing: ``column_1``, ``Unnamed: 0``, ``f0``."""
    return _GENERIC.fullmatch(plain(name)) is not None


def may_be_published(name: str) -> bool:
    """Tell whether dates in a column of this name may be those of publication."""
    return _NOT_PUBLISHED.search(name.casefold()) is None


def may_be_id(name: str) -> bool:
    """Tell whether unique values in a column of this name may be ids."""
    return is_generic(name) or _AN_ID.fullmatch(plain(name)) is not None


_KNOWN = frozenset(name for names in ALIASES.values() for name in names) | {*ALONE, *NAME}
