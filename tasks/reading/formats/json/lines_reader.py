"""Stream JSON Lines, one object per line, and JSON text sequences."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

from article_flows.tasks.common.errors import UserError
from article_flows.tasks.reading.base.rows import (
    BATCH_ROWS,
    RecordChunk,
    Reject,
    Row,
    Source,
    in_chunks,
    open_source,
)
from article_flows.tasks.reading.base.text_encoding import utf8_blocks
from article_flows.tasks.reading.formats.json.values import MAX_ELEMENT, parse_object, reject

_RECORD_SEPARATOR = b"\x1e"


def read_jsonl(source: Source, batch_rows: int = BATCH_ROWS) -> Iterator[RecordChunk]:
    """Read JSON Lines, numbered by line, or a JSON text sequence (RFC 7464), numbered by record.

    Lines that are not JSON objects are rejected one by one. `source.facts` receives ``encoding``.

    Raises:
        UserError: The file is empty.
    """
    with open_source(source) as file:
        blocks = utf8_blocks(file, source)
        yield from in_chunks(_rows(blocks, source.name), batch_rows)


def _rows(blocks: Iterator[bytes], name: str) -> Iterator[Row | Reject]:
    first = next(blocks, b"")
    is_sequence = first.lstrip().startswith(_RECORD_SEPARATOR)
    separator = _RECORD_SEPARATOR if is_sequence else b"\n"
    empty = True
    # The text before the first separator of a sequence is not a record.
    for number, (line, is_unfinished) in enumerate(
        _lines(first, blocks, separator), 1 - is_sequence
    ):
        text = line.strip()
        if not text:
            continue
        empty = False
        if len(text) > MAX_ELEMENT:
            yield reject(number, f"the line is longer than {MAX_ELEMENT >> 20} MiB", text)
            continue
        row = parse_object(number, text)
        if is_unfinished and isinstance(row, Reject):
            row = reject(number, f"{row.reason}; the file ends within this line", text)
        yield row
    if empty:
        raise UserError(f"{name} is empty: it contains no articles")


def _lines(first: bytes, blocks: Iterator[bytes], separator: bytes) -> Iterator[tuple[bytes, bool]]:
    """Yield each line without its separator, and whether the file ends before the separator.

    A line longer than MAX_ELEMENT is truncated to one byte more.
    """
    line = bytearray()
    for block in chain((first,), blocks):
        start, *others = block.split(separator)
        line += start[: max(0, MAX_ELEMENT + 1 - len(line))]
        if others:
            *complete, last = others
            yield bytes(line), False
            for each in complete:
                yield each, False
            line = bytearray(last)
    if line:
        yield bytes(line), True
