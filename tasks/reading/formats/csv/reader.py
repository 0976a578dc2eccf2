"""Stream CSV and TSV files in the layout that their first rows suggest."""

from collections.abc import Iterator
from typing import BinaryIO

from article_flows.tasks.common.errors import UserError
from article_flows.tasks.reading.base.rows import (
    BATCH_ROWS,
    RecordChunk,
    Source,
    in_chunks,
    open_source,
)
from article_flows.tasks.reading.base.text_encoding import source_encoding, without_surrogates
from article_flows.tasks.reading.formats.csv import rows
from article_flows.tasks.reading.formats.csv.rows import Lines, RowReader, text_of
from article_flows.tasks.reading.formats.csv.sniff import SAMPLE_CHARS, CsvLayout, layout_of

MAX_COLUMNS = 16_384
"""Limit of Excel; each column takes 10 KB of memory, whatever its content."""
_DELIMITER_NAMES = {"\t": "tab", " ": "space"}


def read_csv(source: Source, batch_rows: int = BATCH_ROWS) -> Iterator[RecordChunk]:
    """Read CSV or TSV; rows that cannot be parsed are rejected one by one.

    Rows are numbered by their first line. The delimiter, the quotes and the presence of a header
    are inferred from the first rows; without a header, the columns are ``column_1`` and so on.
    `source.facts` receives ``encoding`` and ``delimiter``, and ``header`` (none), ``quote`` and
    ``escape`` if they are unusual.

    Raises:
        UserError: The file is empty, its encoding is unknown, or it has over MAX_COLUMNS columns.
    """
    with open_source(source) as file:
        encoding = source_encoding(file, source)
        layout = _layout(file, encoding, source.name)
        source.facts.update(_facts(layout))
        lines = Lines(text_of(file, encoding).readline)
        _skip_to_first_row(lines, layout)
        expected = "the header has" if layout.header else "the first rows have"
        rows = RowReader(lines, layout.dialect, layout.names, encoding, expected).rows()
        yield from in_chunks(rows, batch_rows)


def _layout(file: BinaryIO, encoding: str, name: str) -> CsvLayout:
    """Infer the layout from a sample, which grows if the first row does not fit into it."""
    text = text_of(file, encoding)
    sizes = SAMPLE_CHARS, 16 * SAMPLE_CHARS, 2 * rows.MAX_FIELD_CHARS
    sample = ""
    for size in sizes:
        sample += text.read(size - len(sample))
        whole = len(sample) < size
        layout = layout_of(without_surrogates(sample), whole, more=not whole and size != sizes[-1])
        if whole or (layout is not None and layout.names):
            break
    # Keeps the garbage collection of `text` from closing the file.
    text.detach()
    if layout is None:
        raise UserError(f"{name} is empty: it contains no articles")
    if not layout.names:
        raise UserError(
            f"{name} has a header that cannot be read (line {layout.skip + 1}: its quotes do not "
            "match); replace it by one line of column names"
        )
    if len(layout.names) > MAX_COLUMNS:
        raise UserError(
            f"{name} has {len(layout.names):,} columns, but tables may have at most "
            f"{MAX_COLUMNS:,}; save it with fewer, or as JSON Lines"
        )
    return layout


def _skip_to_first_row(lines: Lines, layout: CsvLayout) -> None:
    iterator = iter(lines)
    for _ in range(layout.skip):
        next(iterator)
    lines.begin_row()
    if layout.header:
        next(fields for fields in layout.dialect.parse(lines) if fields)
    lines.begin_row()


def _facts(layout: CsvLayout) -> dict[str, str]:
    dialect = layout.dialect
    char = dialect.delimiter
    name = _DELIMITER_NAMES.get(char, char if char.isprintable() else f"U+{ord(char):04X}")
    facts = {"delimiter": name if len(layout.names) > 1 else "none"}
    if not layout.header:
        facts["header"] = "none"
    if dialect.quote != '"':
        facts["quote"] = dialect.quote
    if dialect.escape:
        facts["escape"] = "\\"
    return facts
