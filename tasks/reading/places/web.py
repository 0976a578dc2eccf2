"""A file on the web, downloaded once for all that is to be read of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import BinaryIO
from urllib.parse import unquote, urlsplit

from yarl import URL

from article_flows.tasks.reading.base.byte_source import ByteSource
from article_flows.tasks.reading.base.streams import Spool, temporary_file
from article_flows.tasks.reading.places.spools import SPOOLS
from article_flows.tasks.reading.web.addresses import shown
from article_flows.tasks.reading.web.download import download


@dataclass(frozen=True)
class WebFile(ByteSource):
    """What an http or https URL gives.

    Attributes:
        url: as the user typed it; may hold a password or a signature, so it is never shown.
        allow_hosts: private hosts that may be fetched from after a redirect; the URL's own host,
            which the user has named, always is.
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
        """The URL without what may be secret in it."""
        return shown(self.url)

    def open(self) -> BinaryIO:
        """Open the copy of it; the first time, download it.

        Raises:
            UserError: it cannot be fetched, leads to a private address, or is too large for the
                temporary disk.
        """
        return SPOOLS.open(self, self._fetch)

    def _fetch(self) -> BinaryIO:
        file = temporary_file()
        try:
            # Host and port: a redirect to another service of the same machine is refused.
            own = URL(self.url)
            hosts = (*self.allow_hosts, f"{own.host}:{own.port}")
            # It writes, seeks and cuts: all of a file that a download needs.
            spool = Spool(file, self.name)
            download(self.url, spool, allow_hosts=hosts)  # type: ignore[arg-type]
        except BaseException:
            file.close()
            raise
        return file
