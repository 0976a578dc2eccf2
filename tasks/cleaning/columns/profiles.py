"""What the values of a source's columns are like: the facts that a mapping is judged by."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from statistics import median
from typing import Any

from article_flows.tasks.cleaning.dates.to_utc import moment

MAX_DATES_SAMPLED = 100
MAX_TEXTS_SAMPLED = 200
MAX_FIELDS = 50
"""A nested column of more fields than this is a map of data, not a record of columns."""
MAX_LIST_DEPTH = 20
"""Lists in lists deeper than this are data: sentences come in sections, chapters and books."""
_MAX_DEPTH = 100
"""Levels of lists and records that every step can write, whatever called it."""
CJK_WEIGHT = 3
"""Latin characters that say as much as one of Chinese, Japanese or Korean."""

_URL = re.compile(r"(https?|ftp)://\S+|www\.\S+|//\S+|/\S*|[\w-]+(\.[\w-]+)+(/\S*)?", re.IGNORECASE)
_NUMBER = re.compile(r"[-+]?[\d.,\s]*\d%?")
_CJK = re.compile("[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff]")
_LETTERS = re.compile(r"[^\W\d_]{2}")
# Chinese, Japanese, Korean, and the scripts of South-East Asia that do not part words.
_UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff]"
)
_WORD_CHARS = 40
_CAPITAL = r"[^\W\d_a-zß-öø-ÿа-я]"
_PARTICLE = "van|von|de|der|den|da|di|la|el|bin|al|le|du|dos|ten|and|und|et|y"
_PERSON = re.compile(
    rf"{_CAPITAL}[\w'’-]*\.?"
    rf"( ({_CAPITAL}[\w'’.-]*|{_PARTICLE})){{1,4}}"
    r"(,? (Jr|Sr)\.?)?"
)


def columns_of(names: Sequence[str], sample: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """Return the values of each column; the fields of nested ones follow as ``article.text``.

    Fields are found two levels deep. What is nested too deeply to be written is None: its row is
    refused later.
    """
    columns: dict[str, list[Any]] = {}
    for name in names:
        values = (record.get(name) for record in sample)
        columns[name] = [None if _is_deep(value) else value for value in values]
        columns |= {
            nested: values
            for nested, values in _fields(name, columns[name], depth=2).items()
            if nested not in names
        }
    return columns


def _fields(name: str, values: list[Any], depth: int) -> dict[str, list[Any]]:
    records = [value if isinstance(value, dict) else {} for value in values]
    keys = dict.fromkeys(key for record in records for key in record if isinstance(key, str))
    if not depth or not keys or len(keys) > MAX_FIELDS:
        return {}
    columns: dict[str, list[Any]] = {}
    for key in keys:
        nested = f"{name}.{key}"
        columns[nested] = [record.get(key) for record in records]
        columns |= _fields(nested, columns[nested], depth - 1)
    return columns


@dataclass(frozen=True, eq=False)
class ColumnProfile:
    """The values of one column in a sample; shares are of those that are not empty."""

    name: str
    raw: Sequence[Any]

    @cached_property
    def values(self) -> list[Any]:
        """The values that are there: neither null nor blank."""
        return [value for value in self.raw if not is_blank(value)]

    @cached_property
    def texts(self) -> list[str]:
        """Those that are text, lists of sentences in one."""
        return [text for value in self.values if (text := _text(value)) is not None]

    @cached_property
    def some(self) -> list[str]:
        """Enough texts to judge by, the start of each, without outer white space."""
        return [text[:2_000].strip() for text in self.texts[:MAX_TEXTS_SAMPLED]]

    @cached_property
    def type(self) -> str:
        """What the values are, for people: text, list, number, date, nested, yes/no or mixed."""
        kinds = {_kind(value) for value in self.values}
        return kinds.pop() if len(kinds) == 1 else "mixed" if kinds else "empty"

    @cached_property
    def chars(self) -> int:
        """The median length of its texts in characters."""
        return round(median(map(len, self.texts))) if self.texts else 0

    @cached_property
    def weight(self) -> int:
        """The same, as if they were in a Latin script."""
        return self.chars * (CJK_WEIGHT if self.is_cjk else 1)

    @cached_property
    def is_cjk(self) -> bool:
        """Whether most of it is Chinese, Japanese or Korean."""
        read = "".join(text[:200] for text in self.some[:20])
        return len(_CJK.findall(read)) * 3 > len(read)

    @cached_property
    def is_text(self) -> bool:
        """At least half of the values are text that is no number."""
        return len(self.texts) * 2 >= len(self.values) and not self.is_number

    @cached_property
    def is_number(self) -> bool:
        """Nearly all are numbers, written as text or not."""
        plain = [value for value in self.values if not isinstance(value, (str, bytes, list))]
        if len(plain) == len(self.values):
            return all(_kind(value) in ("number", "yes/no") for value in plain)
        return self.share(lambda text: _NUMBER.fullmatch(text) is not None) > 0.9

    @cached_property
    def is_prose(self) -> bool:
        """Nearly all are words, several in each: no ids, hashes or encoded bytes."""
        return self.share(lambda text: _words(text) >= 3) > 0.5 and not self.is_url

    @cached_property
    def is_phrases(self) -> bool:
        """Most are more than one word, as titles are."""
        return self.share(lambda text: _words(text) >= 2) > 0.7

    @cached_property
    def is_url(self) -> bool:
        """Most are addresses, or paths of them."""
        return self.share(lambda text: _URL.fullmatch(text) is not None) > 0.5

    @cached_property
    def is_web(self) -> bool:
        """Nearly all are whole addresses of the web."""
        return self.share(lambda text: text.startswith(("http://", "https://"))) >= 0.9

    @cached_property
    def is_people(self) -> bool:
        """Most look like names of persons."""
        return self.share(lambda text: _PERSON.fullmatch(text) is not None) > 0.7

    @cached_property
    def date_share(self) -> float:
        """The share of dates, and of those that lack only the order of day and month."""
        if self.type == "date":
            return 1.0
        some = self.values[:MAX_DATES_SAMPLED]
        return sum(_may_be_date(value) for value in some) / len(some) if some else 0.0

    @cached_property
    def distinct(self) -> int:
        """How many different values there are."""
        return len({hash(value if _is_scalar(value) else str(value)) for value in self.values})

    @property
    def is_constant(self) -> bool:
        """All rows have the same value."""
        return len(self.values) > 1 and self.distinct == 1

    @property
    def is_unique(self) -> bool:
        """Hardly two rows have the same value, and there are enough of them to tell."""
        return len(self.values) >= 3 and self.distinct >= 0.95 * len(self.raw)

    def share(self, is_so: Any) -> float:
        """The share of values that are texts of which something is so."""
        if not self.some:
            return 0.0
        texts = len(self.texts) / len(self.values)
        return texts * sum(map(bool, map(is_so, self.some))) / len(self.some)


def _words(text: str) -> int:
    """Count the words at a text's start, near enough."""
    start = text[:400]
    if unspaced := len(_UNSPACED.findall(start)):
        return unspaced // 2
    return sum(len(each) <= _WORD_CHARS and bool(_LETTERS.search(each)) for each in start.split())


def _is_scalar(value: Any) -> bool:
    return isinstance(value, (str, bytes, int, float, date))


def is_blank(value: Any) -> bool:
    """Tell whether a value is none: null, white space, an empty list, not a number."""
    if isinstance(value, (str, bytes)):
        return not value.strip()
    if isinstance(value, (list, dict)):
        return not value
    return value is None or bool(value != value)


def _is_deep(value: Any) -> bool:
    """Tell what is nested so deeply that Python may not be able to write it."""
    level = [value] if isinstance(value, (list, tuple, dict)) else []
    for _ in range(_MAX_DEPTH):
        if not level:
            return False
        inner = (each.values() if isinstance(each, dict) else each for each in level)
        level = [each for all_ in inner for each in all_ if isinstance(each, (list, tuple, dict))]
    return bool(level)


def _text(value: Any, depth: int = MAX_LIST_DEPTH) -> str | None:
    if isinstance(value, str):
        return value
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    if isinstance(value, list) and depth:
        parts = [_text(item, depth - 1) for item in value if item is not None]
        return None if None in parts else " ".join(part for part in parts if part is not None)
    return None


def _kind(value: Any) -> str:
    match value:
        case str() | bytes():
            return "text"
        case bool():
            return "yes/no"
        case list() | tuple():
            return "list"
        case dict():
            return "nested"
        case date():
            return "date"
        case _:
            return "number"


def _may_be_date(value: Any) -> bool:
    if isinstance(value, (list, dict)):
        return False
    return moment(value, True) is not None or moment(value, False) is not None
