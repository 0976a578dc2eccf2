"""Sitemaps (sitemaps.org 0.9) and their indexes: the URLs in them, parsed within bounds."""

from __future__ import annotations

import gzip
import tempfile
import zlib
from collections.abc import Collection, Iterator
from typing import BinaryIO, cast

from lxml import etree

from article_flows.tasks.common.errors import UserError
from article_flows.tasks.reading.base.rows import EXCERPT_CHARS, Reject
from article_flows.tasks.reading.web.addresses import shown
from article_flows.tasks.reading.web.download import download
from article_flows.tasks.reading.web.fetch import Entry

MAX_FILE_URLS = 50_000
MAX_FILE_BYTES = 50 << 20
"""What one sitemap may have, unpacked; both are the protocol's own limits."""
MAX_URLS = 5_000_000
"""What a sitemap may list in all, with those inside it: more than can be fetched in a month."""
MAX_DEPTH = 3
"""Indexes inside indexes; the protocol knows one level only."""
_ROOTS = {"urlset": "url", "sitemapindex": "sitemap"}


Listed = tuple[str, str, bool]
"""One entry: its URL (empty if it has none), its date as written, and if it is a sitemap."""


def parse_sitemap(file: BinaryIO) -> Iterator[Listed]:
    """Stream the entries of a sitemap or an index, gzipped or not.

    Raises UserError, as the rest of a sentence, for what is none, is not well formed, has a
    DOCTYPE (billion laughs), or is too large.
    """
    parser = etree.iterparse(
        cast(BinaryIO, _Bounded(_unpacked(file))),
        events=("start", "end"),
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        huge_tree=False,
        remove_comments=True,
        remove_pis=True,
    )
    wanted = ""
    try:
        for event, element in parser:
            if event == "start" and not wanted:
                wanted = _entry_name(element)
            elif event == "end" and etree.QName(element).localname == wanted:
                yield _listed(element, wanted == "sitemap")
                _forget(element)
    except etree.XMLSyntaxError as error:
        raise UserError(f"is not well-formed XML: {error.msg}") from error
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise UserError("is a broken gzip file") from error


def _entry_name(root: etree._Element) -> str:
    """Return what the entries of a root are called."""
    if root.getroottree().docinfo.internalDTD is not None:
        raise UserError("has a DOCTYPE, which a sitemap has not: it could define entities")
    if (name := _ROOTS.get(etree.QName(root).localname)) is None:
        raise UserError("is no sitemap: it has neither a urlset nor a sitemapindex")
    return name


def _listed(element: etree._Element, is_sitemap: bool) -> Listed:
    own = etree.QName(element).namespace
    found: dict[str, str] = {}
    for child in element.iter(etree.Element):
        name = etree.QName(child)
        # Images and videos have a loc too, in a namespace of their own.
        if name.namespace == own or name.localname == "publication_date":
            found.setdefault(name.localname, (child.text or "").strip())
    date = found.get("publication_date") or found.get("lastmod", "")
    return found.get("loc", ""), date, is_sitemap


def _forget(element: etree._Element) -> None:
    element.clear()
    if (parent := element.getparent()) is not None:
        while element.getprevious() is not None:
            del parent[0]


def _unpacked(file: BinaryIO) -> BinaryIO:
    packed = file.read(2) == b"\x1f\x8b"
    file.seek(0)
    return cast(BinaryIO, gzip.GzipFile(fileobj=file, mode="rb")) if packed else file


class _Bounded:
    """A file that may be no larger than a sitemap may."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._left = MAX_FILE_BYTES

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(min(size, 1 << 20) if size >= 0 else 1 << 20)
        self._left -= len(data)
        if self._left < 0:
            raise UserError(f"has more than {MAX_FILE_BYTES:,} bytes, the most of a sitemap")
        return data


class SitemapWalk:
    """Goes through a sitemap and those inside it, and numbers their entries.

    A sitemap inside it that cannot be read is a reject, and so is each entry without a URL.

    Args:
        allow_hosts: private hosts that sitemaps may be fetched from.
    """

    def __init__(self, allow_hosts: Collection[str]) -> None:
        self._allow_hosts = allow_hosts
        self._number = 0
        self._known: set[str] = set()

    def entries(self, file: BinaryIO, depth: int = 0) -> Iterator[Entry]:
        """Give the URLs of pages with their numbers, from 1 over all sitemaps, and dates.

        Raises UserError, as the rest of a sentence, if the sitemap itself cannot be read.
        """
        for place, (url, date, is_sitemap) in enumerate(parse_sitemap(file)):
            if place >= MAX_FILE_URLS:
                yield self._reject(f"has more than {MAX_FILE_URLS:,} entries; the rest is not read")
                return
            if is_sitemap:
                yield from self._inside(url, depth + 1)
            elif url:
                yield self._next(), url, date
            else:
                yield self._reject("an entry without a URL")

    def _inside(self, url: str, depth: int) -> Iterator[Entry]:
        if url in self._known:
            yield self._reject("a sitemap that was listed before", url)
            return
        if depth > MAX_DEPTH:
            yield self._reject(f"a sitemap more than {MAX_DEPTH} levels deep", url)
            return
        self._known.add(url)
        try:
            with tempfile.TemporaryFile() as file:
                download(url, file, allow_hosts=self._allow_hosts, max_bytes=MAX_FILE_BYTES)
                file.seek(0)
                yield from self.entries(file, depth)
        except _TooMany:
            raise
        except UserError as error:
            words = str(error).removeprefix(f"{shown(url)} ")
            yield self._reject(f"a sitemap that {words}", url)

    def _reject(self, reason: str, raw: str = "") -> Reject:
        return Reject(self._next(), reason, raw[:EXCERPT_CHARS])

    def _next(self) -> int:
        if self._number >= MAX_URLS:
            raise _TooMany(f"lists more than {MAX_URLS:,} URLs; load the sitemaps in it one by one")
        self._number += 1
        return self._number


class _TooMany(UserError):
    """All sitemaps together list too much."""
