"""The usual column names of tables of articles, in many languages, and what they stand for.

The column mapping and the readers of spreadsheets use them; the lists are in
``data/column_names.txt``.
"""

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache

from article_flows.tasks.common.package_data import read_words

CANONICAL_COLUMNS = (
    "body", "title", "url", "author", "published_at", "language", "category", "article_id",
    "reference_summary",
)  # fmt: skip
"""The columns of the articles table that a source's column can be mapped to, in display order."""
_WORDS = read_words("column_names.txt")
ALIASES = {target: tuple(_WORDS[target]) for target in CANONICAL_COLUMNS}
"""The usual names of each canonical column, normalized by `normalized_name`, best first."""
FALLBACK_BODY_NAMES = tuple(_WORDS["fallback body"])
"""Names such as ``abstract``: the body, if a source has no other text."""
AMBIGUOUS_BODY_NAMES = frozenset(_WORDS["ambiguous"])
"""Names of the body that as often mean a publisher, a number or a file."""
NAME_ALIASES = ("name", "fullname")
"""Names that mean the article's title or a person, depending on the values."""
WRAPPER_COLUMNS = frozenset(_WORDS["wrappers"])
"""Nested columns that hold a whole article: an id in them is the article's own."""
PERSON_COLUMNS = frozenset(_WORDS["people"])
"""Nested columns that hold a person."""
NON_ARTICLE_COLUMNS = PERSON_COLUMNS | frozenset(_WORDS["things"])
"""Nested columns that hold a person or a thing other than the article."""
_GENERIC = re.compile(
    r"(column|col|field|var|unnamed|spalte|feld|colonne|columna|c|f|v|x|列|字段)?\d*|[a-z]"
)
_NOT_PUBLISHED = re.compile(
    r"upd|modif|crawl|fetch|scrap|retriev|access|index|birth|expir|delet|download|changed|ingest"
)
_ID_NAME = re.compile(r".*(id|key|nr|no|number|num|code|uuid|guid)$")


@lru_cache(maxsize=4096)
def normalized_name(name: str) -> str:
    """Return a name casefolded and without separators: ``Full_Text`` is ``fulltext``."""
    return re.sub(r"[\W_]+", "", name.casefold())


def columns_named(names: Sequence[str], target: str | Iterable[str]) -> list[str]:
    """Return the source columns whose names stand for a canonical column, best first.

    Columns come before fields of nested columns (``page.text``).

    Args:
        names: The source's columns.
        target: A canonical column, or a list of normalized names, best first.

    Example:
        >>> columns_named(["id", "page.text", "Full Text", "Body"], "body")
        ['Body', 'Full Text', 'page.text']
    """
    aliases = ALIASES[target] if isinstance(target, str) else tuple(target)
    ranks = {alias: rank for rank, alias in enumerate(aliases)}
    found = []
    for number, name in enumerate(names):
        depth = 0 if normalized_name(name) in ranks else name.count(".")
        rank = ranks.get(normalized_name(name.rpartition(".")[2] if depth else name))
        if rank is not None:
            found.append((depth, rank, number, name))
    return [name for *_, name in sorted(found)]


def is_known(name: str) -> bool:
    """Return whether this is a usual column name: header lines have some, data lines rarely."""
    return normalized_name(name) in _KNOWN or normalized_name(name.rpartition(".")[2]) in _KNOWN


def is_generic(name: str) -> bool:
    """Return whether a name says nothing about the column: ``column_1``, ``Unnamed: 0``, ``f0``."""
    return _GENERIC.fullmatch(normalized_name(name)) is not None


def may_be_published(name: str) -> bool:
    """Return whether dates in a column of this name may be publication dates."""
    return _NOT_PUBLISHED.search(name.casefold()) is None


def may_be_id(name: str) -> bool:
    """Return whether unique values in a column of this name may be ids."""
    return is_generic(name) or _ID_NAME.fullmatch(normalized_name(name)) is not None


_KNOWN = frozenset(alias for aliases in ALIASES.values() for alias in aliases) | {
    *FALLBACK_BODY_NAMES,
    *NAME_ALIASES,
}
