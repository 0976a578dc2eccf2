"""Parse JSON values strictly by RFC 8259, for all readers of JSON."""

from __future__ import annotations

import json
import re
from typing import Any, NoReturn

import orjson

from article_flows.tasks.reading.base.rows import EXCERPT_CHARS, Reject, Row
from article_flows.tasks.reading.formats.json.scanner import STRINGS

MAX_ELEMENT = 16 << 20
"""Largest accepted line or element in bytes: three times the longest known article, as in CSV."""
MAX_VALUES = 2_000_000
"""Most values in a text; even an empty list takes about 100 bytes of memory."""
MAX_DIGITS = 5_000
"""More than a number can have: Python does not parse integers of over 4,300 digits."""
_FIRST_INEXACT = float(2**63)
_KINDS = {list: "an array", str: "a string", bool: "a boolean", type(None): "null"}
_CONSTANT = re.compile(r"-?(?:NaN|Infinity|inf|nan)\b")


class NotJsonError(ValueError):
    """Bytes that are not a JSON value.

    Attributes:
        position: The 0-based character at which parsing failed.
    """

    def __init__(self, reason: str, position: int) -> None:
        super().__init__(reason)
        self.position = position


class TooManyValuesError(NotJsonError):
    """JSON with more than MAX_VALUES values, which would take far more memory than its text."""

    def __init__(self) -> None:
        super().__init__(f"it has more than {MAX_VALUES:,} values", 0)


def parse_json(text: bytes | bytearray) -> Any:
    """Parse UTF-8 text as one JSON value (RFC 8259), more exactly than orjson alone.

    Integers of over 64 bits in the outermost object stay exact, lone surrogates are kept, and the
    last of repeated names wins. NaN and Infinity are errors.

    Raises:
        NotJsonError: The text is not JSON; the message can serve as the reason of a reject.
        TooManyValuesError: The text has more than MAX_VALUES values.

    Example:
        >>> parse_json(b'{"id": 123456789012345678901234567890}')
        {'id': 123456789012345678901234567890}
    """
    if len(text) > MAX_VALUES and _values(text) > MAX_VALUES:
        raise TooManyValuesError
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        return _parse_or_explain(text, error)
    if type(value) is dict:
        for member in value.values():
            if type(member) is float and abs(member) >= _FIRST_INEXACT:
                # orjson rounds an integer over 64 bits to a float, but an id must keep its digits.
                return _parse_exactly(text.decode(), value)
    return value


def _values(text: bytes | bytearray) -> int:
    """Count values by their separators; separators in strings are excluded if there are many."""
    if (count := _separators(text)) > MAX_VALUES:
        return _separators(STRINGS.sub(b"", text))
    return count


def _separators(text: bytes | bytearray) -> int:
    return 1 + text.count(b",") + text.count(b"[") + text.count(b"{")


def is_cut(text: bytes | bytearray, error: NotJsonError) -> bool:
    """Return whether `text` is only truncated, given the error of parsing it."""
    return error.position >= len(text.decode(errors="replace").rstrip()) or (
        error.position == 0 and not text.strip()
    )


def without_cut_character(text: bytes | bytearray) -> bytes | bytearray:
    """Return `text` without an incomplete UTF-8 character at its end."""
    for back in range(1, min(4, len(text) + 1)):
        if text[-back] >= 0xC0:
            length = 2 + (text[-back] >= 0xE0) + (text[-back] >= 0xF0)
            return text[:-back] if length > back else text
        if text[-back] < 0x80:
            break
    return text


def parse_object(number: int, text: bytes | bytearray) -> Row | Reject:
    """Parse a JSON object as a row, or return a `Reject` with the reason."""
    try:
        value = parse_json(text)
    except NotJsonError as error:
        return reject(number, str(error), text)
    if type(value) is not dict:
        return reject(number, not_an_object(value), text)
    return Row(number, value, len(text))


def not_an_object(value: Any) -> str:
    """Return the reason for rejecting a valid JSON value that is not an object."""
    return f"{_KINDS.get(type(value), 'a number')}, not an object with columns"


def reject(number: int, reason: str, text: bytes | bytearray) -> Reject:
    """Return a `Reject` with the start of the row's raw text."""
    excerpt = text[: 4 * EXCERPT_CHARS].decode(errors="replace")[:EXCERPT_CHARS]
    return Reject(number, reason, excerpt)


def _parse_or_explain(text: bytes | bytearray, error: orjson.JSONDecodeError) -> Any:
    """Parse valid JSON that orjson rejects with `json`; otherwise raise NotJsonError."""
    try:
        decoded = text.decode()
    except UnicodeDecodeError as undecodable:
        position = len(text[: undecodable.start].decode())
        reason = f"not UTF-8 at byte {undecodable.start + 1}"
        raise NotJsonError(reason, position) from undecodable
    if "depth" in error.msg:
        raise NotJsonError("not usable JSON: nested too deeply", error.pos) from error
    if "surrogate" in error.msg or "infinity" in error.msg:
        return _parse_exactly(decoded, None)
    # orjson reports the position of a signed constant after its sign.
    if constant := _CONSTANT.match(decoded, max(0, error.pos - 1)) or _CONSTANT.match(
        decoded, error.pos
    ):
        reason = f"{constant[0]} is not a JSON value"
    else:
        reason = error.msg
    raise NotJsonError(f"not JSON: {reason} at character {error.pos + 1}", error.pos) from error


def _parse_exactly(text: str, rounded: Any) -> Any:
    """Parse with `json`, which has no 64-bit limit; return `rounded` if a number is too long."""
    try:
        return json.loads(text, parse_constant=_reject_constant)
    except json.JSONDecodeError as error:
        reason = f"not JSON: {error.msg} at character {error.pos + 1}"
        raise NotJsonError(reason, error.pos) from error
    except RecursionError as error:
        raise NotJsonError("not usable JSON: nested too deeply", 0) from error
    except ValueError as error:
        # Python does not parse integers of over 4,300 digits, and no id is that long.
        if rounded is None:
            raise NotJsonError("not usable JSON: a number that is too long", 0) from error
        return rounded


def _reject_constant(constant: str) -> NoReturn:
    raise json.JSONDecodeError(f"{constant} is not a JSON value", constant, 0)
