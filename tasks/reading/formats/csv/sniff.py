"""What the first rows of a CSV file tell of it: its dialect, and what stands above the rows."""

import csv
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from statistics import median

from article_flows.tasks.reading.base.rows import unique_names
from article_flows.tasks.reading.formats.csv.rows import Dialect, Lines, RowReader

SAMPLE = 256 << 10
"""Characters at the start of a file that are looked at, at most."""
ROWS = 50
"""Rows that are looked at, at most."""

LONGEST_NAME = 100
"""A longer "column name" is an article: the file has no header line."""
_LONG = 40
"""Characters (the least of a column) from which a column is taken for text."""
_ENOUGH = 2
"""Rows below the first one that a guess needs."""

# One whole cell of these is a header, whatever else is in the file.
_NAMES = frozenset(
    "id url link title headline body text content article abstract summary author authors byline "
    "date published publishdate publishedat pubdate timestamp category section topic label tags "
    "language lang source name description keywords doi uuid guid index key value "
    "标题 正文 内容 摘要 作者 日期 时间 类别 分类 链接 来源 编号 "
    "titel titre titulo texte texto datum fecha autor auteur".split()
)
_KINDS = (
    re.compile(r"[-+]?[\d.,]*\d%?"),
    re.compile(r"\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}([T ].*)?"),
    re.compile(r"(https?://|www\.)\S+"),
    re.compile(r"[0-9a-fA-F]{8}-[0-9a-fA-F-]{27}|[0-9a-f]{32,64}"),
)

_USUAL = "\t;|,"
_RARE = "^~¦\x1f\x1e\x14\x01\x02\x03\x04\x05\x06\x07\x08"
# These are in names and text: only a table without any exception is taken for one.
_RISKY = ": "
_RISKY_ROWS = 4
_QUOTED = re.compile(r'"(?:[^"]|"")*"')
_SEP_LINE = re.compile(r"sep=(.)\s*", re.IGNORECASE)


@dataclass(frozen=True)
class CsvLayout:
    """How a file is to be read.

    Attributes:
        dialect: of its rows.
        names: of its columns, unique; ``column_1`` and so on if it has no header, none at all
            if the first row cannot be parsed.
        header: the first row has the names; else it is a row like the others.
        skip: lines above the header, or above the first row.
    """

    dialect: Dialect
    names: list[str]
    header: bool
    skip: int


def delimiter_of(line: str) -> str:
    """Return a header line's delimiter: a tab if there is one, else what it has most of."""
    bare = _QUOTED.sub("", line)
    # Commas and semicolons are in text too; a tab hardly ever is.
    return "\t" if "\t" in bare else max(",;|", key=bare.count)


def layout_of(sample: str, whole: bool, more: bool = False) -> CsvLayout | None:
    """Tell how a file is written by its start; None if there is nothing in it.

    `whole`: the sample is all of the file; else its last row may be cut. `more`: a larger sample
    can be had, and is asked for by `names` being empty where this one has no complete row.
    """
    lines = re.findall(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+", sample)
    skip = next((place for place, line in enumerate(lines) if line.strip("\r\n\ufeff ")), None)
    if skip is None:
        return None
    said = _SEP_LINE.fullmatch(lines[skip])
    skip += said is not None
    if not said:
        skip += _comments(lines[skip:], whole)
    lines = lines[skip:]
    if more and lines and not _Sample(lines, Dialect(delimiter_of(lines[0])), whole).rows:
        return CsvLayout(Dialect(","), [], header=True, skip=skip)
    dialect = Dialect(said[1]) if said else _delimited(lines, whole)
    dialect = _refined(dialect, lines, whole)
    rows = _Sample(lines, dialect, whole).rows
    if not rows:
        return CsvLayout(dialect, [], header=True, skip=skip)
    header = has_header(rows)
    if header:
        return CsvLayout(dialect, unique_names(rows[0]), header, skip)
    width = Counter(map(len, rows)).most_common(1)[0][0]
    return CsvLayout(dialect, unique_names([""] * width), header, skip)


class _Sample:
    """The first rows as a dialect parses them.

    Attributes:
        rows: the fields of those that could be parsed; the first one is the first of the file,
            and not there if it could not be parsed.
        fit: which part of all rows but the first has as many fields as the first, from 0 to 1.
        errors: rows that could not be parsed.
    """

    def __init__(self, lines: list[str], dialect: Dialect, whole: bool) -> None:
        self.rows: list[list[str]] = []
        self.errors = self._fitting = 0
        self._read(lines, dialect, whole)
        others = len(self.rows) + self.errors - 1
        self.fit = self._fitting / others if others > 0 else 0.0

    def _read(self, lines: list[str], dialect: Dialect, whole: bool) -> None:
        given = iter(lines)
        source = Lines(lambda _: next(given, ""))
        try:
            first = next((row for row in dialect.parse(source) if row), None)
        except csv.Error:
            return
        if first is None or (not whole and len(source.row) >= len(lines)):
            # A first row that goes to the end of the sample may be cut there.
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
            if len(self.rows) + self.errors > ROWS:
                return

    @property
    def width(self) -> int:
        return len(self.rows[0]) if self.rows else 0


def _delimited(lines: list[str], whole: bool) -> Dialect:
    """Choose the delimiter with which most rows have as many fields as the first one."""
    text = "".join(lines[:ROWS])
    by_header = delimiter_of(lines[0]) if lines else ","
    best, best_fit = None, -1.0
    for mark in dict.fromkeys([by_header, *_USUAL, *_RARE, *_RISKY]):
        if mark not in text:
            continue
        sample = _Sample(lines, Dialect(mark), whole)
        if mark in _RISKY and (sample.fit < 1 or len(sample.rows) <= _RISKY_ROWS):
            continue
        # Rounded, as a broken row or two shall not speak against what the header has most of.
        if sample.width > 1 and (fit := round(sample.fit, 1)) > best_fit:
            best, best_fit = Dialect(mark), fit
    return best or _single_column(lines, whole, Dialect(by_header))


def _single_column(lines: list[str], whole: bool, usual: Dialect) -> Dialect:
    """A file of one column: of the marks in its text, take one that cuts no row."""
    candidates = [usual, *map(Dialect, _USUAL + _RARE)]
    return max(candidates, key=lambda each: _Sample(lines, each, whole).fit)


def _refined(dialect: Dialect, lines: list[str], whole: bool) -> Dialect:
    """Find spaces after delimiters, single quotes and escapes, where they make more sense."""
    mark = dialect.delimiter
    text = "".join(lines[:ROWS])
    if lines and f'{mark} "' in lines[0]:
        dialect = replace(dialect, skip_space=True)
    if _has_single_quotes(text, mark):
        single = replace(dialect, quote="'")
        tried = _Sample(lines, single, whole)
        if not tried.errors and tried.fit >= _Sample(lines, dialect, whole).fit:
            dialect = single
    if re.search(rf"\\[{re.escape(dialect.quote + mark)}]", text):
        escaped = replace(dialect, escape=True)
        before, after = (_Sample(lines, each, whole) for each in (dialect, escaped))
        if (after.fit, -after.errors) > (before.fit, -before.errors):
            dialect = escaped
    return dialect


def _has_single_quotes(text: str, mark: str) -> bool:
    """Tell whether fields are in single quotes, as an apostrophe hardly ever stands."""
    edge = f"[{re.escape(mark)}\r\n]"
    if re.search(rf'(?:^|{edge})"|"(?:{edge}|$)', text):
        return False
    opening = len(re.findall(rf"(?:^|(?<={edge}))'", text))
    closing = len(re.findall(rf"'(?={edge}|$)", text))
    return opening >= 2 and opening == closing


def _comments(lines: list[str], whole: bool) -> int:
    """Count the lines above the table that start with ``#`` and are no row of it."""
    count = _leading_comments(lines)
    if not count or count == len(lines):
        return 0
    below = lines[count:]
    dialect = _delimited(below, whole)
    width = _Sample(below, dialect, whole).width
    last = next(iter(_Sample([lines[count - 1]], dialect, whole=True).rows), [])
    # `#id,title` is a header; in a file of one column, `#` may be text.
    if width < 2:
        return 0
    return count - 1 if len(last) == width else count


def _leading_comments(lines: list[str]) -> int:
    marked: Iterator[int] = (
        place for place, line in enumerate(lines) if line.strip() and not line.startswith("#")
    )
    return next(marked, len(lines))


def has_header(rows: list[list[str]]) -> bool:
    """Tell whether the first of some rows names the columns.

    It does unless it looks like the rows below it: a cell that all of them have too, a number, a
    date or an address where they have one, a text as long as theirs.
    """
    first = [cell.strip() for cell in rows[0]]
    if any(len(cell) > LONGEST_NAME for cell in first):
        return False
    named = sum(_plain(cell) in _NAMES for cell in first)
    below = [row for row in rows[1:] if len(row) == len(first)]
    if named > 1 or len(below) < _ENOUGH:
        return named > 0 or not any(_kind(cell) in _KINDS[1:] for cell in first)
    columns = [[row[place].strip() for row in below] for place in range(len(first))]
    if any(_is_repeated(cell, cells) for cell, cells in zip(first, columns, strict=True)):
        return False
    if named:
        return True
    votes = [_vote(cell, cells) for cell, cells in zip(first, columns, strict=True)]
    return max(votes) > 0 or min(votes) == 0


def _plain(cell: str) -> str:
    return re.sub(r"[\W_]+", "", cell.casefold())


def _is_repeated(cell: str, cells: list[str]) -> bool:
    """Tell a constant column, which a header would not name by its value."""
    return cell != "" and len(cells) > _ENOUGH and set(cells) == {cell}


def _vote(cell: str, cells: list[str]) -> int:
    """1 if a first cell differs from its column as a name does, -1 if it is alike, else 0."""
    filled = [each for each in cells if each]
    if not cell or len(filled) < _ENOUGH:
        return 0
    kinds = {_kind(each) for each in filled}
    if len(kinds) == 1 and (kind := kinds.pop()) is not None:
        return -1 if _kind(cell) is kind else 1
    if min(map(len, filled)) >= _LONG:
        return -1 if len(cell) * 3 > median(map(len, filled)) else 1
    return 0


def _kind(cell: str) -> re.Pattern[str] | None:
    return next((kind for kind in _KINDS if kind.fullmatch(cell)), None)
