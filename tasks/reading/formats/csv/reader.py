"""CSV and TSV: a row that cannot be read is rejected alone, its neighbours are kept."""

from collections.abc import Iterator
from typing import BinaryIO

from article_flows.tasks.common.errors import UserError
from article_flows.tasks.reading.base.rows import BATCH_ROWS, RecordChunk, Source, in_chunks, opened
from article_flows.tasks.reading.base.text_encoding import source_encoding, without_surrogates
from article_flows.tasks.reading.formats.csv import rows
from article_flows.tasks.reading.formats.csv.rows import Lines, RowReader, text_of
from article_flows.tasks.reading.formats.csv.sniff import SAMPLE, CsvLayout, layout_of

MAX_COLUMNS = 16_384
"""The most columns taken, as in Excel: each takes 10 KB of memory, whatever is in it."""
_DELIMITER_NAMES = {"\t": "tab", " ": "space"}


def read_csv(source: Source, batch_rows: int = BATCH_ROWS) -> Iterator[RecordChunk]:
    r"""Read CSV or TSV, each row numbered by the line that it starts on.

    The first rows tell the delimiter, the quotes, and whether there is a header; without one the
    columns are ``column_1`` and so on. `source.facts` gets the ``encoding`` and the ``delimiter``,
    and what is unusual: ``header`` (none), ``quote``, ``escape``.

    Raises:
        UserError: the file is empty, its encoding cannot be told, or it has over MAX_COLUMNS.
    """
    with opened(source) as file:
        encoding = source_encoding(file, source)
        layout = _layout(file, encoding, source.name)
        source.facts.update(_facts(layout))
        lines = Lines(text_of(file, encoding).readline)
        _skip(lines, layout)
        others = "the header has" if layout.header else "the first rows have"
        rows = RowReader(lines, layout.dialect, layout.names, encoding, others).rows()
        yield from in_chunks(rows, batch_rows)


def _layout(file: BinaryIO, encoding: str, name: str) -> CsvLayout:
    """Tell the layout by a sample, and by a larger one if the first row is larger than that."""
    text = text_of(file, encoding)
    sizes = SAMPLE, 16 * SAMPLE, 2 * rows.MAX_FIELD
    sample = ""
    for size in sizes:
        sample += text.read(size - len(sample))
        whole = len(sample) < size
        layout = layout_of(without_surrogates(sample), whole, more=not whole and size != sizes[-1])
        if whole or (layout is not None and layout.names):
            break
    # Else the file would be closed with the text.
    text.detach()
    if layout is None:
        raise UserError(f"{name} is empty: it contains no articles")
    if not layout.names:
        raise UserError(
            f"{name} has no header that can be read (line {layout.skip + 1}: its quotes do not "
            "match); put one line with the columns' names on top"
        )
    if len(layout.names) > MAX_COLUMNS:
        raise UserError(
            f"{name} has {len(layout.names):,} columns, and tables of more than {MAX_COLUMNS:,} "
            "are not read; save it with fewer, or as JSON Lines"
        )
    return layout


def _skip(lines: Lines, layout: CsvLayout) -> None:
    """Go to the first row: past what is above the table, and past the header."""
    every = iter(lines)
    for _ in range(layout.skip):
        next(every)
    lines.begin_row()
    if layout.header:
        next(fields for fields in layout.dialect.parse(lines) if fields)
    lines.begin_row()


def _facts(layout: CsvLayout) -> dict[str, str]:
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
