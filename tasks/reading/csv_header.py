"""Whether the first row of a table has the columns' names, or is a row like the others."""

import re
from statistics import median

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
