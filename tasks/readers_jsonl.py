"""JSON Lines: one object a line; a broken line is rejected alone, its neighbours are kept."""

import codecs
import io
import json
from collections.abc import Iterator
from typing import Any, BinaryIO, NoReturn

import orjson

from tasks.errors import UserError
from tasks.readers_base import (
    BATCH_ROWS,
    EXCERPT_CHARS,
    RecordChunk,
    Reject,
    Row,
    Source,
    in_chunks,
    opened,
)
from tasks.readers_text import MAX_LINE, bom_encoding, bounded_lines

_FIRST_INEXACT = float(2**63)
_KINDS = {list: "an array", str: "a string", bool: "a boolean", type(None): "null"}


def read_jsonl(source: Source, batch_rows: int = BATCH_ROWS) -> Iterator[RecordChunk]:
    """Read JSON Lines, rows numbered by line; raise UserError for a file with nothing in it."""
    with opened(source) as file:
        yield from in_chunks(_rows(file, source.name), batch_rows)


def _rows(file: BinaryIO, name: str) -> Iterator[Row | Reject]:
    empty = True
    lines = bounded_lines(_utf8_lines(file).readline, (b"\n",))
    for number, (line, whole) in enumerate(lines, start=1):
        text = (line.removeprefix(codecs.BOM_UTF8) if number == 1 else line).strip()
        if not text:
            continue
        empty = False
        if not whole:
            yield _reject(number, f"the line is longer than {MAX_LINE >> 20} MiB", text)
            continue
        row = _parsed(number, text)
        if isinstance(row, Reject) and not line.endswith(b"\n"):
            row = _reject(number, f"{row.reason}; the file ends within this line", text)
        yield row
    if empty:
        raise UserError(f"{name} is empty: there is no article in it")


def _parsed(number: int, text: bytes) -> Row | Reject:
    try:
        record = _loads(text)
    except UnicodeDecodeError as error:
        return _reject(number, f"not UTF-8 at byte {error.start + 1} of the line", text)
    except json.JSONDecodeError as error:
        return _reject(number, f"not JSON: {error.msg} at character {error.pos + 1}", text)
    except RecursionError:
        return _reject(number, "not usable JSON: nested too deeply", text)
    if not isinstance(record, dict):
        kind = _KINDS.get(type(record), "a number")
        return _reject(number, f"{kind}, not an object with columns", text)
    return Row(number, record, len(text))


def _loads(text: bytes) -> Any:
    """Parse one line; json takes over where orjson refuses or rounds what is legal JSON."""
    try:
        record = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        decoded = text.decode()
        if "surrogate" in error.msg:
            return json.loads(decoded, parse_constant=_refuse_constant)
        raise
    if isinstance(record, dict) and any(
        type(value) is float and abs(value) >= _FIRST_INEXACT for value in record.values()
    ):
        # orjson turns an integer over 64 bits into a float: an id must not lose its digits.
        return json.loads(text)
    return record


def _refuse_constant(constant: str) -> NoReturn:
    raise json.JSONDecodeError(f"{constant} is not a JSON value", constant, 0)


def _reject(number: int, reason: str, text: bytes) -> Reject:
    excerpt = text[: 4 * EXCERPT_CHARS].decode(errors="replace")[:EXCERPT_CHARS]
    return Reject(number, reason, excerpt)


class _Transcoded:
    """A UTF-16 or UTF-32 file (as PowerShell's `>` writes) that reads as UTF-8."""

    def __init__(self, file: BinaryIO, encoding: str) -> None:
        self._text = io.TextIOWrapper(file, encoding, errors="replace", newline="\n")

    def readline(self, limit: int) -> bytes:
        return self._text.readline(limit).encode()


def _utf8_lines(file: BinaryIO) -> BinaryIO | _Transcoded:
    encoding = bom_encoding(file.read(4))
    file.seek(0)
    if encoding in (None, "utf-8-sig"):
        return file
    return _Transcoded(file, str(encoding))
