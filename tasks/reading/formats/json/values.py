"""Bytes to JSON values, strictly by RFC 8259: one parser for every reader of JSON."""

from __future__ import annotations

import json
import re
from typing import Any, NoReturn

import orjson

from article_flows.tasks.reading.base.rows import EXCERPT_CHARS, Reject, Row
from article_flows.tasks.reading.formats.json.scanner import STRINGS

MAX_ELEMENT = 16 << 20
"""The largest line or element taken, in bytes: three times the longest of articles, as in CSV."""
MAX_VALUES = 2_000_000
"""The most values taken in one text: each costs some 100 bytes of memory, if it is but ``[]``."""
MAX_DIGITS = 5_000
"""No number that is read is as long: Python reads no integer of more than 4,300 digits."""
_FIRST_INEXACT = float(2**63)
_KINDS = {list: "an array", str: "a string", bool: "a boolean", type(None): "null"}
_CONSTANT = re.compile(r"-?(?:NaN|Infinity|inf|nan)\b")


class NotJsonError(ValueError):
    """Bytes that are no JSON value: the message says why, `position` where (0-based character)."""

    def __init__(self, reason: str, position: int) -> None:
        super().__init__(reason)
        self.position = position


class TooManyValuesError(NotJsonError):
    """A text of so many values that they would take far more memory than it does itself."""

    def __init__(self) -> None:
        super().__init__(f"it has more than {MAX_VALUES:,} values", 0)


def parse_json(text: bytes | bytearray) -> Any:
    """Parse UTF-8 text as one JSON value (RFC 8259), which keeps what orjson alone would lose.

    Integers of more than 64 bits that are a member of the outermost object stay exact, lone
    surrogates stay as they are, and of repeated names the last wins. NaN and Infinity are no JSON.
    Raises NotJsonError, a ValueError whose message is fit for a reject's reason; of it,
    TooManyValuesError for more than MAX_VALUES.
    """
    if len(text) > MAX_VALUES and _values(text) > MAX_VALUES:
        raise TooManyValuesError
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        return _second_opinion(text, error)
    if type(value) is dict:
        for member in value.values():
            if type(member) is float and abs(member) >= _FIRST_INEXACT:
                # orjson turns an integer over 64 bits into a float: an id must keep its digits.
                return _parse_exactly(text.decode(), value)
    return value


def _values(text: bytes | bytearray) -> int:
    """Count values by what stands before each, first with what text within strings adds to them."""
    if (count := _marks(text)) > MAX_VALUES:
        return _marks(STRINGS.sub(b"", text))
    return count


def _marks(text: bytes | bytearray) -> int:
    return 1 + text.count(b",") + text.count(b"[") + text.count(b"{")


def is_cut(text: bytes | bytearray, error: NotJsonError) -> bool:
    """Tell whether what is wrong with `text` is only that it ends too early."""
    return error.position >= len(text.decode(errors="replace").rstrip()) or (
        error.position == 0 and not text.strip()
    )


def without_cut_character(text: bytes | bytearray) -> bytes | bytearray:
    """Leave out a UTF-8 character at the end that a cut has left without its last bytes."""
    for back in range(1, min(4, len(text) + 1)):
        if text[-back] >= 0xC0:
            length = 2 + (text[-back] >= 0xE0) + (text[-back] >= 0xF0)
            return text[:-back] if length > back else text
        if text[-back] < 0x80:
            break
    return text


def parse_object(number: int, text: bytes | bytearray) -> Row | Reject:
    """Parse one row: an object with columns, or a `Reject` that says what it is instead."""
    try:
        value = parse_json(text)
    except NotJsonError as error:
        return reject(number, str(error), text)
    if type(value) is not dict:
        return reject(number, not_an_object(value), text)
    return Row(number, value, len(text))


def not_an_object(value: Any) -> str:
    """Say of a value that is valid JSON why it is no row."""
    return f"{_KINDS.get(type(value), 'a number')}, not an object with columns"


def reject(number: int, reason: str, text: bytes | bytearray) -> Reject:
    """Reject a row with the start of its raw text."""
    excerpt = text[: 4 * EXCERPT_CHARS].decode(errors="replace")[:EXCERPT_CHARS]
    return Reject(number, reason, excerpt)


def _second_opinion(text: bytes | bytearray, error: orjson.JSONDecodeError) -> Any:
    """Let json parse what orjson refuses though it is legal; otherwise say what is wrong."""
    try:
        decoded = text.decode()
    except UnicodeDecodeError as wrong:
        place = len(text[: wrong.start].decode())
        raise NotJsonError(f"not UTF-8 at byte {wrong.start + 1}", place) from wrong
    if "depth" in error.msg:
        raise NotJsonError("not usable JSON: nested too deeply", error.pos) from error
    if "surrogate" in error.msg or "infinity" in error.msg:
        return _parse_exactly(decoded, None)
    # orjson's place of a signed constant is after its sign.
    if constant := _CONSTANT.match(decoded, max(0, error.pos - 1)) or _CONSTANT.match(
        decoded, error.pos
    ):
        reason = f"{constant[0]} is not a JSON value"
    else:
        reason = error.msg
    raise NotJsonError(f"not JSON: {reason} at character {error.pos + 1}", error.pos) from error


def _parse_exactly(text: str, rounded: Any) -> Any:
    """Parse by json, which knows no limit of 64 bits; `rounded` is for integers too long for it."""
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        reason = f"not JSON: {error.msg} at character {error.pos + 1}"
        raise NotJsonError(reason, error.pos) from error
    except RecursionError as error:
        raise NotJsonError("not usable JSON: nested too deeply", 0) from error
    except ValueError as error:
        # Python reads no integer of more than 4,300 digits; it is no id of an article either.
        if rounded is None:
            raise NotJsonError("not usable JSON: a number that is too long", 0) from error
        return rounded


def _refuse_constant(constant: str) -> NoReturn:
    raise json.JSONDecodeError(f"{constant} is not a JSON value", constant, 0)
