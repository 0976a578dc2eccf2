"""Parse CSV row by row in a given dialect; the sniffer and the reader share it."""

import codecs
import csv
import io
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

from article_flows.tasks.reading.base.rows import EXCERPT_CHARS, Reject, Row
from article_flows.tasks.reading.base.text_encoding import bounded_lines, without_surrogates

MAX_FIELD_CHARS = 8 << 20
"""Limit for a field, and so for the text that an unclosed quote can swallow."""
MAX_LINE_CHARS = 16 << 20
"""Limit for a line: three times the longest known article."""
MAX_ROW_LINES = 200_000
"""Limit for the lines of a row: many short lines take more memory than their characters."""
_LINE_TOO_LONG = f"the line is longer than {MAX_LINE_CHARS >> 20} MiB"
_FIELD_TOO_LONG = "field larger than"
"""How the message of csv.Error begins for a field over the limit."""
_BYTE_ORDER_MARK = "\ufeff"


@dataclass(frozen=True)
class Dialect:
    """The syntax of a CSV file; delimiter and quote are one character each.

    Attributes:
        quote: Encloses fields; a doubled quote within a field stands for one.
        skip_space: Whether to ignore spaces after a delimiter.
        escape: Whether a backslash escapes quotes, delimiters and backslashes.
    """

    delimiter: str
    quote: str = '"'
    skip_space: bool = False
    escape: bool = False

    def parse(self, lines: Iterable[str]) -> Iterator[list[str]]:
        """Parse lines strictly; raise csv.Error for unbalanced quotes."""
        return self._reader(lines, strict=True)

    def parse_loosely(self, line: str, width: int) -> list[str] | None:
        """Parse a line with unbalanced quotes; return None unless it has `width` fields.

        Quotes in TSV are often part of the text; in other formats, a stray quote stays in its
        field.
        """
        if self.delimiter == "\t":
            fields = line.rstrip("\r\n").split("\t")
            return fields if len(fields) == width else None
        if line.count(self.quote) % 2:
            return None
        try:
            fields = next(self._reader([line], strict=False))
        except csv.Error:
            return None
        return fields if len(fields) == width else None

    def _reader(self, lines: Iterable[str], strict: bool) -> Iterator[list[str]]:
        csv.field_size_limit(MAX_FIELD_CHARS)
        return csv.reader(
            map(self._escape_backslashes, lines) if self.escape else lines,
            delimiter=self.delimiter,
            quotechar=self.quote,
            skipinitialspace=self.skip_space,
            escapechar="\\" if self.escape else None,
            strict=strict,
        )

    def _escape_backslashes(self, line: str) -> str:
        r"""Double backslashes that escape nothing, which csv would drop, as in `C:\new`."""
        if "\\" not in line:
            return line
        escaped = (self.delimiter, self.quote, "\\", "\n", "\r")
        return re.sub(
            r"\\(.)",
            lambda pair: pair[0] if pair[1] in escaped else "\\" + pair[0],
            line,
            flags=re.DOTALL,
        )


def text_of(file: BinaryIO, encoding: str) -> io.TextIOWrapper:
    """Return a file's text from its start, with its line ends unchanged.

    Invalid bytes become lone surrogates, so that they reject only their own row. In UTF-16,
    UTF-32 and ISO 2022 they become U+FFFD, because these decoders do not support surrogates.
    """
    file.seek(0)
    codec = codecs.lookup(encoding).name
    errors = "replace" if codec.startswith(("utf-16", "utf-32", "iso2022")) else "surrogateescape"
    return io.TextIOWrapper(file, "utf-8" if codec == "ascii" else encoding, errors, newline="")


class Lines:
    """Line iterator for csv.reader that keeps the lines of the current row and can rewind it.

    Attributes:
        first: The 1-based number of the row's first line.
        row: The lines of the row so far.
    """

    def __init__(self, readline: Callable[[int], str]) -> None:
        self._lines = bounded_lines(readline, ("\n", "\r"), MAX_LINE_CHARS)
        self.first = 1
        self.row: list[str] = []
        first = self._next()
        self._pending = deque(
            [first if _is_truncated(first) else first.removeprefix(_BYTE_ORDER_MARK)]
        )

    def __iter__(self) -> Iterator[str]:
        row, pending = self.row, self._pending
        while line := pending.popleft() if pending else self._next():
            row.append(line)
            if _is_truncated(line):
                raise csv.Error(_LINE_TOO_LONG)
            if len(row) > MAX_ROW_LINES:
                raise csv.Error(f"{_FIELD_TOO_LONG} {MAX_ROW_LINES:,} lines")
            yield line

    def _next(self) -> str:
        return next(self._lines, ("", True))[0]

    @property
    def last(self) -> int:
        """The number of the row's last line so far."""
        return self.first + len(self.row) - 1

    @property
    def raw(self) -> str:
        """The start of the row's text, for a reject."""
        start = "".join(line[:EXCERPT_CHARS] for line in self.row[:EXCERPT_CHARS])[:EXCERPT_CHARS]
        return without_surrogates(start)

    @property
    def is_truncated(self) -> bool:
        """Whether the row is a line over MAX_LINE_CHARS."""
        return bool(self.row) and _is_truncated(self.row[0])

    def begin_row(self) -> None:
        """Start the next row."""
        self.first += len(self.row)
        self.row.clear()

    def unread_rest(self) -> None:
        """Return all lines of the row but the first to the iterator."""
        self._pending.extendleft(reversed(self.row[1:]))
        del self.row[1:]


def _is_truncated(line: str) -> bool:
    return len(line) > MAX_LINE_CHARS


class RowReader:
    """Parser of one file's rows, which recovers after each broken row.

    Args:
        lines: The lines, from the first row on.
        dialect: How to parse them.
        names: The names of the columns.
        encoding: The file's encoding, for reject reasons.
        expected: What sets the number of fields, for reject reasons: ``the header has``.
    """

    def __init__(
        self, lines: Lines, dialect: Dialect, names: list[str], encoding: str, expected: str
    ) -> None:
        self.lines = lines
        self._dialect = dialect
        self._names = names
        self._encoding = encoding.upper().removesuffix("-SIG")
        self._expected = expected
        self._reader = dialect.parse(lines)

    def rows(self) -> Iterator[Row | Reject]:
        """Yield all rows that are not blank."""
        lines, width = self.lines, len(self._names)
        broken: _BrokenRow | None = None
        for fields in self.parsed():
            if isinstance(fields, csv.Error) and not lines.is_truncated:
                if broken and self._starts_row():
                    yield broken.reject()
                    broken = None
                broken = broken or _BrokenRow(lines, fields)
                broken.add(lines)
            elif broken and broken.includes(fields, lines, width):
                broken.add(lines)
            elif fields:
                if broken:
                    yield broken.reject()
                    broken = None
                yield self._row(fields)
        if broken:
            yield broken.reject()

    def parsed(self) -> Iterator[list[str] | csv.Error]:
        """Yield the fields of each row (none for a blank line), or the error of a broken row."""
        while True:
            self.lines.begin_row()
            fields = self._next()
            if fields is None:
                return
            yield fields

    def _next(self) -> list[str] | csv.Error | None:
        try:
            fields = next(self._reader)
        except StopIteration:
            return None
        except csv.Error as error:
            return self._recover(error)
        width = len(self._names)
        if len(fields) > width and not any(fields[width:]):
            # Spreadsheets often end each line with empty fields.
            return fields[:width]
        return fields

    def _recover(self, error: csv.Error) -> list[str] | csv.Error:
        """Resume at the second line of a row with broken quotes, which may contain good rows."""
        loose, lines = None, self.lines
        if not lines.is_truncated and (len(lines.row) == 1 or self._dialect.delimiter == "\t"):
            loose = self._dialect.parse_loosely(lines.row[0], len(self._names))
        lines.unread_rest()
        self._reader = self._dialect.parse(lines)
        return error if loose is None else loose

    def _starts_row(self) -> bool:
        """Return whether a line with broken quotes has the fields of a complete row."""
        line, quote = self.lines.row[0].rstrip("\r\n"), self._dialect.quote
        line += quote * (line.count(quote) % 2)
        return self._dialect.parse_loosely(line, len(self._names)) is not None

    def _row(self, fields: list[str] | csv.Error) -> Row | Reject:
        number = self.lines.first
        if isinstance(fields, csv.Error):
            return Reject(number, str(fields), self.lines.raw)
        if len(fields) != len(self._names):
            count = f"{len(fields)} field{'' if len(fields) == 1 else 's'}"
            reason = f"{count} where {self._expected} {len(self._names)}"
            return Reject(number, reason, self.lines.raw)
        joined = "".join(fields)
        if not joined.isascii():
            try:
                joined.encode()
            except UnicodeEncodeError:
                return Reject(number, f"bytes that are not {self._encoding}", self.lines.raw)
        return Row(number, dict(zip(self._names, fields, strict=True)), len(joined))


class _BrokenRow:
    """A row with unbalanced quotes, including the following lines that are not rows themselves."""

    def __init__(self, lines: Lines, error: csv.Error) -> None:
        self._first = self._last = lines.first
        self._too_long = str(error).startswith(_FIELD_TOO_LONG)
        if self._too_long:
            # Either the field is huge, or its opening quote is never closed.
            self._reason = f"a quoted field is longer than {MAX_FIELD_CHARS >> 20} Mi characters"
            if "lines" in str(error):
                self._reason = f"a quoted field is longer than {MAX_ROW_LINES:,} lines"
        elif "unexpected end" in str(error):
            self._reason = "a quote is not closed"
        else:
            self._reason = str(error)
        self._raw = ""

    def includes(self, fields: list[str] | csv.Error, lines: Lines, width: int) -> bool:
        """Return whether the following row, although it can be parsed, is part of this one."""
        if isinstance(fields, csv.Error) or len(fields) != width:
            return True
        # The last line of a huge field may have the fields of a row: `the end",a,b`.
        return (
            self._too_long
            and any(field.endswith('"') and field.count('"') % 2 for field in fields)
            and sum(line.count('"') for line in lines.row) % 2 == 1
        )

    def add(self, lines: Lines) -> None:
        self._last = lines.last
        if len(self._raw) < EXCERPT_CHARS:
            self._raw = (self._raw + lines.raw)[:EXCERPT_CHARS]

    def reject(self) -> Reject:
        where = f" (lines {self._first} to {self._last})" if self._last > self._first else ""
        return Reject(self._first, f"broken quotes{where}: {self._reason}", self._raw)
