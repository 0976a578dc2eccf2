"""Lists of URLs and sitemaps: what they point at is fetched, and its articles are the rows."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterator
from contextlib import closing

from article_flows.tasks.common.errors import UserError
from article_flows.tasks.reading.base.rows import (
    BATCH_ROWS,
    EXCERPT_CHARS,
    RecordChunk,
    Reject,
    Source,
    in_chunks,
    opened,
)
from article_flows.tasks.reading.base.text_encoding import bom_encoding, bounded_lines
from article_flows.tasks.reading.formats.sniff import first_element
from article_flows.tasks.reading.web.fetch import Entry, fetch_articles
from article_flows.tasks.reading.web.sitemap import SitemapWalk

FETCHED_ROWS = 100
"""Rows in a chunk of what is fetched: they come slowly, and progress is told by chunks."""
MAX_LINE_CHARS = 8_192
"""A line that is longer is no URL: servers take 8 KiB at most."""
_URL_LINE = re.compile(r"https?://\S+$", re.IGNORECASE)
_HEAD, _BOM = 16 << 10, 4
_WEB = ("http://", "https://")
_MARKS = ("\t", ",", ";", "|")
_LINES = 50

FindUrl = Callable[[str], str | None]
"""Gives the URL of a line, the line itself if it has none; None for the line with the names."""


def read_urls(source: Source, batch_rows: int = BATCH_ROWS) -> Iterator[RecordChunk]:
    """Fetch the articles of a text file with a URL a line.

    Blank lines and those that start with ``#`` are no rows; any other line that is no URL is a
    reject. Of a table, told by `url_finder`, each line's first URL counts, and the
    line with the columns' names is no row. A row's number is its line's; rows come as they
    are fetched, not in order.
    """
    rows = fetch_articles(_lines(source), allow_hosts=source.allow_hosts)
    with closing(rows):
        yield from in_chunks(rows, min(batch_rows, FETCHED_ROWS))


def _lines(source: Source) -> Iterator[Entry]:
    with opened(source) as file:
        head = file.read(_HEAD)
        file.seek(0)
        encoding = source.encoding or bom_encoding(head[:_BOM]) or "utf-8-sig"
        start = head.decode(encoding, "replace")
        # The last line of a part may be cut.
        find = url_finder(start if len(head) < _HEAD else start.rpartition("\n")[0])
        text = io.TextIOWrapper(file, encoding=encoding, errors="replace")
        lines = bounded_lines(text.readline, ("\n",), MAX_LINE_CHARS)
        for number, (line, whole) in enumerate(lines, start=1):
            url = line.strip()
            if not whole:
                yield Reject(
                    number, f"longer than {MAX_LINE_CHARS:,} characters", url[:EXCERPT_CHARS]
                )
            elif url and not url.startswith("#") and (found := find(url)) is not None:
                yield number, found


def read_sitemap(source: Source, batch_rows: int = BATCH_ROWS) -> Iterator[RecordChunk]:
    """Fetch the articles of a sitemap, or of an index with the sitemaps that it names.

    A row's number is that of its entry over all sitemaps. A page that has no date of its own has
    that of the sitemap. Raises UserError if the sitemap itself cannot be read (further).
    """
    rows = fetch_articles(_entries(source), allow_hosts=source.allow_hosts)
    with closing(rows):
        yield from in_chunks(rows, min(batch_rows, FETCHED_ROWS))


def _entries(source: Source) -> Iterator[Entry]:
    with opened(source) as file:
        try:
            yield from SitemapWalk(source.allow_hosts).entries(file)
        except UserError as error:
            raise UserError(f"{source.name} {error}") from error


def is_surely_urls(head: bytes) -> bool:
    """Tell a list of URLs where any text might be: one URL alone is none."""
    return _url_lines(head) > 1


def looks_like_urls(head: bytes) -> bool:
    """Tell a list of URLs: of its first lines nearly all are one URL and nothing else."""
    return _url_lines(head) > 0


def _url_lines(head: bytes) -> int:
    """Count the URLs among the first lines; 0 where they are not nearly all that there is."""
    text = head.decode(bom_encoding(head) or "utf-8", errors="ignore").lstrip("\ufeff")
    lines = [line.strip() for line in text.splitlines()[:200]]
    lines = [line for line in lines if line and not line.startswith("#")]
    # One line less: a column of URLs may have its name above it.
    urls = sum(_URL_LINE.match(line) is not None and "," not in line for line in lines)
    few = urls < 0.9 * (len(lines) - 1) or (urls == 1 and len(lines) > 1)
    return 0 if few else urls


def looks_like_sitemap(head: bytes) -> bool:
    """Tell a sitemap or an index of them by its first element."""
    return first_element(head).rpartition(":")[2] in ("urlset", "sitemapindex")


def url_finder(head: str) -> FindUrl:
    """Tell by a list's first lines what finds the URL in each of them.

    Commas and semicolons are in URLs too: they part fields only where a line with the columns'
    names is above, or where what is behind the URL can be no part of one.
    """
    lines = [line.strip() for line in head.splitlines()]
    lines = [line for line in lines if line and not line.startswith("#")][:_LINES]
    for mark in _MARKS:
        if len(lines) > 1 and _are_names(lines[0], lines[1:], mark):
            names = lines[0]
            return lambda line: None if line == names else _url_of(line, mark)
        if lines and all(map(_is_table_line(mark), lines)):
            return lambda line: _url_of(line, mark)
    return str


def _are_names(first: str, others: list[str], mark: str) -> bool:
    """Tell the names above a table: as many as the lines below have fields, and no URL."""
    width = len(_fields(first, mark))
    return (
        width > 1
        and not any(field.lower().startswith(_WEB) for field in _fields(first, mark))
        and all(len(_fields(line, mark)) == width for line in others)
        and any(_url_of(line, mark) != line for line in others)
    )


def _is_table_line(mark: str) -> Callable[[str], bool]:
    def tell(line: str) -> bool:
        fields = _fields(line, mark)
        urls = [field for field in fields if field.lower().startswith(_WEB)]
        others = [field for field in fields if field not in urls]
        # A part of a URL has no space, no quotes around it, and is hardly ever letters alone.
        apart = mark == "\t" or any(" " in field or f'"{field}"' in line for field in others)
        words = bool(others) and all(field.replace(" ", "").isalpha() for field in others)
        return len(fields) > 1 and bool(urls) and (apart or words)

    return tell


def _fields(line: str, mark: str) -> list[str]:
    try:
        row = next(csv.reader([line], delimiter=mark, skipinitialspace=True), [])
    except csv.Error:
        return [line]
    return [field.strip() for field in row]


def _url_of(line: str, mark: str) -> str:
    urls = (field for field in _fields(line, mark) if field.lower().startswith(_WEB))
    return next(urls, line)
