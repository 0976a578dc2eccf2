"""Read the URLs of sitemaps and sitemap indexes (sitemaps.org 0.9) within bounds."""

from __future__ import annotations

import gzip
import tempfile
import zlib
from collections.abc import Collection, Iterator
from typing import BinaryIO, cast

from lxml import etree

from article_flows.tasks.common.errors import UserError
from article_flows.tasks.reading.base.rows import EXCERPT_CHARS, Reject
from article_flows.tasks.reading.web.addresses import redacted_url
from article_flows.tasks.reading.web.download import download
from article_flows.tasks.reading.web.fetch import UrlEntry

MAX_FILE_URLS = 50_000
MAX_FILE_BYTES = 50 << 20
"""Limits of one sitemap, uncompressed, as set by the protocol."""
MAX_URLS = 5_000_000
"""Limit of entries of a sitemap including nested ones: more than can be fetched in a month."""
MAX_DEPTH = 3
"""Limit of nested indexes; the protocol allows only one level."""
_ENTRY_NAMES = {"urlset": "url", "sitemapindex": "sitemap"}


SitemapEntry = tuple[str, str, bool]
"""The URL of an entry (empty if it has none), its date as written, and if it is a sitemap."""


def parse_sitemap(file: BinaryIO) -> Iterator[SitemapEntry]:
    """Stream the entries of a sitemap or a sitemap index, gzipped or not.

    Raises:
        UserError: The file is not a sitemap, not well-formed, too large, or has a DOCTYPE (billion
            laughs attack). The message is the rest of a sentence that begins with its name.
    """
    parser = etree.iterparse(
        cast(BinaryIO, _BoundedFile(_decompressed(file))),
        events=("start", "end"),
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        huge_tree=False,
        remove_comments=True,
        remove_pis=True,
    )
    entry_name = ""
    try:
        for event, element in parser:
            if event == "start" and not entry_name:
                entry_name = _entry_name(element)
            elif event == "end" and etree.QName(element).localname == entry_name:
                yield _entry(element, is_sitemap=entry_name == "sitemap")
                _discard(element)
    except etree.XMLSyntaxError as error:
        raise UserError(f"is not well-formed XML: {error.msg}") from error
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise UserError("is a damaged gzip file") from error


def _entry_name(root: etree._Element) -> str:
    if root.getroottree().docinfo.internalDTD is not None:
        raise UserError(
            "has a DOCTYPE, which is not allowed in a sitemap: it could define entities"
        )
    if (name := _ENTRY_NAMES.get(etree.QName(root).localname)) is None:
        raise UserError("is not a sitemap: it has neither a urlset nor a sitemapindex")
    return name


def _entry(element: etree._Element, *, is_sitemap: bool) -> SitemapEntry:
    namespace = etree.QName(element).namespace
    fields: dict[str, str] = {}
    for child in element.iter(etree.Element):
        name = etree.QName(child)
        # Images and videos have a loc too, in other namespaces.
        if name.namespace == namespace or name.localname == "publication_date":
            fields.setdefault(name.localname, (child.text or "").strip())
    date = fields.get("publication_date") or fields.get("lastmod", "")
    return fields.get("loc", ""), date, is_sitemap


def _discard(element: etree._Element) -> None:
    """Free the memory of an element and those before it."""
    element.clear()
    if (parent := element.getparent()) is not None:
        while element.getprevious() is not None:
            del parent[0]


def _decompressed(file: BinaryIO) -> BinaryIO:
    is_gzip = file.read(2) == b"\x1f\x8b"
    file.seek(0)
    return cast(BinaryIO, gzip.GzipFile(fileobj=file, mode="rb")) if is_gzip else file


class _BoundedFile:
    """A file whose `read` raises UserError beyond the maximum size of a sitemap."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._remaining = MAX_FILE_BYTES

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(min(size, 1 << 20) if size >= 0 else 1 << 20)
        self._remaining -= len(data)
        if self._remaining < 0:
            raise UserError(f"has more than {MAX_FILE_BYTES:,} bytes, the limit for a sitemap")
        return data


class SitemapWalk:
    """A walk through a sitemap and nested sitemaps that numbers their entries.

    Nested sitemaps that cannot be read and entries without a URL become rejects.

    Args:
        allow_hosts: Private hosts that sitemaps may be fetched from.
    """

    def __init__(self, allow_hosts: Collection[str]) -> None:
        self._allow_hosts = allow_hosts
        self._last_number = 0
        self._visited: set[str] = set()

    def entries(self, file: BinaryIO, depth: int = 0) -> Iterator[UrlEntry]:
        """Yield the number, URL and date of each page; numbers start from 1 over all sitemaps.

        Raises:
            UserError: The sitemap itself cannot be read. The message is the rest of a sentence
                that begins with its name.
        """
        for index, (url, date, is_sitemap) in enumerate(parse_sitemap(file)):
            if index >= MAX_FILE_URLS:
                yield self._reject(f"has more than {MAX_FILE_URLS:,} entries; the rest is not read")
                return
            if is_sitemap:
                yield from self._nested(url, depth + 1)
            elif url:
                yield self._next_number(), url, date
            else:
                yield self._reject("an entry without a URL")

    def _nested(self, url: str, depth: int) -> Iterator[UrlEntry]:
        if url in self._visited:
            yield self._reject("a sitemap that was listed before", url)
            return
        if depth > MAX_DEPTH:
            yield self._reject(f"a sitemap more than {MAX_DEPTH} levels deep", url)
            return
        self._visited.add(url)
        try:
            with tempfile.TemporaryFile() as file:
                download(url, file, allow_hosts=self._allow_hosts, max_bytes=MAX_FILE_BYTES)
                file.seek(0)
                yield from self.entries(file, depth)
        except _TooManyUrls:
            raise
        except UserError as error:
            reason = str(error).removeprefix(f"{redacted_url(url)} ")
            yield self._reject(f"a sitemap that {reason}", url)

    def _reject(self, reason: str, raw: str = "") -> Reject:
        return Reject(self._next_number(), reason, raw[:EXCERPT_CHARS])

    def _next_number(self) -> int:
        if self._last_number >= MAX_URLS:
            raise _TooManyUrls(
                f"lists more than {MAX_URLS:,} URLs; load the sitemaps in it one by one"
            )
        self._last_number += 1
        return self._last_number


class _TooManyUrls(UserError):
    """The sitemap and its nested sitemaps exceed `MAX_URLS`."""
