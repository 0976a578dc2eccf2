"""JSON Lines: one object a line; a broken line is rejected alone, its neighbours are kept."""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from itertools import chain

from tasks.errors import UserError
from tasks.reading.json_values import MAX_ELEMENT, parse_object, reject
from tasks.reading.readers_base import (
    BATCH_ROWS,
    RecordChunk,
    Reject,
    Row,
    Source,
    in_chunks,
    opened,
)
from tasks.reading.readers_text import utf8_blocks

_RECORD_SEPARATOR = b"\x1e"
_EXCERPT = 8_000


def read_jsonl(source: Source, batch_rows: int = BATCH_ROWS) -> Iterator[RecordChunk]:
    """Read JSON Lines, rows numbered by line; raise UserError for a file with nothing in it.

    Also JSON text sequences (RFC 7464), whose rows are numbered by record. Puts ``encoding``
    into the source's facts.
    """
    with opened(source) as file:
        blocks = utf8_blocks(file, source)
        yield from in_chunks(_rows(blocks, source.name), batch_rows)


def _rows(blocks: Iterator[bytes], name: str) -> Iterator[Row | Reject]:
    first = next(blocks, b"")
    is_sequence = first.lstrip().startswith(_RECORD_SEPARATOR)
    separator = _RECORD_SEPARATOR if is_sequence else b"\n"
    empty = True
    # What comes before the first separator of a sequence is no record.
    for number, (line, end) in enumerate(_lines(first, blocks, separator), 1 - is_sequence):
        text = line.strip()
        if not text:
            continue
        empty = False
        if end is _End.TOO_FAR or len(text) > MAX_ELEMENT:
            yield reject(number, f"the line is longer than {MAX_ELEMENT >> 20} MiB", text)
            continue
        row = parse_object(number, text)
        if end is _End.OF_FILE and isinstance(row, Reject):
            row = reject(number, f"{row.reason}; the file ends within this line", text)
        yield row
    if empty:
        raise UserError(f"{name} is empty: there is no article in it")


class _End(Enum):
    """How a line ends."""

    HERE = 0
    OF_FILE = 1
    TOO_FAR = 2


def _lines(first: bytes, blocks: Iterator[bytes], separator: bytes) -> Iterator[tuple[bytes, _End]]:
    """Yield each line, without its separator, and how it ends; of one TOO_FAR only an excerpt.

    Blocks are split in bulk; of a line that goes over several, the pieces are joined once.
    """
    pieces: list[bytes] = []
    size = 0
    for block in chain((first,), blocks):
        lines = block.split(separator)
        last = lines.pop()
        if lines and pieces:
            pieces.append(lines[0])
            too_far = size + len(lines[0]) > MAX_ELEMENT
            lines[0] = b"".join(pieces)
            pieces, size = [], 0
            if too_far:
                yield lines.pop(0)[:_EXCERPT], _End.TOO_FAR
        for line in lines:
            yield line, _End.HERE
        size += len(last)
        if last:
            pieces.append(last if size <= MAX_ELEMENT else last[:_EXCERPT])
        if size > MAX_ELEMENT:
            pieces = [b"".join(pieces)[:_EXCERPT]]
    if pieces:
        yield b"".join(pieces), _End.TOO_FAR if size > MAX_ELEMENT else _End.OF_FILE
