"""Lists of URLs and sitemaps: what they point at is fetched, and its articles are the rows."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import closing

from tasks.errors import UserError
from tasks.reading.fetching import fetch_articles
from tasks.reading.readers_base import (
    BATCH_ROWS,
    EXCERPT_CHARS,
    Chunk,
    Reject,
    Row,
    Source,
    in_chunks,
    opened,
)
from tasks.reading.readers_text import bom_encoding, bounded_lines
from tasks.reading.url_lines import url_finder
from tasks.reading.web_sitemap import SitemapWalk
from tasks.reading.web_xml import first_element

FETCHED_ROWS = 100
"""Rows in a chunk of what is fetched: they come slowly, and progress is told by chunks."""
MAX_LINE_CHARS = 8_192
"""A line that is longer is no URL: servers take 8 KiB at most."""
_URL_LINE = re.compile(r"https?://\S+$", re.IGNORECASE)
_HEAD, _BOM = 16 << 10, 4


def read_urls(source: Source, batch_rows: int = BATCH_ROWS) -> Iterator[Chunk]:
    """Fetch the articles of a text file with a URL a line.

    Blank lines and those that start with ``#`` are no rows; any other line that is no URL is a
    reject. Of a table, told by `tasks.reading.url_lines`, each line's first URL counts, and the
    line with the columns' names is no row. A row's number is its line's; rows come as they
    are fetched, not in order.
    """
    rows = fetch_articles(_lines(source), allow_hosts=source.allow_hosts)
    with closing(rows):
        yield from in_chunks(rows, min(batch_rows, FETCHED_ROWS))


def _lines(source: Source) -> Iterator[tuple[int, str] | Reject]:
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


def read_sitemap(source: Source, batch_rows: int = BATCH_ROWS) -> Iterator[Chunk]:
    """Fetch the articles of a sitemap, or of an index with the sitemaps that it names.

    A row's number is that of its entry over all sitemaps. A page that has no date of its own has
    that of the sitemap. Raises UserError if the sitemap itself cannot be read (further).
    """
    dates: dict[int, str] = {}
    entries = _entries(source, dates)
    rows = fetch_articles(entries, allow_hosts=source.allow_hosts)
    with closing(rows):
        yield from in_chunks(_dated(rows, dates), min(batch_rows, FETCHED_ROWS))


def _entries(source: Source, dates: dict[int, str]) -> Iterator[tuple[int, str] | Reject]:
    def note(number: int, date: str) -> None:
        if date:
            dates[number] = date

    with opened(source) as file:
        try:
            yield from SitemapWalk(source.allow_hosts, note).entries(file)
        except UserError as error:
            raise UserError(f"{source.name} {error}") from error


def _dated(rows: Iterator[Row | Reject], dates: dict[int, str]) -> Iterator[Row | Reject]:
    for row in rows:
        if isinstance(row, Row):
            date = dates.pop(row.number, "")
            if date:
                row.record.setdefault("date", date)
        else:
            dates.pop(row.row, None)
        yield row


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
