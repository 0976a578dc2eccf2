"""Any raw values as compact, strict JSON in UTF-8."""

import json
import math
from base64 import b64encode
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import orjson

from tasks.reading.readers_text import without_surrogates

_OPTIONS = orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS


def to_json(value: Mapping[str, Any]) -> str:
    """Return a JSON object, keys sorted, whatever the values are.

    Dates become ISO 8601, decimals strings, bytes text or base64, NaN null. Raises
    RecursionError if it is nested too deeply.
    """
    try:
        return orjson.dumps(value, default=_json_value, option=_OPTIONS).decode()
    except TypeError:
        # Numbers over 64 bits, lone surrogates, deep nesting: what orjson refuses.
        plain = _json_plain(value)
        return json.dumps(plain, ensure_ascii=False, separators=(",", ":"), sort_keys=True)


def excerpt(record: Mapping[str, Any], chars: int) -> str:
    """Return the start of a record's JSON, without making all of it; empty if nested too deeply."""
    try:
        shortened, _ = _shortened(record, chars, chars)
        return to_json(shortened)[:chars]
    except RecursionError:
        return ""


def _shortened(value: Any, left: int, most: int) -> tuple[Any, int]:
    """Cut a value off where its JSON has `left` characters for sure; returns what is left then.

    Keys are cut at `most`, the same for all: they are put in order again when they are written.
    """
    match value:
        case str():
            return value[: max(left, 0)], left - len(value)
        case bytes():
            return _cut_utf8(value, max(left, 0)), left - len(value) // 4
        case dict():
            kept = {}
            for key in sorted(value, key=str):
                if left <= 0:
                    break
                name = key[:most] if isinstance(key, str) else key
                left -= len(name) if isinstance(name, str) else 1
                kept[name], left = _shortened(value[key], left, most)
            return kept, left
        case list() | tuple():
            items = []
            for each in value:
                if left <= 0:
                    break
                item, left = _shortened(each, left - 1, most)
                items.append(item)
            return items, left
        case _:
            return value, left - 1


def _cut_utf8(value: bytes, chars: int) -> bytes:
    """Cut bytes off after so many characters at least; not within one, if they are UTF-8."""
    end = min(4 * chars, len(value))
    while end < len(value) and end > 4 * chars - 3 and value[end] & 0xC0 == 0x80:
        end -= 1
    return value[:end]


def _json_value(value: Any) -> Any:
    """Give the JSON form of what orjson does not know."""
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return b64encode(value).decode()
    if isinstance(value, datetime):
        return value.isoformat()
    return str(value)


def _json_plain(value: Any) -> Any:
    """Reduce a value to what json can write as strict JSON in UTF-8."""
    match value:
        case str():
            return without_surrogates(value)
        case None | bool() | int():
            return value
        case float():
            return value if math.isfinite(value) else None
        case dict():
            return {without_surrogates(str(key)): _json_plain(each) for key, each in value.items()}
        case list() | tuple():
            return [_json_plain(each) for each in value]
        case _ if hasattr(value, "isoformat"):
            return value.isoformat()
        case _:
            return _json_value(value)
