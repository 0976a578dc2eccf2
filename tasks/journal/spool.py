"""The spool: records on this machine's disk until an object store has them.

A record is in it before the event loop turns again, so that a killed process loses none; it goes
when the object that holds it is there. When the store stays away it is what is left of a run, and
the next run on this machine takes it in.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import logging
import os
from collections.abc import Sequence
from pathlib import Path

from article_flows.tasks.journal.file_journal import Journal
from article_flows.tasks.journal.leftovers import SUFFIX

logger = logging.getLogger(__name__)

SPOOL_VARIABLE = "ARTICLE_FLOWS_SPOOL"
"""Environment variable: the folder for spools, instead of ``~/.article-flows/spool``."""


def spool_folder(root: str, table_name: str) -> Path:
    """Where this machine keeps the records of a table of a lake in an object store."""
    base = os.environ.get(SPOOL_VARIABLE) or "~/.article-flows/spool"
    lake = hashlib.sha256(root.rstrip("/").encode()).hexdigest()[:16]
    return Path(base).expanduser() / lake / table_name


class JournalSpool:
    """Files of records, one a group commit. The caller sees to it that threads take turns.

    Where the folder cannot be written, it says so once and keeps nothing.

    Attributes:
        broken: whether it could not be written.
    """

    def __init__(self, folder: Path, run: str) -> None:
        self.folder = folder
        self.broken = False
        self._run = run
        self._numbers = itertools.count()
        self._journal: Journal | None = None

    def append(self, payloads: Sequence[bytes]) -> None:
        """Write records to the file of the group that gathers."""
        if self.broken:
            return
        try:
            if self._journal is None:
                self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
                name = f"{self._run}-{next(self._numbers):06d}{SUFFIX}"
                self._journal = Journal(self.folder / name)
            self._journal.append(*payloads)
        except OSError as error:
            self.broken = True
            logger.warning(
                "%s: cannot be written (%s): answers are in memory only until the lake has them, "
                "about half a second; set %s to a folder that can be written",
                self.folder,
                error.strerror or error,
                SPOOL_VARIABLE,
            )

    def cut(self) -> list[Path]:
        """End the file of the group that gathered; the next record begins another."""
        journal, self._journal = self._journal, None
        if journal is None:
            return []
        journal.close()
        return [journal.path]

    def tidy(self) -> None:
        """Remove the folder if it is empty now."""
        with contextlib.suppress(OSError):
            self.folder.rmdir()
