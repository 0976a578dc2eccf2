"""Fill in a JSON schema from an article, so that the answer conforms to the schema.

Supports what OpenAI's structured outputs allow: objects, arrays, strings, numbers, booleans, null,
enum, const, anyOf, $ref and $defs, with their bounds. The name of a string field selects a summary,
headline, language or keywords; other fields get the best sentence of the article.
"""

import re
from math import ceil, floor, inf
from typing import Any, Final

from article_flows.tasks.mock_endpoint.extractive import Document
from article_flows.tasks.mock_endpoint.protocol import ApiError
from article_flows.tasks.mock_endpoint.words import ranked_labels

Schema = dict[str, Any]

_MAX_DEPTH: Final = 12
"""Below this depth, recursive schemas get only required fields."""
_MAX_ITEMS: Final = 6
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


def requested_sentences(instruction: str, default: int = 3) -> int:
    """Return how many sentences an instruction asks for.

    Example:
        >>> requested_sentences("Summarize in two sentences."), requested_sentences("一句话")
        (2, 1)
    """
    found = _SENTENCES.search(instruction)
    if found is None:
        return default
    return _NUMERALS.get(found[1].lower()) or int(found[1])


def fill(schema: Schema, document: Document, instruction: str = "") -> Any:
    """Return an answer that conforms to the schema.

    Raises:
        ApiError: 400 if the schema cannot be satisfied.
    """
    return _Filler(schema, document, instruction).value(schema, "", 0)


class _Filler:
    def __init__(self, root: Schema, document: Document, instruction: str) -> None:
        self.root = root
        self.document = document
        self.sentences = requested_sentences(instruction)

    def value(self, schema: Schema, name: str, depth: int) -> Any:
        """Return a value that the schema allows for the property `name`."""
        schema = self._resolve(schema)
        if "const" in schema:
            return schema["const"]
        if "enum" in schema:
            return self._ranked(schema["enum"], name)[0]
        if "anyOf" in schema:
            return self._any_of(schema["anyOf"], name, depth)
        kind, *others = _kinds(schema)
        if depth > _MAX_DEPTH and "null" in others:
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
        """Follow $ref; keys next to it override those of its target."""
        for _ in range(_MAX_DEPTH):
            if "$ref" not in schema:
                return schema
            target: Any = self.root
            for step in schema["$ref"].removeprefix("#").split("/")[1:]:
                target = target.get(step) if isinstance(target, dict) else None
            if not isinstance(target, dict):
                break
            schema = {**target, **{key: part for key, part in schema.items() if key != "$ref"}}
        raise _unsatisfiable(f"the $ref {schema['$ref']!r}")

    def _any_of(self, options: list[Schema], name: str, depth: int) -> Any:
        """Use the first option that can be satisfied: null last, deep down scalars first."""
        resolved = [self._resolve(option) for option in options]
        resolved.sort(key=lambda option: _kinds(option)[0] == "null")
        if depth > _MAX_DEPTH:
            resolved.sort(key=lambda option: _kinds(option)[0] in ("object", "array"))
        for option in resolved[:-1]:
            try:
                return self.value(option, name, depth)
            except ApiError:
                continue
        return self.value(resolved[-1], name, depth)

    def _object(self, schema: Schema, depth: int) -> dict[str, Any]:
        if depth > 4 * _MAX_DEPTH:
            raise _unsatisfiable("an endless object")
        properties: dict[str, Schema] = schema.get("properties", {})
        required: list[str] = schema.get("required", [])
        names = dict.fromkeys([*properties, *required] if depth <= _MAX_DEPTH else required)
        return {name: self.value(properties.get(name, {}), name, depth + 1) for name in names}

    def _array(self, schema: Schema, name: str, depth: int) -> list[Any]:
        min_items = schema.get("minItems", 0)
        max_items = schema.get("maxItems", max(min_items, _MAX_ITEMS))
        if depth > _MAX_DEPTH:
            max_items = min_items
        items = self._resolve(schema.get("items") or {"type": "string"})
        if max_items == 0:
            return []
        constraints = {"const", "enum", "anyOf", "format", "pattern"}
        if "enum" in items:
            values = self._ranked(items["enum"], name)[: max(1, min_items)]
        elif _kinds(items)[0] == "string" and not items.keys() & constraints:
            count = max(min_items, min(max_items, _MAX_ITEMS))
            document = self.document
            extract = document.best_sentences if _means(name, "sentences") else document.keywords
            values = [_fit(text, items) for text in extract(count)]
        else:
            values = [self.value(items, name, depth + 1)]
        while len(values) < min_items:
            values.append(values[-1] if values else self.value(items, name, depth + 1))
        return values[:max_items]

    def _ranked(self, values: list[Any], name: str) -> list[Any]:
        """Sort the values of an enum by how well they match the article."""
        if not values:
            raise _unsatisfiable("an enum without values")
        if _means(name, "language"):
            return sorted(values, key=lambda value: value != self.document.language)
        return ranked_labels(values, self.document.frequencies)

    def _string(self, schema: Schema, name: str) -> str:
        """Return a string for the field `name` with the required length, format and pattern."""
        document, format_name = self.document, schema.get("format")
        if format_name in _FORMATS:
            date = _DATE.search(document.text) if format_name == "date" else None
            text = date[0] if date else _FORMATS[format_name]
        elif _means(name, "headline"):
            text = document.headline()
        elif _means(name, "language"):
            text = document.language
        elif _means(name, "keywords"):
            text = ", ".join(document.keywords())
        elif _means(name, "summary"):
            description = schema.get("description", "")
            text = document.summary(requested_sentences(description, self.sentences))
        else:
            text = document.summary(3 if _means(name, "sentences") else 1)
        pattern = schema.get("pattern", "")
        others = [document.language, *document.keywords(), *_FORMATS.values()] if pattern else []
        candidates = (_fit(each, schema) for each in (text, *others))
        match = next((each for each in candidates if re.search(pattern, each)), None)
        if match is None:
            raise _unsatisfiable(f"the pattern {pattern!r}")
        return match


def _kinds(schema: Schema) -> list[str]:
    """Return the types that a schema allows, null last."""
    kinds = schema.get("type")
    if kinds is None:
        kinds = "object" if "properties" in schema else "array" if "items" in schema else "string"
    listed = kinds if isinstance(kinds, list) else [kinds]
    return sorted(listed, key=lambda kind: kind == "null")


def _means(name: str, meaning: str) -> bool:
    return _MEANINGS[meaning].search(name) is not None


def _fit(text: str, schema: Schema) -> str:
    """Shorten a text to maxLength, and pad it to minLength with full stops."""
    max_length = schema.get("maxLength", len(text))
    if len(text) > max_length:
        text = text[: max_length - 1].rstrip() + "…" if max_length > 1 else text[:max_length]
    return text.ljust(schema.get("minLength", 0), ".")


def _number(schema: Schema, target: float, *, whole: bool) -> float:
    """Return the number nearest to ``target`` that bounds and multipleOf allow."""
    step = schema.get("multipleOf", 1 if whole else None)
    low, high = schema.get("minimum", -inf), schema.get("maximum", inf)
    over, under = schema.get("exclusiveMinimum", -inf), schema.get("exclusiveMaximum", inf)
    # At most half the range, to keep off both exclusive bounds.
    gap = step or min(1, (min(high, under) - max(low, over)) / 2)
    value = min(max(target, low, over + gap), high, under - gap)
    if step:
        down, up = floor(value / step) * step, ceil(value / step) * step
        value = down if down >= low and down > over else up
    if not (low <= value <= high and over < value < under):
        raise _unsatisfiable("a number within these bounds")
    return int(value) if value == int(value) else value


def _unsatisfiable(what: str) -> ApiError:
    message = f"Invalid schema for response_format: this endpoint cannot satisfy {what}."
    return ApiError(400, message, param="response_format", code="invalid_json_schema")
