"""Fill in a JSON schema from an article, so that the answer is valid against the schema.

Covers what OpenAI's structured outputs allow: objects, arrays, strings, numbers, booleans, null,
enum, const, anyOf, $ref and $defs, and the bounds on each. This module is about the structure;
what a field of text gets is up to embedded_fields.
"""

from typing import Any, Final

from tasks.llm.embedded_fields import Fields, Schema, number, refused, unique
from tasks.llm.embedded_protocol import ApiError
from tasks.llm.extractive import Document

_DEEPEST: Final = 12
"""Levels after which a schema that refers to itself gets no more than it requires."""
_MOST_ITEMS: Final = 6


def fill(schema: Schema, document: Document, instruction: str = "") -> Any:
    """Make up an answer that is valid against the schema.

    Raises:
        ApiError: 400, when the schema has something this endpoint cannot satisfy.
    """
    return _Filler(schema, Fields(document, instruction)).value(schema, "", 0)


class _Filler:
    def __init__(self, root: Schema, fields: Fields) -> None:
        self.root = root
        self.fields = fields

    def value(self, schema: Schema, name: str, depth: int) -> Any:
        """Give a value that the schema allows; `name` is the property it is for."""
        schema = self._resolve(schema)
        if "const" in schema:
            return schema["const"]
        if "enum" in schema:
            return self.fields.ranked(schema["enum"], name)[0]
        options = schema.get("anyOf") or schema.get("oneOf")
        if options:
            return self._any_of(options, name, depth)
        kinds = _kinds(schema)
        if depth > _DEEPEST and "null" in kinds:
            return None
        match kinds[0]:
            case "object":
                return self._object(schema, depth)
            case "array":
                return self._array(schema, name, depth)
            case "integer" | "number" as kind:
                return number(schema, self.fields.word_count, whole=kind == "integer")
            case "boolean":
                return bool(self.fields.document.sentences)
            case "null":
                return None
            case _:
                return self.fields.string(schema, name)

    def _resolve(self, schema: Schema) -> Schema:
        """Follow $ref and lay the parts of an allOf over one another."""
        for _ in range(_DEEPEST):
            if "$ref" in schema:
                rest = {key: part for key, part in schema.items() if key != "$ref"}
                schema = _merged([self._referred(schema["$ref"]), rest])
            elif "allOf" in schema:
                rest = {key: part for key, part in schema.items() if key != "allOf"}
                schema = _merged([*map(self._resolve, schema["allOf"]), rest])
            else:
                return schema
        raise refused("a $ref that refers to itself")

    def _referred(self, reference: str) -> Schema:
        found: Any = self.root
        for step in reference.removeprefix("#").split("/")[1:]:
            key = step.replace("~1", "/").replace("~0", "~")
            found = found.get(key) if isinstance(found, dict) else None
        if not isinstance(found, dict) or not reference.startswith("#"):
            raise refused(f"the $ref {reference!r}, which leads nowhere")
        return found

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
            raise refused("an object without end")
        properties: dict[str, Schema] = schema.get("properties", {})
        required: list[str] = schema.get("required", [])
        names = list(properties) if depth <= _DEEPEST else []
        names += [name for name in required if name not in names]
        return {name: self.value(properties.get(name, {}), name, depth + 1) for name in names}

    def _array(self, schema: Schema, name: str, depth: int) -> list[Any]:
        least = schema.get("minItems", 0)
        most = least if depth > _DEEPEST else schema.get("maxItems", max(least, _MOST_ITEMS))
        items = self._resolve(schema.get("items") or {"type": "string"})
        if most == 0:
            return []
        if "enum" in items:
            ranked = self.fields.ranked(items["enum"], name)
            found = ranked[: max(least, min(most, 1 + (len(ranked) > 3)))]
        elif _is_text(items):
            found = self.fields.strings(items, name, max(least, min(most, _MOST_ITEMS)))
        else:
            found = [self.value(items, name, depth + 1)]
        if schema.get("uniqueItems"):
            found = unique(found)
            if len(found) < least:
                raise refused("an array with more different items than the article gives")
        while len(found) < least:
            found.append(found[-1] if found else self.value(items, name, depth + 1))
        return found[:most]


def _kinds(schema: Schema) -> list[str]:
    """List the types that a schema allows, null last."""
    kinds = schema.get("type")
    if kinds is None:
        kinds = "object" if "properties" in schema else "array" if "items" in schema else "string"
    listed = kinds if isinstance(kinds, list) else [kinds]
    return sorted(listed, key=lambda kind: kind == "null")


def _is_text(schema: Schema) -> bool:
    return _kinds(schema)[0] == "string" and not schema.keys() & {"const", "anyOf", "oneOf"}


def _merged(schemas: list[Schema]) -> Schema:
    merged: Schema = {}
    for schema in schemas:
        for key, part in schema.items():
            if key == "properties":
                merged[key] = {**merged.get(key, {}), **part}
            elif key == "required":
                merged[key] = unique([*merged.get(key, []), *part])
            else:
                merged[key] = part
    return merged
