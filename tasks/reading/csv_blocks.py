"""The fast way through a CSV file: whole blocks as columns, as long as nothing is odd in them.

Rows are found by the parity of quotes; what is not written by the book ends the stretch, and is
left to `tasks.reading.csv_rows`, which says the same of what this one takes.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.csv as pa_csv

from tasks.reading import csv_bytes, csv_dialect, csv_rows
from tasks.reading.csv_dialect import Dialect
from tasks.reading.readers_base import CHUNK_BYTES, ColumnChunk

_NEWLINE, _RETURN = b"\n\r"
_BOM = "\ufeff".encode()

Places = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Stretch:
    """Complete rows at the start of some bytes that are well formed.

    Attributes:
        size: their bytes.
        starts: where each row starts that is not blank; `lines` counts the line ends before it.
        line_ends: in all of them; the end of the file is one too.
        is_odd: what follows is not well formed, or longer than is taken.
    """

    size: int
    starts: Places
    lines: Places
    line_ends: int
    is_odd: bool


def row_limit() -> int:
    """Bytes of the largest row that is taken here: no field or line of it can be too long."""
    return min(csv_dialect.MAX_FIELD, csv_bytes.MAX_LINE)


def stretch_of(data: bytes, at: int, stop: int, last: bool, dialect: Dialect) -> Stretch:
    """Find the rows of `data[at:stop]`, which is not empty; `last`: the file ends there."""
    view = np.frombuffer(data, np.uint8, stop - at, at)
    quotes = np.flatnonzero(view == ord(dialect.quote))
    line_ends, odd = _line_ends(view, quotes, last, data.find(b"\r", at, stop) >= 0)
    odd = min(odd, _first_odd_quote(view, quotes, dialect, last))
    outside = np.flatnonzero(np.searchsorted(quotes, line_ends) & 1 == 0)
    outside = outside[: np.searchsorted(line_ends[outside], odd)]
    ends, lines = line_ends[outside] + 1, outside + 1
    if last and odd >= len(view) and (not len(ends) or ends[-1] < len(view)):
        ends, lines = np.append(ends, len(view)), np.append(lines, len(line_ends) + 1)
    starts = np.concatenate(([0], ends[:-1]))[: len(ends)]
    before = np.concatenate(([0], lines[:-1]))[: len(ends)]
    large = (ends - starts > row_limit()) | (lines - before > csv_rows.MAX_LINES)
    rows = int(np.argmax(large)) if large.any() else len(ends)
    is_odd = odd < len(view) or rows < len(ends)
    if not rows:
        return Stretch(0, starts[:0], before[:0], 0, is_odd)
    filled = ~_is_blank(view, starts[:rows])
    return Stretch(
        int(ends[rows - 1]), starts[:rows][filled], before[:rows][filled], int(lines[rows - 1]),
        is_odd,
    )  # fmt: skip


def _line_ends(
    view: npt.NDArray[np.uint8], quotes: Places, last: bool, has_returns: bool
) -> tuple[Places, int]:
    r"""Return the last byte of each line end, and where the first lone \r outside quotes is."""
    line_ends = np.flatnonzero(view == _NEWLINE)
    if not has_returns:
        return line_ends, len(view)
    returns = np.flatnonzero(view == _RETURN)
    if returns[-1] == len(view) - 1 and not last:
        returns = returns[:-1]
    lone = returns[_next(view, returns) != _NEWLINE]
    if not len(lone):
        return line_ends, len(view)
    outside = lone[np.searchsorted(quotes, lone) & 1 == 0]
    return np.sort(np.concatenate((line_ends, lone))), _first(outside, len(view))


def _first_odd_quote(
    view: npt.NDArray[np.uint8], quotes: Places, dialect: Dialect, last: bool
) -> int:
    """Where the first quote is that neither begins a field, nor ends one, nor is doubled."""
    quote, delimiter = ord(dialect.quote), ord(dialect.delimiter)
    opening, closing = quotes[::2], quotes[1::2]
    before = view[opening - 1]
    fine = (before == delimiter) | (before == _NEWLINE) | (before == quote) | (opening == 0)
    odd = _first(opening[~fine], len(view))
    after = _next(view, closing)
    fine = (after == delimiter) | (after == _NEWLINE) | (after == quote)
    fine |= closing == len(view) - 1
    returned = (after == _RETURN) & ~fine
    if returned.any():
        fine |= returned & ((_next(view, closing + 1) == _NEWLINE) | (closing + 2 >= len(view)))
    odd = min(odd, _first(closing[~fine], len(view)))
    if last and len(quotes) % 2:
        odd = min(odd, int(quotes[-1]))
    return odd


def _next(view: npt.NDArray[np.uint8], places: Places) -> npt.NDArray[np.uint8]:
    """The bytes after some places; 0 after the last one."""
    after = view[np.minimum(places + 1, len(view) - 1)]
    after[places + 1 >= len(view)] = 0
    return after


def _first(places: Places, default: int) -> int:
    return int(places[0]) if len(places) else default


def _is_blank(view: npt.NDArray[np.uint8], starts: Places) -> npt.NDArray[np.bool_]:
    first = view[starts]
    blank = first == _NEWLINE
    if (returned := first == _RETURN).any():
        blank |= returned & (_next(view, starts) == _NEWLINE)
    return np.asarray(blank)


class ColumnParser:
    """Parses well-formed rows to columns of text."""

    def __init__(self, dialect: Dialect, names: list[str]) -> None:
        self._names = names
        self._parse = pa_csv.ParseOptions(
            delimiter=dialect.delimiter, quote_char=dialect.quote, newlines_in_values=True
        )
        self._convert = pa_csv.ConvertOptions(
            column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False
        )

    def columns(self, data: bytes, at: int, stretch: Stretch) -> dict[str, pa.Array] | None:
        """Return the columns of a stretch at `at`; None if one of its rows is not as it should be.

        That is: it has another number of fields than there are names, or is not UTF-8.
        """
        if data.startswith(_BOM, at):
            # What pyarrow takes for a byte order mark is a character in the middle of a file.
            return None
        options = pa_csv.ReadOptions(
            use_threads=False, block_size=stretch.size + 1, column_names=self._names
        )
        text = pa.BufferReader(pa.py_buffer(data).slice(at, stretch.size))
        try:
            table = pa_csv.read_csv(text, options, self._parse, self._convert)
        except pa.ArrowInvalid:
            return None
        if table.num_rows != len(stretch.starts):
            return None
        arrays = (column.combine_chunks() for column in table.columns)
        return dict(zip(self._names, arrays, strict=True))


def chunks_of(
    columns: dict[str, pa.Array], stretch: Stretch, first_line: int, batch_rows: int
) -> Iterator[ColumnChunk]:
    """Cut columns into chunks of at most `batch_rows` rows and about CHUNK_BYTES, not copied."""
    rows, start = len(stretch.starts), 0
    while start < rows:
        large = np.searchsorted(stretch.starts, stretch.starts[start] + CHUNK_BYTES)
        end = max(start + 1, min(start + batch_rows, rows, int(large)))
        yield ColumnChunk(
            {name: column[start:end] for name, column in columns.items()},
            stretch.lines[start:end] + first_line,
        )
        start = end
