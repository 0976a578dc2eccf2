"""CSV row by row: what cannot be read is rejected alone, its neighbours are kept."""

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

MAX_FIELD = 8 << 20
"""The longest field taken, in characters: where a quote that is never closed stops swallowing."""
MAX_LINE = 16 << 20
"""The longest line of a CSV file, in characters: three times the longest of articles."""
MAX_LINES = 200_000
"""Lines of a row: as characters, a field's limit lets short lines take too much memory."""
_TOO_LONG = f"the line is longer than {MAX_LINE >> 20} MiB"
_OVER = "field larger than"
_MARK = "\ufeff"


@dataclass(frozen=True)
class Dialect:
    r"""The marks of a CSV file, one character each.

    Attributes:
        quote: around fields; doubled within one it stands for itself.
        skip_space: spaces after a delimiter are no part of the field.
        escape: a backslash stands before quotes, delimiters and backslashes that are text.
    """

    delimiter: str
    quote: str = '"'
    skip_space: bool = False
    escape: bool = False

    def parse(self, lines: Iterable[str]) -> Iterator[list[str]]:
        """Parse lines strictly: raises csv.Error where quotes do not match."""
        return self._reader(lines, strict=True)

    def parse_loosely(self, line: str, width: int) -> list[str] | None:
        """Parse one line whose quotes are not balanced, if it comes to `width` fields.

        Quotes in a TSV often are part of the text; elsewhere a stray one is left in its field.
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
        csv.field_size_limit(MAX_FIELD)
        return csv.reader(
            map(self._guarded, lines) if self.escape else lines,
            delimiter=self.delimiter,
            quotechar=self.quote,
            skipinitialspace=self.skip_space,
            escapechar="\\" if self.escape else None,
            strict=strict,
        )

    def _guarded(self, line: str) -> str:
        r"""Double the backslashes that escape no mark: csv would drop that of `C:\new`."""
        if "\\" not in line:
            return line
        marks = (self.delimiter, self.quote, "\\", "\n", "\r")
        return re.sub(
            r"\\(.)",
            lambda pair: pair[0] if pair[1] in marks else "\\" + pair[0],
            line,
            flags=re.DOTALL,
        )


def text_of(file: BinaryIO, encoding: str) -> io.TextIOWrapper:
    """Return a file's text from its start, with its line ends as they are.

    Bytes that are wrong in the encoding become lone surrogates, so that they spoil their row and
    nothing else; in UTF-16, UTF-32 and ISO 2022 they become U+FFFD, as surrogates cannot stand
    for what their decoders refuse.
    """
    file.seek(0)
    codec = codecs.lookup(encoding).name
    errors = "replace" if codec.startswith(("utf-16", "utf-32", "iso2022")) else "surrogateescape"
    return io.TextIOWrapper(file, "utf-8" if codec == "ascii" else encoding, errors, newline="")


class Lines:
    """The lines of a text for csv.reader; those of the row at hand can be given back.

    Attributes:
        first: the 1-based number of the row's first line.
        row: the row's lines so far.
    """

    def __init__(self, readline: Callable[[int], str]) -> None:
        self._lines = bounded_lines(readline, ("\n", "\r"), MAX_LINE)
        self.first = 1
        self.row: list[str] = []
        first = self._next()
        self._back = deque([first if _is_cut(first) else first.removeprefix(_MARK)])

    def __iter__(self) -> Iterator[str]:
        row, back = self.row, self._back
        while line := back.popleft() if back else self._next():
            row.append(line)
            if _is_cut(line):
                raise csv.Error(_TOO_LONG)
            if len(row) > MAX_LINES:
                raise csv.Error(f"{_OVER} {MAX_LINES:,} lines")
            yield line

    def _next(self) -> str:
        return next(self._lines, ("", True))[0]

    @property
    def last(self) -> int:
        """The number of the row's last line so far."""
        return self.first + len(self.row) - 1

    @property
    def raw(self) -> str:
        """The start of the row's text."""
        start = "".join(line[:EXCERPT_CHARS] for line in self.row[:EXCERPT_CHARS])[:EXCERPT_CHARS]
        return without_surrogates(start)

    @property
    def is_cut(self) -> bool:
        """Whether the row is a line that was too long to be kept."""
        return bool(self.row) and _is_cut(self.row[0])

    def begin_row(self) -> None:
        """Go on to the next row."""
        self.first += len(self.row)
        self.row.clear()

    def give_back(self) -> None:
        """Put all lines of this row but the first back to be read again."""
        self._back.extendleft(reversed(self.row[1:]))
        del self.row[1:]


def _is_cut(line: str) -> bool:
    return len(line) > MAX_LINE


class RowReader:
    """Reads rows one by one.

    `names` are the columns' names, `encoding` what to call the file's in a reject, `others` what
    sets the number of fields: ``the header has``.
    """

    def __init__(
        self, lines: Lines, dialect: Dialect, names: list[str], encoding: str, others: str
    ) -> None:
        self.lines = lines
        self._dialect = dialect
        self._names = names
        self._encoding = encoding.upper().removesuffix("-SIG")
        self._others = others
        self._reader = dialect.parse(lines)

    def rows(self) -> Iterator[Row | Reject]:
        """Yield all rows that are not blank."""
        lines, width = self.lines, len(self._names)
        broken: _Broken | None = None
        for fields in self.parsed():
            if isinstance(fields, csv.Error) and not lines.is_cut:
                if broken and self._begins_anew():
                    yield broken.reject()
                    broken = None
                broken = broken or _Broken(lines, fields)
                broken.add(lines)
            elif broken and broken.goes_on(fields, lines, width):
                broken.add(lines)
            elif fields:
                if broken:
                    yield broken.reject()
                    broken = None
                yield self._row(fields)
        if broken:
            yield broken.reject()

    def parsed(self) -> Iterator[list[str] | csv.Error]:
        """Yield the fields of each row (none of a blank line), or what is wrong with its quotes."""
        while True:
            self.lines.begin_row()
            fields = self._next()
            if fields is None:
                return
            yield fields

    def _next(self) -> list[str] | csv.Error | None:
        """The fields of the next row (none of a blank line), or what is wrong; None at the end."""
        try:
            fields = next(self._reader)
        except StopIteration:
            return None
        except csv.Error as error:
            return self._recover(error)
        width = len(self._names)
        if len(fields) > width and not any(fields[width:]):
            # Delimiters at the end of each line are a habit of spreadsheets.
            return fields[:width]
        return fields

    def _recover(self, error: csv.Error) -> list[str] | csv.Error:
        """Go on from the second line of a row with broken quotes, which may hold good rows."""
        loose, lines = None, self.lines
        if not lines.is_cut and (len(lines.row) == 1 or self._dialect.delimiter == "\t"):
            loose = self._dialect.parse_loosely(lines.row[0], len(self._names))
        lines.give_back()
        self._reader = self._dialect.parse(lines)
        return error if loose is None else loose

    def _begins_anew(self) -> bool:
        """Tell whether a line with broken quotes is a row of its own: it has as many fields."""
        line, quote = self.lines.row[0].rstrip("\r\n"), self._dialect.quote
        line += quote * (line.count(quote) % 2)
        return self._dialect.parse_loosely(line, len(self._names)) is not None

    def _row(self, fields: list[str] | csv.Error) -> Row | Reject:
        """Make a record of a row's fields, unless they are too many, too few, or not text."""
        number = self.lines.first
        if isinstance(fields, csv.Error):
            return Reject(number, str(fields), self.lines.raw)
        if len(fields) != len(self._names):
            count = f"{len(fields)} field{'' if len(fields) == 1 else 's'}"
            reason = f"{count} where {self._others} {len(self._names)}"
            return Reject(number, reason, self.lines.raw)
        joined = "".join(fields)
        if not joined.isascii():
            try:
                joined.encode()
            except UnicodeEncodeError:
                return Reject(number, f"bytes that are not {self._encoding}", self.lines.raw)
        return Row(number, dict(zip(self._names, fields, strict=True)), len(joined))


class _Broken:
    """A row whose quotes do not match, and the lines after it that make no row of their own."""

    def __init__(self, lines: Lines, error: csv.Error) -> None:
        self._first = self._last = lines.first
        self._over = str(error).startswith(_OVER)
        if self._over:
            # Either it is one huge field, or the quote at its start is never closed.
            self._why = f"a quoted field is longer than {MAX_FIELD >> 20} Mi characters"
            if "lines" in str(error):
                self._why = f"a quoted field is longer than {MAX_LINES:,} lines"
        elif "unexpected end" in str(error):
            self._why = "a quote is not closed"
        else:
            self._why = str(error)
        self._raw = ""

    def goes_on(self, fields: list[str] | csv.Error, lines: Lines, width: int) -> bool:
        """Tell whether a row, which can be parsed by itself, is but a rest of the broken one."""
        if isinstance(fields, csv.Error) or len(fields) != width:
            return True
        # The line that ends a huge field may have as many fields as a row: `the end",a,b`.
        return (
            self._over
            and any(field.endswith('"') and field.count('"') % 2 for field in fields)
            and sum(line.count('"') for line in lines.row) % 2 == 1
        )

    def add(self, lines: Lines) -> None:
        self._last = lines.last
        if len(self._raw) < EXCERPT_CHARS:
            self._raw = (self._raw + lines.raw)[:EXCERPT_CHARS]

    def reject(self) -> Reject:
        where = f" (lines {self._first} to {self._last})" if self._last > self._first else ""
        return Reject(self._first, f"broken quotes{where}: {self._why}", self._raw)
