"""`JournalSpool`: keeps records on the local disk until they are written to the object store.

A record is spooled before `ObjectJournal.append` returns, so a killed process loses none; it is
removed once an object contains it. If the store stays unavailable, the spool is all that remains of
a run, and the next run on this machine recovers it.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import logging
import os
from collections.abc import Sequence
from pathlib import Path

from article_flows.tasks.journal.file_journal import FileJournal
from article_flows.tasks.journal.leftovers import JOURNAL_SUFFIX

logger = logging.getLogger(__name__)

SPOOL_VARIABLE = "ARTICLE_FLOWS_SPOOL"
"""Environment variable with the folder of the spools; default ``~/.article-flows/spool``."""


def spool_folder(root: str, table_name: str) -> Path:
    """Return the local spool folder for a table of a lake in an object store."""
    base = os.environ.get(SPOOL_VARIABLE) or "~/.article-flows/spool"
    lake = hashlib.sha256(root.rstrip("/").encode()).hexdigest()[:16]
    return Path(base).expanduser() / lake / table_name


class JournalSpool:
    """Local files of records, one per group commit. Not thread-safe.

    If the folder cannot be written, it logs one warning and keeps nothing.

    Args:
        folder: The `spool_folder`.
        run: The run's name.

    Attributes:
        failed: Whether the folder could not be written.
    """

    def __init__(self, folder: Path, run: str) -> None:
        self.folder = folder
        self.failed = False
        self._run = run
        self._numbers = itertools.count()
        self._journal: FileJournal | None = None

    def append(self, payloads: Sequence[bytes]) -> None:
        """Write records to the file of the current group."""
        if self.failed:
            return
        try:
            if self._journal is None:
                self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
                name = f"{self._run}-{next(self._numbers):06d}{JOURNAL_SUFFIX}"
                self._journal = FileJournal(self.folder / name)
            self._journal.append(*payloads)
        except OSError as error:
            self.failed = True
            logger.warning(
                "%s: cannot be written (%s): answers are only in memory until they reach the lake, "
                "about half a second; set %s to a writable folder",
                self.folder,
                error.strerror or error,
                SPOOL_VARIABLE,
            )

    def rotate(self) -> list[Path]:
        """Close the file of the current group, and return it; the next record starts a new one."""
        journal, self._journal = self._journal, None
        if journal is None:
            return []
        journal.close()
        return [journal.path]

    def remove_if_empty(self) -> None:
        """Remove the folder if it is empty."""
        with contextlib.suppress(OSError):
            self.folder.rmdir()
