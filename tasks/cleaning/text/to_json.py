"""Raw values as compact, strict JSON."""

import json
import math
from base64 import b64encode
from collections.abc import Mapping
from typing import Any

import orjson

from article_flows.tasks.reading.base.text_encoding import without_surrogates

_OPTIONS = orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS


def to_json(value: Mapping[str, Any]) -> str:
    """Return a JSON object with sorted keys, for values of any type.

    Dates become ISO 8601, decimals become strings, bytes become text if they are UTF-8 and base64
    otherwise, NaN becomes null.

    Raises:
        RecursionError: The value is nested too deeply.

    Example:
        >>> to_json({"rank": float("nan"), "id": b"a1"})
        '{"id":"a1","rank":null}'
    """
    try:
        return orjson.dumps(value, default=_json_value, option=_OPTIONS).decode()
    except TypeError:
        # orjson rejects integers over 64 bits, lone surrogates and deep nesting.
        plain = _json_plain(value)
        text = json.dumps(
            plain, ensure_ascii=False, separators=(",", ":"), sort_keys=True, default=_json_value
        )
        return without_surrogates(text)


def excerpt(record: Mapping[str, Any], chars: int) -> str:
    """Return the first characters of a record's JSON without serializing all of it.

    Returns:
        At most `chars` characters; empty if the record is nested too deeply.
    """
    try:
        return to_json(_shortened(record, chars))[:chars]
    except RecursionError:
        return ""


def _shortened(value: Any, chars: int) -> Any:
    """Drop the parts of a value that cannot affect the first characters of its JSON."""
    match value:
        case str():
            return value[:chars]
        case bytes():
            return str(_json_value(value))[:chars]
        case dict():
            # JSON sorts the keys, so the first ones in that order are kept.
            first = sorted(value, key=str)[:chars]
            return {_shortened(key, chars): _shortened(value[key], chars) for key in first}
        case list() | tuple():
            return [_shortened(each, chars) for each in value[:chars]]
        case _:
            return value


def _json_value(value: Any) -> Any:
    """Convert a value of a type that neither orjson nor json supports."""
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return b64encode(value).decode()
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def _json_plain(value: Any) -> Any:
    """Convert a value to one that json serializes as strict JSON."""
    match value:
        case float():
            return value if math.isfinite(value) else None
        case dict():
            return {without_surrogates(str(key)): _json_plain(each) for key, each in value.items()}
        case list() | tuple():
            return [_json_plain(each) for each in value]
        case _:
            return value
