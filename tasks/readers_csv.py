"""CSV and TSV: a row that cannot be read is rejected alone, its neighbours are kept."""

import csv
import io
import re
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

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
    unique_names,
)
from tasks.readers_text import MAX_LINE, bounded_lines, text_encoding, without_surrogates

MAX_FIELD = 16 << 20
"""The longest field taken, in characters: where a quote that is never closed stops swallowing."""
LONGEST_NAME = 100
"""A longer "column name" is an article: the file has no header line."""
_DELIMITERS = ",;\t|"
_QUOTED = re.compile(r'"(?:[^"]|"")*"')
_SEP_LINE = re.compile(r"sep=(.)\s*", re.IGNORECASE)
_LINE_ENDS = ("\n", "\r")


class _Lines:
    """The lines of a file for csv.reader; those of the row at hand can be given back.

    A line over MAX_LINE comes as its start and sets `too_long` until the next row begins.
    """

    def __init__(self, lines: Iterator[tuple[str, bool]]) -> None:
        self._lines = lines
        self._back: deque[str] = deque()
        self.first = 1
        self.row: list[str] = []
        self.too_long = False

    def __iter__(self) -> Iterator[str]:
        row, back = self.row, self._back
        while True:
            while back:
                row.append(back.popleft())
                yield row[-1]
            line, whole = next(self._lines, ("", True))
            if not line:
                return
            if not whole:
                self.too_long = True
                line = line[:EXCERPT_CHARS]
            row.append(line)
            yield line

    @property
    def last(self) -> int:
        return self.first + len(self.row) - 1

    @property
    def raw(self) -> str:
        return "".join(line[:EXCERPT_CHARS] for line in self.row[:EXCERPT_CHARS])[:EXCERPT_CHARS]

    def begin_row(self) -> None:
        self.first += len(self.row)
        self.row.clear()
        self.too_long = False

    def give_back(self, keep: int) -> None:
        """Put all lines of this row but the first `keep` back to be read again."""
        self._back.extendleft(reversed(self.row[keep:]))
        del self.row[keep:]


@dataclass(frozen=True)
class _Dialect:
    delimiter: str
    skip_space: bool = False

    def parse(self, lines: Iterable[str]) -> Iterator[list[str]]:
        return csv.reader(
            lines, delimiter=self.delimiter, skipinitialspace=self.skip_space, strict=True
        )

    def parse_loosely(self, line: str, width: int) -> list[str] | None:
        """Parse one line whose quotes are not balanced, if it comes to `width` fields.

        Quotes in a TSV often are part of the text; elsewhere a stray one is left in its field.
        """
        if self.delimiter == "\t":
            fields = line.rstrip("\r\n").split("\t")
            return fields if len(fields) == width else None
        if line.count('"') % 2:
            return None
        try:
            fields = next(csv.reader([line], delimiter=self.delimiter))
        except csv.Error:
            return None
        return fields if len(fields) == width else None


def read_csv(source: Source, batch_rows: int = BATCH_ROWS) -> Iterator[RecordChunk]:
    """Read CSV or TSV, each row numbered by the line that it starts on.

    The header line tells the delimiter (`,` `;` tab or `|`). Raises UserError for an empty file,
    for one without a header line, and for one whose encoding cannot be told.
    """
    csv.field_size_limit(MAX_FIELD)
    with opened(source) as file:
        encoding = text_encoding(file, source.name)
        # surrogateescape lets bad bytes through to their row; UTF-16 and UTF-32 do not support it.
        errors = "replace" if encoding in ("utf-16", "utf-32") else "surrogateescape"
        text = io.TextIOWrapper(file, encoding, errors=errors, newline="")
        lines = _Lines(bounded_lines(text.readline, _LINE_ENDS))
        dialect, names = _header(lines, source)
        yield from in_chunks(_rows(lines, dialect, names, encoding), batch_rows)


def _header(lines: _Lines, source: Source) -> tuple[_Dialect, list[str]]:
    """Read the header row: the delimiter and the columns' names."""
    line = next((line for line in lines if line.strip()), "")
    if not line:
        raise UserError(f"{source.name} is empty: there is no article in it")
    delimiter = None
    if said := _SEP_LINE.fullmatch(line):
        delimiter, line = said[1], next(iter(lines), "")
    delimiter = delimiter or delimiter_of(line)
    dialect = _Dialect(delimiter, skip_space=f'{delimiter} "' in line)
    lines.give_back(len(lines.row) - 1)
    lines.begin_row()
    try:
        cells = next(dialect.parse(lines))
    except (csv.Error, StopIteration) as error:
        raise UserError(
            f"{source.name} has no header that can be read (line {lines.first}: {error}); "
            "put one line with the columns' names on top"
        ) from None
    if any(len(cell) > LONGEST_NAME for cell in cells):
        raise UserError(_no_header(source.name, cells, delimiter))
    return dialect, unique_names(map(without_surrogates, cells))


def delimiter_of(line: str) -> str:
    """Return a header line's delimiter: a tab if there is one, else what it has most of."""
    bare = _QUOTED.sub("", line)
    # Commas and semicolons are in text too; a tab hardly ever is.
    return "\t" if "\t" in bare else max(_DELIMITERS, key=bare.count)


def _no_header(name: str, cells: list[str], delimiter: str) -> str:
    longest = max(range(len(cells)), key=lambda place: len(cells[place]))
    names = [f"column_{place}" for place in range(1, len(cells) + 1)]
    names[longest] = "body"
    example = ("<TAB>" if delimiter == "\t" else delimiter).join(names)
    return (
        f"{name} has no header line (its first line holds an article); "
        f"put one with its {len(cells)} columns' names on top, such as {example}"
    )


class _Parser:
    """Yields the fields of each row, or the error of one whose quotes do not match."""

    def __init__(self, lines: _Lines, dialect: _Dialect, width: int) -> None:
        self._lines = lines
        self._dialect = dialect
        self._width = width
        self._reader = dialect.parse(lines)

    def __iter__(self) -> Iterator[list[str] | csv.Error]:
        while True:
            self._lines.begin_row()
            try:
                fields = next(self._reader)
            except StopIteration:
                return
            except csv.Error as error:
                yield self._recover(error)
                continue
            if len(fields) > self._width and not any(fields[self._width :]):
                # Delimiters at the end of each line are a habit of spreadsheets.
                fields = fields[: self._width]
            yield fields

    def _recover(self, error: csv.Error) -> list[str] | csv.Error:
        """Go on from the second line of a row with broken quotes, which may hold good rows."""
        loose = None
        if len(self._lines.row) == 1 or self._dialect.delimiter == "\t":
            loose = self._dialect.parse_loosely(self._lines.row[0], self._width)
        self._lines.give_back(1)
        self._reader = self._dialect.parse(self._lines)
        return error if loose is None else loose


def _rows(
    lines: _Lines, dialect: _Dialect, names: list[str], encoding: str
) -> Iterator[Row | Reject]:
    broken: _Broken | None = None
    for fields in _Parser(lines, dialect, len(names)):
        if not fields:
            continue
        if isinstance(fields, csv.Error):
            broken = broken or _Broken(lines.first, fields)
            broken.add(lines)
        elif broken and len(fields) != len(names):
            broken.add(lines)
        else:
            if broken:
                yield broken.reject()
                broken = None
            yield _row(lines, fields, names, encoding)
    if broken:
        yield broken.reject()


def _row(lines: _Lines, fields: list[str], names: list[str], encoding: str) -> Row | Reject:
    """Make a record of a row's fields, unless they are too many, too few, or not text."""
    if lines.too_long:
        reason = f"the line is longer than {MAX_LINE >> 20} Mi characters"
        return Reject(lines.first, reason, without_surrogates(lines.raw))
    if len(fields) != len(names):
        reason = f"{len(fields)} fields where the header has {len(names)}"
        return Reject(lines.first, reason, without_surrogates(lines.raw))
    joined = "".join(fields)
    if not joined.isascii():
        try:
            joined.encode()
        except UnicodeEncodeError:
            reason = f"bytes that are not {encoding.removesuffix('-sig').upper()}"
            return Reject(lines.first, reason, without_surrogates(lines.raw))
    return Row(lines.first, dict(zip(names, fields, strict=True)), len(joined))


class _Broken:
    """A row whose quotes do not match, and the lines after it that make no row of their own."""

    def __init__(self, first: int, error: csv.Error) -> None:
        self._first = self._last = first
        # "unexpected end of data" is the csv module's way to say it.
        self._error = "a quote is not closed" if "unexpected end" in str(error) else str(error)
        self._raw = ""

    def add(self, lines: _Lines) -> None:
        self._last = lines.last
        self._raw = (self._raw + lines.raw)[:EXCERPT_CHARS]

    def reject(self) -> Reject:
        where = f" (lines {self._first} to {self._last})" if self._last > self._first else ""
        return Reject(
            self._first, f"broken quotes{where}: {self._error}", without_surrogates(self._raw)
        )
