"""Statistics of the values of a source's columns, on which the column mapping is based."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from statistics import median
from typing import Any

from article_flows.tasks.cleaning.dates.to_utc import parse_date

MAX_DATES_SAMPLED = 100
MAX_TEXTS_SAMPLED = 200
MAX_FIELDS = 50
"""The maximum number of fields of a nested column; one with more is a map with data as keys."""
MAX_LIST_DEPTH = 20
"""The maximum depth of lists of sentences (sections, chapters, books); deeper lists are data."""
# Values nested up to this depth can be serialized within Python's recursion limit.
_MAX_DEPTH = 100
CJK_WEIGHT = 3
"""The number of Latin characters that say as much as one Chinese, Japanese or Korean character."""

_URL = re.compile(r"(https?|ftp)://\S+|www\.\S+|//\S+|/\S*|[\w-]+(\.[\w-]+)+(/\S*)?", re.IGNORECASE)
_NUMBER = re.compile(r"[-+]?[\d.,\s]*\d%?")
_CJK = re.compile("[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff]")
_LETTERS = re.compile(r"[^\W\d_]{2}")
# Chinese, Japanese, Korean, and the scripts of South-East Asia without spaces between words.
_UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff]"
)
_MAX_WORD_CHARS = 40
_CAPITAL = r"[^\W\d_a-zß-öø-ÿа-я]"
_PARTICLE = "van|von|de|der|den|da|di|la|el|bin|al|le|du|dos|ten|and|und|et|y"
_PERSON = re.compile(
    rf"{_CAPITAL}[\w'’-]*\.?"
    rf"( ({_CAPITAL}[\w'’.-]*|{_PARTICLE})){{1,4}}"
    r"(,? (Jr|Sr)\.?)?"
)


def columns_of(names: Sequence[str], sample: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """Return the values of each column, and of nested fields as columns such as ``article.text``.

    Nested fields are included two levels deep. Values that are nested too deeply to be serialized
    become None, as their rows will be rejected.
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
    """Statistics of the values of one column in a sample.

    Attributes:
        name: The column's name, dotted for a nested field.
        raw: The value of each row.
    """

    name: str
    raw: Sequence[Any]

    @cached_property
    def values(self) -> list[Any]:
        """The values that are neither null nor blank."""
        return [value for value in self.raw if not is_blank(value)]

    @cached_property
    def texts(self) -> list[str]:
        """The values that are text; lists of sentences are joined."""
        return [text for value in self.values if (text := _text(value)) is not None]

    @cached_property
    def sample_texts(self) -> list[str]:
        """The beginnings of the first texts, without outer white space."""
        return [text[:2_000].strip() for text in self.texts[:MAX_TEXTS_SAMPLED]]

    @cached_property
    def type(self) -> str:
        """The type for display: text, list, number, date, nested, yes/no, mixed or empty."""
        kinds = {_kind(value) for value in self.values}
        return kinds.pop() if len(kinds) == 1 else "mixed" if kinds else "empty"

    @cached_property
    def chars(self) -> int:
        """The median length of the texts, in characters."""
        return round(median(map(len, self.texts))) if self.texts else 0

    @cached_property
    def weighted_chars(self) -> int:
        """The median length of the texts in characters, converted to a Latin script."""
        return self.chars * (CJK_WEIGHT if self.is_cjk else 1)

    @cached_property
    def is_cjk(self) -> bool:
        """Whether most texts are Chinese, Japanese or Korean."""
        text = "".join(each[:200] for each in self.sample_texts[:20])
        return len(_CJK.findall(text)) * 3 > len(text)

    @cached_property
    def is_text(self) -> bool:
        """Whether at least half of the values are texts that are not numbers."""
        return len(self.texts) * 2 >= len(self.values) and not self.is_number

    @cached_property
    def is_number(self) -> bool:
        """Whether nearly all values are numbers, including numbers written as text."""
        plain = [value for value in self.values if not isinstance(value, (str, bytes, list))]
        if len(plain) == len(self.values):
            return all(_kind(value) in ("number", "yes/no") for value in plain)
        return self.share(lambda text: _NUMBER.fullmatch(text) is not None) > 0.9

    @cached_property
    def is_prose(self) -> bool:
        """Whether most values have several words, unlike ids, hashes or encoded bytes."""
        return self.share(lambda text: _words(text) >= 3) > 0.5 and not self.is_url

    @cached_property
    def is_phrases(self) -> bool:
        """Whether most values have more than one word, as titles do."""
        return self.share(lambda text: _words(text) >= 2) > 0.7

    @cached_property
    def is_url(self) -> bool:
        """Whether most values are URLs or paths of URLs."""
        return self.share(lambda text: _URL.fullmatch(text) is not None) > 0.5

    @cached_property
    def is_web(self) -> bool:
        """Whether nearly all values are absolute HTTP URLs."""
        return self.share(lambda text: text.startswith(("http://", "https://"))) >= 0.9

    @cached_property
    def is_people(self) -> bool:
        """Whether most values look like names of persons."""
        return self.share(lambda text: _PERSON.fullmatch(text) is not None) > 0.7

    @cached_property
    def date_share(self) -> float:
        """The share of dates, including those whose order of day and month is ambiguous."""
        if self.type == "date":
            return 1.0
        sample = self.values[:MAX_DATES_SAMPLED]
        return sum(_may_be_date(value) for value in sample) / len(sample) if sample else 0.0

    @cached_property
    def distinct(self) -> int:
        """The number of distinct values."""
        return len({hash(value if _is_scalar(value) else str(value)) for value in self.values})

    @property
    def is_constant(self) -> bool:
        """Whether all values are equal."""
        return len(self.values) > 1 and self.distinct == 1

    @property
    def is_unique(self) -> bool:
        """Whether nearly all rows have distinct values, in at least three rows."""
        return len(self.values) >= 3 and self.distinct >= 0.95 * len(self.raw)

    def share(self, predicate: Callable[[str], bool]) -> float:
        """Return the share of values that are texts for which a predicate holds, 0 to 1."""
        if not self.sample_texts:
            return 0.0
        texts = len(self.texts) / len(self.values)
        return texts * sum(map(predicate, self.sample_texts)) / len(self.sample_texts)


def _words(text: str) -> int:
    """Estimate the number of words at the beginning of a text."""
    start = text[:400]
    if unspaced := len(_UNSPACED.findall(start)):
        return unspaced // 2
    words = start.split()
    return sum(len(word) <= _MAX_WORD_CHARS and bool(_LETTERS.search(word)) for word in words)


def _is_scalar(value: Any) -> bool:
    return isinstance(value, (str, bytes, int, float, date))


def is_blank(value: Any) -> bool:
    """Return whether a value is missing: null, white space, an empty list or struct, or NaN."""
    if isinstance(value, (str, bytes)):
        return not value.strip()
    if isinstance(value, (list, dict)):
        return not value
    return value is None or bool(value != value)


def _is_deep(value: Any) -> bool:
    """Return whether a value is nested deeper than `_MAX_DEPTH`."""
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
    return parse_date(value, True) is not None or parse_date(value, False) is not None
