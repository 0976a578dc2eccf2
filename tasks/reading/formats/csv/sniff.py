"""Infer the dialect and the header of a CSV file from its first rows."""

import csv
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from statistics import median

from article_flows.tasks.reading.base.rows import unique_names
from article_flows.tasks.reading.formats.csv.rows import Dialect, Lines, RowReader

SAMPLE_CHARS = 256 << 10
SAMPLE_ROWS = 50
MAX_NAME_CHARS = 100
"""A longer cell is an article, not a column name."""
_MIN_TEXT_CHARS = 40
"""A column whose shortest cell has this length is text."""
_MIN_ROWS_BELOW = 2
"""Rows below the first that are needed to compare it with."""

# A cell with one of these names makes the first row a header.
_KNOWN_NAMES = frozenset(
    "id url link title headline body text content article abstract summary author authors byline "
    "date published publishdate publishedat pubdate timestamp category section topic label tags "
    "language lang source name description keywords doi uuid guid index key value "
    "标题 正文 内容 摘要 作者 日期 时间 类别 分类 链接 来源 编号 "
    "titel titre titulo texte texto datum fecha autor auteur".split()
)
_CELL_PATTERNS = (
    re.compile(r"[-+]?[\d.,]*\d%?"),
    re.compile(r"\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}([T ].*)?"),
    re.compile(r"(https?://|www\.)\S+"),
    re.compile(r"[0-9a-fA-F]{8}-[0-9a-fA-F-]{27}|[0-9a-f]{32,64}"),
)

_COMMON_DELIMITERS = "\t;|,"
_RARE_DELIMITERS = "^~¦\x1f\x1e\x14\x01\x02\x03\x04\x05\x06\x07\x08"
# Common in names and prose, so accepted only if all rows agree.
_AMBIGUOUS_DELIMITERS = ": "
_MIN_AMBIGUOUS_ROWS = 5
_QUOTED = re.compile(r'"(?:[^"]|"")*"')
_SEP_LINE = re.compile(r"sep=(.)\s*", re.IGNORECASE)


@dataclass(frozen=True)
class CsvLayout:
    """How to read a CSV file.

    Attributes:
        dialect: The dialect of its rows.
        names: Unique column names; ``column_1`` and so on without a header; empty if the first
            row cannot be parsed.
        header: Whether the first row contains the names.
        skip: The number of lines above the header or the first row.
    """

    dialect: Dialect
    names: list[str]
    header: bool
    skip: int


def delimiter_of(line: str) -> str:
    """Return the delimiter of a header line: a tab if it has one, or else the most frequent."""
    bare = _QUOTED.sub("", line)
    # Text contains commas and semicolons, but hardly ever a tab.
    return "\t" if "\t" in bare else max(",;|", key=bare.count)


def layout_of(sample: str, whole: bool, more: bool = False) -> CsvLayout | None:
    """Infer the layout of a CSV file from its start.

    Args:
        sample: The start of the file's text.
        whole: Whether the sample is the whole file; otherwise its last row may be incomplete.
        more: Whether a larger sample is available; if this one has no complete row, the layout
            has no names.

    Returns:
        The layout, or None if the sample is blank.
    """
    lines = re.findall(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+", sample)
    skip = next((index for index, line in enumerate(lines) if line.strip("\r\n\ufeff ")), None)
    if skip is None:
        return None
    declared = _SEP_LINE.fullmatch(lines[skip])
    skip += declared is not None
    if not declared:
        skip += _comment_lines(lines[skip:], whole)
    lines = lines[skip:]
    if more and lines and not _Sample(lines, Dialect(delimiter_of(lines[0])), whole).rows:
        return CsvLayout(Dialect(","), [], header=True, skip=skip)
    dialect = Dialect(declared[1]) if declared else _infer_delimiter(lines, whole)
    dialect = _infer_quoting(dialect, lines, whole)
    rows = _Sample(lines, dialect, whole).rows
    if not rows:
        return CsvLayout(dialect, [], header=True, skip=skip)
    header = has_header(rows)
    if header:
        return CsvLayout(dialect, unique_names(rows[0]), header, skip)
    width = Counter(map(len, rows)).most_common(1)[0][0]
    return CsvLayout(dialect, unique_names([""] * width), header, skip)


class _Sample:
    """The first rows of a file, parsed in a dialect.

    Attributes:
        rows: The fields of the parsed rows; empty if the first row could not be parsed.
        fit: The share of the other rows that have as many fields as the first, from 0 to 1.
        errors: The number of rows that could not be parsed.
    """

    def __init__(self, lines: list[str], dialect: Dialect, whole: bool) -> None:
        self.rows: list[list[str]] = []
        self.errors = self._fitting = 0
        self._read(lines, dialect, whole)
        others = len(self.rows) + self.errors - 1
        self.fit = self._fitting / others if others > 0 else 0.0

    def _read(self, lines: list[str], dialect: Dialect, whole: bool) -> None:
        remaining = iter(lines)
        source = Lines(lambda _: next(remaining, ""))
        try:
            first = next((row for row in dialect.parse(source) if row), None)
        except csv.Error:
            return
        if first is None or (not whole and len(source.row) >= len(lines)):
            # A first row that reaches the end of the sample may be incomplete.
            return
        self.rows.append(first)
        for fields in RowReader(source, dialect, first, "", "").parsed():
            if not whole and source.first + len(source.row) > len(lines):
                return
            if isinstance(fields, csv.Error):
                if not whole and "unexpected end" in str(fields):
                    return
                self.errors += 1
            elif fields:
                self.rows.append(fields)
                self._fitting += len(fields) == len(first)
            if len(self.rows) + self.errors > SAMPLE_ROWS:
                return

    @property
    def width(self) -> int:
        return len(self.rows[0]) if self.rows else 0


def _infer_delimiter(lines: list[str], whole: bool) -> Dialect:
    """Return the dialect in which most rows have as many fields as the first."""
    text = "".join(lines[:SAMPLE_ROWS])
    by_header = delimiter_of(lines[0]) if lines else ","
    best, best_fit = None, -1.0
    candidates = [by_header, *_COMMON_DELIMITERS, *_RARE_DELIMITERS, *_AMBIGUOUS_DELIMITERS]
    for delimiter in dict.fromkeys(candidates):
        if delimiter not in text:
            continue
        sample = _Sample(lines, Dialect(delimiter), whole)
        is_ambiguous = delimiter in _AMBIGUOUS_DELIMITERS
        if is_ambiguous and (sample.fit < 1 or len(sample.rows) < _MIN_AMBIGUOUS_ROWS):
            continue
        # Rounded, so that a few broken rows do not outweigh the delimiter of the header.
        if sample.width > 1 and (fit := round(sample.fit, 1)) > best_fit:
            best, best_fit = Dialect(delimiter), fit
    return best or _single_column(lines, whole, Dialect(by_header))


def _single_column(lines: list[str], whole: bool, default: Dialect) -> Dialect:
    """Return a dialect that leaves the rows of a file of one column in one piece."""
    candidates = [default, *map(Dialect, _COMMON_DELIMITERS + _RARE_DELIMITERS)]
    return max(candidates, key=lambda each: _Sample(lines, each, whole).fit)


def _infer_quoting(dialect: Dialect, lines: list[str], whole: bool) -> Dialect:
    """Add spaces after delimiters, single quotes and escapes if the rows fit better with them."""
    delimiter = dialect.delimiter
    text = "".join(lines[:SAMPLE_ROWS])
    if lines and f'{delimiter} "' in lines[0]:
        dialect = replace(dialect, skip_space=True)
    if _has_single_quotes(text, delimiter):
        single = replace(dialect, quote="'")
        sample = _Sample(lines, single, whole)
        if not sample.errors and sample.fit >= _Sample(lines, dialect, whole).fit:
            dialect = single
    if re.search(rf"\\[{re.escape(dialect.quote + delimiter)}]", text):
        escaped = replace(dialect, escape=True)
        before, after = (_Sample(lines, each, whole) for each in (dialect, escaped))
        if (after.fit, -after.errors) > (before.fit, -before.errors):
            dialect = escaped
    return dialect


def _has_single_quotes(text: str, delimiter: str) -> bool:
    """Return whether fields are in single quotes: next to delimiters, and as many open as close."""
    edge = f"[{re.escape(delimiter)}\r\n]"
    if re.search(rf'(?:^|{edge})"|"(?:{edge}|$)', text):
        return False
    opening = len(re.findall(rf"(?:^|(?<={edge}))'", text))
    closing = len(re.findall(rf"'(?={edge}|$)", text))
    return opening >= 2 and opening == closing


def _comment_lines(lines: list[str], whole: bool) -> int:
    """Count the lines above the table that start with ``#`` and are not rows of it."""
    count = _leading_comments(lines)
    if not count or count == len(lines):
        return 0
    below = lines[count:]
    dialect = _infer_delimiter(below, whole)
    width = _Sample(below, dialect, whole).width
    last = next(iter(_Sample([lines[count - 1]], dialect, whole=True).rows), [])
    # `#id,title` is a header; in a file of one column, `#` may be text.
    if width < 2:
        return 0
    return count - 1 if len(last) == width else count


def _leading_comments(lines: list[str]) -> int:
    others: Iterator[int] = (
        index for index, line in enumerate(lines) if line.strip() and not line.startswith("#")
    )
    return next(others, len(lines))


def has_header(rows: list[list[str]]) -> bool:
    """Return whether the first row names the columns.

    It does unless it looks like the rows below: a cell with the constant value of its column, a
    number, date or URL like those below it, or a text as long as those below it.

    Example:
        >>> has_header([["no", "when"], ["1", "2024-05-01"], ["2", "2024-05-02"]])
        True
        >>> has_header([["0", "2024-04-30"], ["1", "2024-05-01"], ["2", "2024-05-02"]])
        False
    """
    first = [cell.strip() for cell in rows[0]]
    if any(len(cell) > MAX_NAME_CHARS for cell in first):
        return False
    known = sum(_normalized(cell) in _KNOWN_NAMES for cell in first)
    below = [row for row in rows[1:] if len(row) == len(first)]
    if known > 1 or len(below) < _MIN_ROWS_BELOW:
        return known > 0 or not any(_pattern_of(cell) in _CELL_PATTERNS[1:] for cell in first)
    columns = [[row[index].strip() for row in below] for index in range(len(first))]
    if any(_is_constant(cell, cells) for cell, cells in zip(first, columns, strict=True)):
        return False
    if known:
        return True
    votes = [_vote(cell, cells) for cell, cells in zip(first, columns, strict=True)]
    return max(votes) > 0 or min(votes) == 0


def _normalized(cell: str) -> str:
    return re.sub(r"[\W_]+", "", cell.casefold())


def _is_constant(cell: str, cells: list[str]) -> bool:
    return cell != "" and len(cells) > _MIN_ROWS_BELOW and set(cells) == {cell}


def _vote(cell: str, cells: list[str]) -> int:
    """Return 1 if a first cell differs from its column as a name does, -1 if it is alike, or 0."""
    filled = [each for each in cells if each]
    if not cell or len(filled) < _MIN_ROWS_BELOW:
        return 0
    patterns = {_pattern_of(each) for each in filled}
    if len(patterns) == 1 and (pattern := patterns.pop()) is not None:
        return -1 if _pattern_of(cell) is pattern else 1
    if min(map(len, filled)) >= _MIN_TEXT_CHARS:
        return -1 if len(cell) * 3 > median(map(len, filled)) else 1
    return 0


def _pattern_of(cell: str) -> re.Pattern[str] | None:
    return next((pattern for pattern in _CELL_PATTERNS if pattern.fullmatch(cell)), None)
