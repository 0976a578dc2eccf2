"""A file on the web, which is downloaded once and then read from a temporary copy."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import BinaryIO
from urllib.parse import unquote, urlsplit

from yarl import URL

from article_flows.tasks.reading.base.byte_source import ByteSource
from article_flows.tasks.reading.base.streams import TemporaryCopy, temporary_file
from article_flows.tasks.reading.places.spools import SPOOL_CACHE
from article_flows.tasks.reading.web.addresses import redacted_url
from article_flows.tasks.reading.web.download import download


@dataclass(frozen=True)
class WebFile(ByteSource):
    """The file at an http or https URL.

    Attributes:
        url: As the user typed it; never shown, because it may contain a password or a signature.
        allow_hosts: Private hosts that redirects may lead to; the URL's own host is always
            allowed, because the user has named it.
    """

    url: str
    allow_hosts: tuple[str, ...] = ()

    @property
    def file_name(self) -> str:
        """The last part of the URL's path."""
        return PurePosixPath(unquote(urlsplit(self.url).path)).name or "index"

    @property
    def identity(self) -> str:
        """The URL."""
        return self.url

    @property
    def name(self) -> str:
        """The URL without its possibly secret parts."""
        return redacted_url(self.url)

    def open(self) -> BinaryIO:
        """Open the copy; the first call downloads it.

        Raises:
            UserError: It cannot be fetched, leads to a private address, or is too large for the
                temporary disk.
        """
        return SPOOL_CACHE.open(self, self._download)

    def _download(self) -> BinaryIO:
        file = temporary_file()
        try:
            # With the port, so that a redirect to another service on the same host is rejected.
            url = URL(self.url)
            hosts = (*self.allow_hosts, f"{url.host}:{url.port}")
            copy = TemporaryCopy(file, self.name)
            # It has the methods of a file that a download calls: write, seek, tell, truncate.
            download(self.url, copy, allow_hosts=hosts)  # type: ignore[arg-type]
        except BaseException:
            file.close()
            raise
        return file
