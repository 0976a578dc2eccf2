"""Read lists of URLs and sitemaps: each linked page is fetched, and its article is a row."""

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
    open_source,
)
from article_flows.tasks.reading.base.text_encoding import bom_encoding, bounded_lines
from article_flows.tasks.reading.formats.sniff import first_element
from article_flows.tasks.reading.web.fetch import UrlEntry, fetch_articles
from article_flows.tasks.reading.web.sitemap import SitemapWalk

FETCH_BATCH_ROWS = 100
"""Small chunks, because pages arrive slowly and progress is reported per chunk."""
MAX_LINE_CHARS = 8_192
"""Servers commonly accept URLs of up to 8 KiB."""
_URL_LINE = re.compile(r"https?://\S+$", re.IGNORECASE)
_HEAD, _BOM = 16 << 10, 4
_SCHEMES = ("http://", "https://")
_DELIMITERS = ("\t", ",", ";", "|")
_SAMPLE_LINES = 50

FindUrl = Callable[[str], str | None]
"""Returns the URL in a line, the line itself if it has none, or None for the header line."""


def read_urls(source: Source, batch_rows: int = BATCH_ROWS) -> Iterator[RecordChunk]:
    """Fetch the articles of a text file with one URL per line.

    Blank lines and lines that start with ``#`` are skipped; other lines without a URL are
    rejected. In a table (see `url_finder`), the first URL of each line counts, and the header is
    skipped. Rows are numbered by line and yielded in the order in which the pages arrive.
    """
    rows = fetch_articles(_lines(source), allow_hosts=source.allow_hosts)
    with closing(rows):
        yield from in_chunks(rows, min(batch_rows, FETCH_BATCH_ROWS))


def _lines(source: Source) -> Iterator[UrlEntry]:
    with open_source(source) as file:
        head = file.read(_HEAD)
        file.seek(0)
        encoding = source.encoding or bom_encoding(head[:_BOM]) or "utf-8-sig"
        start = head.decode(encoding, "replace")
        # The head may end within its last line.
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
    """Fetch the articles of a sitemap, or of all sitemaps of a sitemap index.

    Rows are numbered by entry across all sitemaps. A page without a date gets the sitemap's.

    Raises:
        UserError: The sitemap is damaged; the entries before the damage have been yielded.
    """
    rows = fetch_articles(_entries(source), allow_hosts=source.allow_hosts)
    with closing(rows):
        yield from in_chunks(rows, min(batch_rows, FETCH_BATCH_ROWS))


def _entries(source: Source) -> Iterator[UrlEntry]:
    with open_source(source) as file:
        try:
            yield from SitemapWalk(source.allow_hosts).entries(file)
        except UserError as error:
            raise UserError(f"{source.name} {error}") from error


def is_clearly_urls(head: bytes) -> bool:
    """Return whether `head` of a file named as text is a list of at least two URLs."""
    return _url_lines(head) > 1


def looks_like_urls(head: bytes) -> bool:
    """Return whether nearly all of the first lines consist of a single URL."""
    return _url_lines(head) > 0


def _url_lines(head: bytes) -> int:
    """Count the URLs among the first lines; return 0 unless nearly all lines are URLs."""
    text = head.decode(bom_encoding(head) or "utf-8", errors="ignore").lstrip("\ufeff")
    lines = [line.strip() for line in text.splitlines()[:200]]
    lines = [line for line in lines if line and not line.startswith("#")]
    # The first line may be a header.
    urls = sum(_URL_LINE.match(line) is not None and "," not in line for line in lines)
    few = urls < 0.9 * (len(lines) - 1) or (urls == 1 and len(lines) > 1)
    return 0 if few else urls


def looks_like_sitemap(head: bytes) -> bool:
    """Return whether `head` starts a sitemap or a sitemap index."""
    return first_element(head).rpartition(":")[2] in ("urlset", "sitemapindex")


def url_finder(head: str) -> FindUrl:
    """Return the function that finds the URL in each line of a list, given its first lines.

    URLs may contain commas and semicolons, so these count as delimiters only below a header, or
    if the other fields cannot be part of a URL.

    Example:
        >>> find = url_finder("title,url\\nNews,https://example.org/a\\n")
        >>> find("title,url"), find("News,https://example.org/b")
        (None, 'https://example.org/b')
    """
    lines = [line.strip() for line in head.splitlines()]
    lines = [line for line in lines if line and not line.startswith("#")][:_SAMPLE_LINES]
    for delimiter in _DELIMITERS:
        if len(lines) > 1 and _is_header(lines[0], lines[1:], delimiter):
            header = lines[0]
            return lambda line: None if line == header else _url_of(line, delimiter)
        if lines and all(_is_table_line(line, delimiter) for line in lines):
            return lambda line: _url_of(line, delimiter)
    return str


def _is_header(first: str, others: list[str], delimiter: str) -> bool:
    width = len(_fields(first, delimiter))
    return (
        width > 1
        and not any(field.lower().startswith(_SCHEMES) for field in _fields(first, delimiter))
        and all(len(_fields(line, delimiter)) == width for line in others)
        and any(_url_of(line, delimiter) != line for line in others)
    )


def _is_table_line(line: str, delimiter: str) -> bool:
    fields = _fields(line, delimiter)
    urls = [field for field in fields if field.lower().startswith(_SCHEMES)]
    others = [field for field in fields if field not in urls]
    # A fragment of a URL has no spaces or quotes, and rarely consists of letters alone.
    separate = delimiter == "\t" or any(" " in field or f'"{field}"' in line for field in others)
    words = bool(others) and all(field.replace(" ", "").isalpha() for field in others)
    return len(fields) > 1 and bool(urls) and (separate or words)


def _fields(line: str, delimiter: str) -> list[str]:
    try:
        row = next(csv.reader([line], delimiter=delimiter, skipinitialspace=True), [])
    except csv.Error:
        return [line]
    return [field.strip() for field in row]


def _url_of(line: str, delimiter: str) -> str:
    urls = (field for field in _fields(line, delimiter) if field.lower().startswith(_SCHEMES))
    return next(urls, line)
