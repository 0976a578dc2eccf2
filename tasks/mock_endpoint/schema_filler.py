"""Fill in a JSON schema from an article, so that the answer is valid against the schema.

Covers what OpenAI's structured outputs allow: objects, arrays, strings, numbers, booleans, null,
enum, const, anyOf, $ref and $defs, and the bounds on each. A field of text gets what its name
asks for: a summary, a headline, a language, keywords; else the best sentence of the article.
"""

import re
from math import ceil, floor, inf
from typing import Any, Final

from article_flows.tasks.mock_endpoint.extractive import Document
from article_flows.tasks.mock_endpoint.protocol import ApiError
from article_flows.tasks.mock_endpoint.words import ranked_labels

Schema = dict[str, Any]

_DEEPEST: Final = 12
"""Levels after which a schema that refers to itself gets no more than it requires."""
_MOST_ITEMS: Final = 6
_MEANINGS: Final = {
    "summary": re.compile(r"summar|abstract|tl_?dr|digest|摘要|概要|总结", re.IGNORECASE),
    "headline": re.compile(r"headline|title|标题", re.IGNORECASE),
    "language": re.compile(r"^lang$|language|语言|语种", re.IGNORECASE),
    "keywords": re.compile(r"keyword|tags?$|topics$|关键词", re.IGNORECASE),
    "sentences": re.compile(r"sentences$|points$|highlights|bullets|要点", re.IGNORECASE),
}
_NUMERALS: Final = {"one": 1, "single": 1, "two": 2, "three": 3, "一": 1, "两": 2, "二": 2, "三": 3}
_SENTENCES = re.compile(
    rf"({'|'.join(_NUMERALS)}|[1-9])\s*(?:\w+\s+)?(?:sentences?\b|句)", re.IGNORECASE
)
_DATE = re.compile(r"\b(?:19|20)\d\d-(?:0[1-9]|1[0-2])-(?:0[1-9]|1\d|2[0-8])\b")
_FORMATS: Final = {
    "date": "1970-01-01",
    "date-time": "1970-01-01T00:00:00Z",
    "time": "00:00:00Z",
    "email": "nobody@example.org",
    "uuid": "00000000-0000-0000-0000-000000000000",
}


def sentences_wanted(instruction: str, default: int = 3) -> int:
    """Return how many sentences an instruction asks for ("in two sentences", "一句话")."""
    found = _SENTENCES.search(instruction)
    if found is None:
        return default
    return _NUMERALS.get(found[1].lower()) or int(found[1])


def fill(schema: Schema, document: Document, instruction: str = "") -> Any:
    """Return an answer that is valid against the schema.

    Raises:
        ApiError: 400, when the schema has something this endpoint cannot satisfy.
    """
    return _Filler(schema, document, instruction).value(schema, "", 0)


class _Filler:
    def __init__(self, root: Schema, document: Document, instruction: str) -> None:
        self.root = root
        self.document = document
        self.sentences = sentences_wanted(instruction)

    def value(self, schema: Schema, name: str, depth: int) -> Any:
        """Return a value that the schema allows; `name` is the property it is for."""
        schema = self._resolve(schema)
        if "const" in schema:
            return schema["const"]
        if "enum" in schema:
            return self._ranked(schema["enum"], name)[0]
        if "anyOf" in schema:
            return self._any_of(schema["anyOf"], name, depth)
        kind, *others = _kinds(schema)
        if depth > _DEEPEST and "null" in others:
            kind = "null"
        match kind:
            case "object":
                return self._object(schema, depth)
            case "array":
                return self._array(schema, name, depth)
            case "integer" | "number":
                return _number(schema, self.document.length, whole=kind == "integer")
            case "boolean":
                return bool(self.document.sentences)
            case "null":
                return None
            case _:
                return self._string(schema, name)

    def _resolve(self, schema: Schema) -> Schema:
        """Follow $ref; what is beside it counts for more than what it refers to."""
        for _ in range(_DEEPEST):
            if "$ref" not in schema:
                return schema
            found: Any = self.root
            for step in schema["$ref"].removeprefix("#").split("/")[1:]:
                found = found.get(step) if isinstance(found, dict) else None
            if not isinstance(found, dict):
                break
            schema = {**found, **{key: part for key, part in schema.items() if key != "$ref"}}
        raise _unsatisfiable(f"the $ref {schema['$ref']!r}")

    def _any_of(self, options: list[Schema], name: str, depth: int) -> Any:
        """Take the first option that can be met, null last; deep down, the plainest first."""
        resolved = [self._resolve(option) for option in options]
        resolved.sort(key=lambda option: _kinds(option)[0] == "null")
        if depth > _DEEPEST:
            resolved.sort(key=lambda option: _kinds(option)[0] in ("object", "array"))
        for option in resolved[:-1]:
            try:
                return self.value(option, name, depth)
            except ApiError:
                continue
        return self.value(resolved[-1], name, depth)

    def _object(self, schema: Schema, depth: int) -> dict[str, Any]:
        if depth > 4 * _DEEPEST:
            raise _unsatisfiable("an object without end")
        properties: dict[str, Schema] = schema.get("properties", {})
        required: list[str] = schema.get("required", [])
        names = dict.fromkeys([*properties, *required] if depth <= _DEEPEST else required)
        return {name: self.value(properties.get(name, {}), name, depth + 1) for name in names}

    def _array(self, schema: Schema, name: str, depth: int) -> list[Any]:
        least = schema.get("minItems", 0)
        most = least if depth > _DEEPEST else schema.get("maxItems", max(least, _MOST_ITEMS))
        items = self._resolve(schema.get("items") or {"type": "string"})
        if most == 0:
            return []
        special = {"const", "enum", "anyOf", "format", "pattern"}
        if "enum" in items:
            found = self._ranked(items["enum"], name)[: max(1, least)]
        elif _kinds(items)[0] == "string" and not items.keys() & special:
            count = max(least, min(most, _MOST_ITEMS))
            pick = self.document.best_sentences if _means(name, "sentences") else None
            found = [_fit(text, items) for text in (pick or self.document.keywords)(count)]
        else:
            found = [self.value(items, name, depth + 1)]
        while len(found) < least:
            found.append(found[-1] if found else self.value(items, name, depth + 1))
        return found[:most]

    def _ranked(self, values: list[Any], name: str) -> list[Any]:
        """Order the values of an enum, the one that suits the article best first."""
        if not values:
            raise _unsatisfiable("an enum without values")
        if _means(name, "language"):
            return sorted(values, key=lambda value: value != self.document.language)
        return ranked_labels(values, self.document.frequencies)

    def _string(self, schema: Schema, name: str) -> str:
        """Return a string for the field of this name, within length, format and pattern."""
        document, wanted = self.document, schema.get("format")
        if wanted in _FORMATS:
            date = _DATE.search(document.text) if wanted == "date" else None
            text = date[0] if date else _FORMATS[wanted]
        elif _means(name, "headline"):
            text = document.headline()
        elif _means(name, "language"):
            text = document.language
        elif _means(name, "keywords"):
            text = ", ".join(document.keywords())
        elif _means(name, "summary"):
            text = document.summary(sentences_wanted(schema.get("description", ""), self.sentences))
        else:
            text = document.summary(3 if _means(name, "sentences") else 1)
        pattern = schema.get("pattern", "")
        others = [document.language, *document.keywords(), *_FORMATS.values()] if pattern else []
        fitting = (_fit(guess, schema) for guess in (text, *others))
        found = next((guess for guess in fitting if re.search(pattern, guess)), None)
        if found is None:
            raise _unsatisfiable(f"the pattern {pattern!r}")
        return found


def _kinds(schema: Schema) -> list[str]:
    """List the types that a schema allows, null last."""
    kinds = schema.get("type")
    if kinds is None:
        kinds = "object" if "properties" in schema else "array" if "items" in schema else "string"
    listed = kinds if isinstance(kinds, list) else [kinds]
    return sorted(listed, key=lambda kind: kind == "null")


def _means(name: str, meaning: str) -> bool:
    """Tell whether a field's name says that it is for this."""
    return _MEANINGS[meaning].search(name) is not None


def _fit(text: str, schema: Schema) -> str:
    """Cut a text to maxLength, and make it up to minLength with full stops."""
    most = schema.get("maxLength", len(text))
    if len(text) > most:
        text = text[: most - 1].rstrip() + "…" if most > 1 else text[:most]
    return text.ljust(schema.get("minLength", 0), ".")


def _number(schema: Schema, wish: float, *, whole: bool) -> float:
    """Return the number nearest to a wish that the bounds and multipleOf of a schema allow."""
    step = schema.get("multipleOf", 1 if whole else None)
    least, most = schema.get("minimum", -inf), schema.get("maximum", inf)
    over, under = schema.get("exclusiveMinimum", -inf), schema.get("exclusiveMaximum", inf)
    # Half way in between stays off both bounds, however near they are.
    gap = step or min(1, (min(most, under) - max(least, over)) / 2)
    value = min(max(wish, least, over + gap), most, under - gap)
    if step:
        down, up = floor(value / step) * step, ceil(value / step) * step
        value = down if down >= least and down > over else up
    if not (least <= value <= most and over < value < under):
        raise _unsatisfiable("a number within these bounds")
    return int(value) if value == int(value) else value


def _unsatisfiable(what: str) -> ApiError:
    message = f"Invalid schema for response_format: this endpoint cannot satisfy {what}."
    return ApiError(400, message, param="response_format", code="invalid_json_schema")
