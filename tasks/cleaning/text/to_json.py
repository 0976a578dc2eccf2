"""Any raw values as compact, strict JSON in UTF-8."""

import json
import math
from base64 import b64encode
from collections.abc import Mapping
from typing import Any

import orjson

from article_flows.tasks.reading.base.text_encoding import without_surrogates

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
        text = json.dumps(
            plain, ensure_ascii=False, separators=(",", ":"), sort_keys=True, default=_json_value
        )
        return without_surrogates(text)


def excerpt(record: Mapping[str, Any], chars: int) -> str:
    """Return the start of a record's JSON, without making all of it; empty if nested too deeply."""
    try:
        return to_json(_shortened(record, chars))[:chars]
    except RecursionError:
        return ""


def _shortened(value: Any, most: int) -> Any:
    """Cut off of a value what is after its JSON's first `most` characters for sure."""
    match value:
        case str():
            return value[:most]
        case bytes():
            return str(_json_value(value))[:most]
        case dict():
            # Keys are put in order again when they are written.
            first = sorted(value, key=str)[:most]
            return {_shortened(key, most): _shortened(value[key], most) for key in first}
        case list() | tuple():
            return [_shortened(each, most) for each in value[:most]]
        case _:
            return value


def _json_value(value: Any) -> Any:
    """Give the JSON form of what neither orjson nor json knows."""
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return b64encode(value).decode()
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def _json_plain(value: Any) -> Any:
    """Reduce a value to what json can write as strict JSON."""
    match value:
        case float():
            return value if math.isfinite(value) else None
        case dict():
            return {without_surrogates(str(key)): _json_plain(each) for key, each in value.items()}
        case list() | tuple():
            return [_json_plain(each) for each in value]
        case _:
            return value
