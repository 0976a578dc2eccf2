"""Fill in a JSON schema from an article, so that the answer is valid against the schema.

Covers what OpenAI's structured outputs allow: objects, arrays, strings, numbers, booleans, null,
enum, const, anyOf, $ref and $defs, and the bounds on each. This module is about the structure;
what a field of text gets is up to `field_values`.
"""

from typing import Any, Final

from tasks.mock_endpoint.extractive.document import Document
from tasks.mock_endpoint.field_values import FieldValues, Schema, number, unsatisfiable
from tasks.mock_endpoint.protocol import ApiError

_DEEPEST: Final = 12
"""Levels after which a schema that refers to itself gets no more than it requires."""
_MOST_ITEMS: Final = 6


def fill(schema: Schema, document: Document, instruction: str = "") -> Any:
    """Return an answer that is valid against the schema.

    Raises:
        ApiError: 400, when the schema has something this endpoint cannot satisfy.
    """
    return _Filler(schema, FieldValues(document, instruction)).value(schema, "", 0)


class _Filler:
    def __init__(self, root: Schema, values: FieldValues) -> None:
        self.root = root
        self.values = values

    def value(self, schema: Schema, name: str, depth: int) -> Any:
        """Return a value that the schema allows; `name` is the property it is for."""
        schema = self._resolve(schema)
        if "const" in schema:
            return schema["const"]
        if "enum" in schema:
            return self.values.ranked(schema["enum"], name)[0]
        if "anyOf" in schema:
            return self._any_of(schema["anyOf"], name, depth)
        kinds = _kinds(schema)
        if depth > _DEEPEST and "null" in kinds:
            return None
        match kinds[0]:
            case "object":
                return self._object(schema, depth)
            case "array":
                return self._array(schema, name, depth)
            case "integer" | "number" as kind:
                return number(schema, self.values.word_count, whole=kind == "integer")
            case "boolean":
                return bool(self.values.document.sentences)
            case "null":
                return None
            case _:
                return self.values.string(schema, name)

    def _resolve(self, schema: Schema) -> Schema:
        """Follow $ref; what is beside it counts for more than what it refers to."""
        for _ in range(_DEEPEST):
            if "$ref" not in schema:
                return schema
            found: Any = self.root
            for step in schema["$ref"].removeprefix("#").split("/")[1:]:
                found = found.get(step) if isinstance(found, dict) else None
            if not isinstance(found, dict):
                raise unsatisfiable(f"the $ref {schema['$ref']!r}, which leads nowhere")
            rest = {key: part for key, part in schema.items() if key != "$ref"}
            schema = {**found, **rest}
        raise unsatisfiable("a $ref that refers to itself")

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
            raise unsatisfiable("an object without end")
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
        if "enum" in items:
            found = self.values.ranked(items["enum"], name)[: max(1, least)]
        elif _kinds(items)[0] == "string" and not items.keys() & {"const", "anyOf"}:
            found = self.values.strings(items, name, max(least, min(most, _MOST_ITEMS)))
        else:
            found = [self.value(items, name, depth + 1)]
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
