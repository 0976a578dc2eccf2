"""How a CSV file is written: its delimiter, quotes and escapes, and how a row of it is parsed."""

import csv
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

MAX_FIELD = 8 << 20
"""The longest field taken, in characters: where a quote that is never closed stops swallowing."""


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
