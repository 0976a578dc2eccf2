"""What a field of a structured answer gets, inferred from its name and bounds.

A summary, a headline, a language, keywords, a category out of an enum; failing all of these the
best sentence of the article.
"""

import re
from math import ceil, floor, inf
from typing import Any, Final

from tasks.mock_endpoint.extractive.categories import ranked_labels
from tasks.mock_endpoint.extractive.document import Document
from tasks.mock_endpoint.protocol import ApiError

Schema = dict[str, Any]

_MEANINGS: Final = (
    ("summary", re.compile(r"summar|abstract|tl_?dr|digest|摘要|概要|总结", re.IGNORECASE)),
    ("headline", re.compile(r"headline|title|标题", re.IGNORECASE)),
    ("language", re.compile(r"^lang$|language|语言|语种", re.IGNORECASE)),
    ("keywords", re.compile(r"keyword|tags?$|topics$|关键词", re.IGNORECASE)),
    ("sentences", re.compile(r"sentences$|points$|highlights|bullets|要点", re.IGNORECASE)),
)
_NUMERALS: Final = {"one": 1, "single": 1, "two": 2, "three": 3, "一": 1, "两": 2, "二": 2, "三": 3}
_SENTENCES = re.compile(
    rf"({'|'.join(_NUMERALS)}|[1-9])\s*(?:\w+\s+)?(?:sentences?\b|句)", re.IGNORECASE
)
_DATE = re.compile(r"\b(?:19|20)\d\d-(?:0[1-9]|1[0-2])-(?:0[1-9]|1\d|2[0-8])\b")
_FORMATS: Final = {
    "date": "1970-01-01",
    "date-time": "1970-01-01T00:00:00Z",
    "time": "00:00:00Z",
    "duration": "PT0S",
    "email": "nobody@example.org",
    "hostname": "example.org",
    "ipv4": "127.0.0.1",
    "ipv6": "::1",
    "uuid": "00000000-0000-0000-0000-000000000000",
}


def sentences_wanted(instruction: str, default: int = 3) -> int:
    """Return how many sentences an instruction asks for ("in two sentences", "一句话")."""
    found = _SENTENCES.search(instruction)
    if found is None:
        return default
    numeral = found[1].lower()
    return _NUMERALS.get(numeral) or int(numeral)


def unsatisfiable(what: str) -> ApiError:
    """Describe, for raising, the part of a schema that cannot be satisfied."""
    return ApiError(
        400,
        f"Invalid schema for response_format: this endpoint cannot satisfy {what}.",
        param="response_format",
        code="invalid_json_schema",
    )


def number(schema: Schema, wish: float, *, whole: bool) -> float:
    """Return the number nearest to a wish that the bounds and multipleOf of a schema allow."""
    step = schema.get("multipleOf", 1 if whole else None)
    least, most = schema.get("minimum", -inf), schema.get("maximum", inf)
    over, under = schema.get("exclusiveMinimum", -inf), schema.get("exclusiveMaximum", inf)
    # Half way in between stays off both bounds, however near they are.
    gap = step or min(1, (min(most, under) - max(least, over)) / 2)
    low, high = max(least, over + gap), min(most, under - gap)
    value = min(max(wish, low), high)
    if step:
        down, up = floor(value / step) * step, ceil(value / step) * step
        value = down if down >= least and down > over else up
    if not (least <= value <= most and over < value < under):
        raise unsatisfiable("a number within these bounds")
    return int(value) if value == int(value) else value


class FieldValues:
    """The values that one article gives to fields of text."""

    def __init__(self, document: Document, instruction: str) -> None:
        self.document = document
        # Chinese has no blanks between words; its length is counted in characters.
        by_character = document.language in ("zh", "ja")
        self.word_count = len(document.text if by_character else document.text.split())
        self._sentences = sentences_wanted(instruction)

    def string(self, schema: Schema, name: str) -> str:
        """Return a string for the field of this name, within length, format and pattern."""
        wanted = schema.get("format")
        if wanted in _FORMATS:
            date = _DATE.search(self.document.text) if wanted == "date" else None
            text = date[0] if date else _FORMATS[wanted]
        else:
            text = self._text(name, schema.get("description", ""))
        pattern = schema.get("pattern", "")
        guesses = [text, self.document.language, *self.document.keywords(), *_FORMATS.values()]
        fitting = (_fit(guess, schema) for guess in (guesses if pattern else [text]))
        found = next((guess for guess in fitting if re.search(pattern, guess)), None)
        if found is None:
            raise unsatisfiable(f"the pattern {pattern!r}")
        return found

    def strings(self, schema: Schema, name: str, count: int) -> list[str]:
        """Return up to so many strings: keywords, or sentences if the name asks for points."""
        if "format" in schema or "pattern" in schema:
            return [self.string(schema, name)]
        if meaning_of(name) == "sentences":
            found = self.document.best_sentences(min(count, 5))
        else:
            found = self.document.keywords(count)
        return [_fit(text, schema) for text in found]

    def ranked(self, values: list[Any], name: str) -> list[Any]:
        """Order the values of an enum, the one that suits the article best first."""
        if not values:
            raise unsatisfiable("an enum without values")
        if meaning_of(name) == "language":
            return sorted(values, key=lambda value: value != self.document.language)
        return ranked_labels(values, self.document.frequencies)

    def _text(self, name: str, description: str) -> str:
        match meaning_of(name):
            case "summary":
                return self.document.summary(sentences_wanted(description, self._sentences))
            case "headline":
                return self.document.headline()
            case "language":
                return self.document.language
            case "keywords":
                return ", ".join(self.document.keywords())
            case "sentences":
                return self.document.summary()
            case _:
                return self.document.summary(1)


def meaning_of(name: str) -> str | None:
    """Return what a field of this name is for, if the name says so."""
    return next((meaning for meaning, pattern in _MEANINGS if pattern.search(name)), None)


def _fit(text: str, schema: Schema) -> str:
    """Cut a text to maxLength, and make it up to minLength with full stops."""
    most = schema.get("maxLength", len(text))
    if len(text) > most:
        text = text[: most - 1].rstrip() + "…" if most > 1 else text[:most]
    return text.ljust(schema.get("minLength", 0), ".")
