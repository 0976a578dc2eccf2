"""CSV and TSV: a row that cannot be read is rejected alone, its neighbours are kept."""

from collections.abc import Iterator
from functools import cached_property
from typing import BinaryIO

from tasks.errors import UserError
from tasks.reading import csv_bytes, csv_dialect
from tasks.reading.csv_ahead import ahead
from tasks.reading.csv_blocks import ColumnParser, Stretch, chunks_of, row_limit, stretch_of
from tasks.reading.csv_bytes import ByteBuffer, utf8_of
from tasks.reading.csv_rows import Lines, RowReader
from tasks.reading.csv_sniff import SAMPLE, Layout, delimiter_of, layout_of
from tasks.reading.readers_base import BATCH_ROWS, Chunk, Source, in_chunks, opened
from tasks.reading.readers_text import source_encoding

__all__ = ["delimiter_of", "read_csv"]

MAX_COLUMNS = 16_384
"""The most columns taken, as in Excel: each takes 10 KB of memory, whatever is in it."""
_DELIMITER_NAMES = {"\t": "tab", " ": "space"}


def read_csv(source: Source, batch_rows: int = BATCH_ROWS) -> Iterator[Chunk]:
    r"""Read CSV or TSV, each row numbered by the line that it starts on.

    The first rows tell the delimiter, the quotes, and whether there is a header; without one the
    columns are ``column_1`` and so on. `source.facts` gets the ``encoding`` and the ``delimiter``,
    and what is unusual: ``header`` (none), ``quote``, ``escape``. The next chunks are read in a
    thread while the caller works on one.

    Raises:
        UserError: the file is empty, its encoding cannot be told, or it has over MAX_COLUMNS.
    """
    return ahead(_read(source, batch_rows))


def _read(source: Source, batch_rows: int) -> Iterator[Chunk]:
    with opened(source) as file:
        yield from _Table(source, file).chunks(batch_rows)


class _Table:
    """The table of an open file, whose header has been read."""

    def __init__(self, source: Source, file: BinaryIO) -> None:
        encoding = source_encoding(file, source)
        self._buffer = ByteBuffer(*utf8_of(file, encoding))
        layout = _layout(self._buffer, source.name)
        source.facts.update(_facts(layout))
        self._dialect, self._names = layout.dialect, layout.names
        lines = Lines(self._buffer.line)
        _skip(lines, layout)
        others = "the header has" if layout.header else "the first rows have"
        self._rows = RowReader(lines, layout.dialect, layout.names, encoding, others)

    def chunks(self, batch_rows: int) -> Iterator[Chunk]:
        """Yield all rows: by blocks as far as they are well formed, else one by one."""
        if not self._dialect.is_plain:
            yield from in_chunks(self._rows.rows(), batch_rows)
            return
        buffer, size = self._buffer, csv_bytes.BLOCK
        while True:
            buffer.fill(size)
            if not buffer.left:
                return
            stop = min(buffer.at + size, len(buffer.data))
            last = buffer.ended and stop == len(buffer.data)
            size, end = csv_bytes.BLOCK, buffer.offset + stop - buffer.at
            stretch = stretch_of(buffer.data, buffer.at, stop, last, self._dialect)
            yield from self._stretch(stretch, batch_rows)
            if stretch.is_odd:
                yield from self._one_by_one(end, batch_rows)
            elif not stretch.size and end - buffer.offset > row_limit():
                yield from self._one_by_one(buffer.offset + 1, batch_rows)
            elif not stretch.size:
                size = 2 * (end - buffer.offset)

    def _stretch(self, stretch: Stretch, batch_rows: int) -> Iterator[Chunk]:
        buffer, lines = self._buffer, self._rows.lines
        if len(stretch.starts):
            columns = self._parser.columns(buffer.data, buffer.at, stretch)
            if columns is None:
                yield from self._one_by_one(buffer.offset + stretch.size, batch_rows)
                return
            yield from chunks_of(columns, stretch, lines.first, batch_rows)
        buffer.at += stretch.size
        lines.first += stretch.line_ends

    def _one_by_one(self, end: int, batch_rows: int) -> Iterator[Chunk]:
        """Read rows up to the first one that starts at `end` or after it."""
        return in_chunks(self._rows.rows(lambda: self._buffer.offset >= end), batch_rows)

    @cached_property
    def _parser(self) -> ColumnParser:
        return ColumnParser(self._dialect, self._names)


def _layout(buffer: ByteBuffer, name: str) -> Layout:
    """Tell the layout by a sample, and by a larger one if the first row is larger than that."""
    sizes = SAMPLE, 16 * SAMPLE, 2 * csv_dialect.MAX_FIELD
    for size in sizes:
        buffer.fill(size)
        sample = buffer.data[buffer.at : buffer.at + size].decode("utf-8", "replace")
        whole = buffer.ended and buffer.left <= size
        layout = layout_of(sample, whole, more=not whole and size != sizes[-1])
        if layout is not None and layout.names:
            _check_columns(layout, name)
            return layout
        if buffer.ended:
            break
    if layout is None:
        raise UserError(f"{name} is empty: there is no article in it")
    raise UserError(
        f"{name} has no header that can be read (line {layout.skip + 1}: its quotes do not match); "
        "put one line with the columns' names on top"
    )


def _check_columns(layout: Layout, name: str) -> None:
    if len(layout.names) > MAX_COLUMNS:
        raise UserError(
            f"{name} has {len(layout.names):,} columns, and tables of more than {MAX_COLUMNS:,} "
            "are not read; save it with fewer, or as JSON Lines"
        )


def _skip(lines: Lines, layout: Layout) -> None:
    """Go to the first row: past what is above the table, and past the header."""
    every = iter(lines)
    for _ in range(layout.skip):
        next(every)
    lines.begin_row()
    if layout.header:
        next(fields for fields in layout.dialect.parse(lines) if fields)
    lines.begin_row()


def _facts(layout: Layout) -> dict[str, str]:
    dialect = layout.dialect
    mark = dialect.delimiter
    shown = _DELIMITER_NAMES.get(mark, mark if mark.isprintable() else f"U+{ord(mark):04X}")
    facts = {"delimiter": shown if len(layout.names) > 1 else "none"}
    if not layout.header:
        facts["header"] = "none"
    if dialect.quote != '"':
        facts["quote"] = dialect.quote
    if dialect.escape:
        facts["escape"] = "\\"
    return facts
