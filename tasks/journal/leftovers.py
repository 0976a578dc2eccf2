"""Journals left by earlier runs: recovered once and deleted, or set aside for the user.

A file that is not a journal of this version is renamed to ``*.unreadable``. A journal that is
damaged before its end is renamed to ``*.damaged`` once its readable records are committed. Neither
is read again, and neither is deleted, since its content was paid for.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator

from article_flows.tasks.common.errors import UserError
from article_flows.tasks.journal.format import JournalEnd, read_journal
from article_flows.tasks.storage.base import Storage

logger = logging.getLogger(__name__)

JOURNAL_SUFFIX = ".journal"
UNREADABLE, DAMAGED = ".unreadable", ".damaged"
SET_ASIDE_SUFFIXES = (UNREADABLE, DAMAGED)
"""Suffixes of journals that the user should look at."""


class LeftoverJournal:
    """A journal of an earlier run.

    Args:
        storage: The lake's storage, or the folder of the local spool.
        file: The journal's name there.
    """

    def __init__(self, storage: Storage, file: str) -> None:
        self._storage = storage
        self._file = file
        self._end: tuple[JournalEnd, int] | None = None

    @property
    def name(self) -> str:
        """The journal's path or URI, for messages."""
        return self._storage.location(self._file)

    def records(self) -> Iterator[bytes]:
        """Yield the payloads before the end or the first truncated or damaged record.

        Raises:
            UserError: The file cannot be read.
        """
        try:
            contents = read_journal(self._storage.read(self._file))
        except FileNotFoundError:
            return  # another run has committed and deleted it
        except OSError as error:
            raise UserError(
                f"{self.name}: answers of an earlier run cannot be read ({error.strerror}); "
                "fix its permissions or move it out of the way, then run again"
            ) from error
        self._end = contents.end, contents.left_out
        yield from contents.records

    def end(self) -> tuple[JournalEnd, int]:
        """Return how the journal ends and its number of unreadable bytes.

        A journal that is gone counts as an empty one.
        """
        if self._end is None:
            for _ in self.records():
                pass
        return self._end or (JournalEnd.COMPLETE, 0)

    def set_aside_if_foreign(self) -> bool:
        """If this is not a journal of this version, rename it, log a warning, and return True."""
        if self.end()[0] is not JournalEnd.FOREIGN:
            return False
        logger.warning(
            "%s: not a journal of this version, so it was not recovered; if another version of "
            "article-flows wrote it, rename it back to *%s and run that version; else remove it",
            self._set_aside(UNREADABLE),
            JOURNAL_SUFFIX,
        )
        return True

    def discard(self) -> None:
        """Delete the journal, since its outcomes are committed; set it aside if it is damaged."""
        if self.set_aside_if_foreign():
            return
        end, left_out = self.end()
        if end is not JournalEnd.DAMAGED:
            self._storage.delete(self._file)
            return
        logger.warning(
            "%s: damaged: %d bytes were skipped, and the articles in them are requested again; "
            "check the disk, and remove the file once you have inspected it",
            self._set_aside(DAMAGED),
            left_out,
        )

    def _set_aside(self, suffix: str) -> str:
        """Rename the journal to an unused name; return its path or URI."""
        storage, file = self._storage, self._file
        existing = {each.name for each in storage.list(file.rpartition("/")[0])}
        new_name, number = file + suffix, 1
        while new_name in existing:
            number += 1
            new_name = f"{file}.{number}{suffix}"
        if storage.folder is not None:
            storage.publish(storage.folder / file, new_name)
        else:
            storage.write(new_name, storage.read(file))
            storage.delete(file)
        return storage.location(new_name)


def leftovers_in(storage: Storage, folder: str = "") -> list[LeftoverJournal]:
    """Return the journals below a folder of a storage, sorted by name."""
    files = storage.list(folder)
    return [
        LeftoverJournal(storage, file.name) for file in files if file.name.endswith(JOURNAL_SUFFIX)
    ]


class JournalSet:
    """Base class of the journals of a run, local or in an object store.

    Attributes:
        leftovers: The journals of earlier runs.
        on_write_failure: Called, in any thread, with the reason to stop sending requests.
    """

    def __init__(self, leftovers: list[LeftoverJournal]) -> None:
        self.leftovers = leftovers
        self.on_write_failure: Callable[[str], None] = logger.warning

    def set_aside_foreign(self) -> None:
        """Set aside the leftovers that are not journals of this version, with a warning."""
        self.leftovers = [left for left in self.leftovers if not left.set_aside_if_foreign()]

    def discard_leftovers(self) -> None:
        """Delete the leftovers, which are committed by now; set damaged ones aside."""
        for leftover in self.leftovers:
            leftover.discard()
        self.leftovers = []
