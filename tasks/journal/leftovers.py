"""What earlier runs left: journals of theirs, read once more and removed, or set aside to look at.

A journal that is no journal of this version is renamed to ``*.unreadable``; one that is damaged
before its end, once what is readable is committed, to ``*.damaged``. Neither is read again, and
neither is removed: what is in them was paid for.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator

from article_flows.tasks.common.errors import UserError
from article_flows.tasks.journal.format import End, read_journal
from article_flows.tasks.storage.base import Storage

logger = logging.getLogger(__name__)

SUFFIX = ".journal"
UNREADABLE, DAMAGED = ".unreadable", ".damaged"
SET_ASIDE = (UNREADABLE, DAMAGED)
"""What the names of journals end with that somebody should look at."""


class Leftover:
    """A journal of an earlier run: in the lake, or in a folder of this machine."""

    def __init__(self, storage: Storage, file: str) -> None:
        self._storage = storage
        self._file = file
        self._end: tuple[End, int] | None = None

    @property
    def name(self) -> str:
        """How the user finds it."""
        return self._storage.location(self._file)

    def records(self) -> Iterator[bytes]:
        """Its payloads up to its end or to the first cut or damaged record.

        Raises:
            UserError: it cannot be read.
        """
        try:
            found = read_journal(self._storage.read(self._file))
        except FileNotFoundError:
            return  # whoever committed it has removed it
        except OSError as error:
            raise UserError(
                f"{self.name}: answers of an earlier run cannot be read ({error.strerror}); "
                "mend its permissions or move it out of the way, then run again"
            ) from error
        self._end = found.end, found.left_out
        yield from found.records

    def end(self) -> tuple[End, int]:
        """How it ends, and how many bytes cannot be read; as of one without a record if it went."""
        if self._end is None:
            for _ in self.records():
                pass
        return self._end or (End.WHOLE, 0)

    def set_aside_if_foreign(self) -> bool:
        """Rename it, with a warning, if it is no journal of this version; True if so."""
        if self.end()[0] is not End.FOREIGN:
            return False
        logger.warning(
            "%s: not a journal of this version, so nothing in it was taken in; if another version "
            "of article-flows wrote it, rename it back to *%s and run that version; else remove it",
            self._set_aside(UNREADABLE),
            SUFFIX,
        )
        return True

    def discard(self) -> None:
        """Remove it: its outcomes are committed. One that is damaged is set aside instead."""
        if self.set_aside_if_foreign():
            return
        end, left_out = self.end()
        if end is not End.DAMAGED:
            self._storage.delete(self._file)
            return
        logger.warning(
            "%s: damaged: %d bytes were left out, and the articles in them asked about again; "
            "check the disk, and remove the file when you have looked at it",
            self._set_aside(DAMAGED),
            left_out,
        )

    def _set_aside(self, suffix: str) -> str:
        """Rename it to a name that nothing has yet; gives how the user finds it."""
        storage, file = self._storage, self._file
        taken = {each.name for each in storage.list(file.rpartition("/")[0])}
        aside, number = file + suffix, 1
        while aside in taken:
            number += 1
            aside = f"{file}.{number}{suffix}"
        if storage.folder is not None:
            storage.publish(storage.folder / file, aside)
        else:
            storage.write(aside, storage.read(file))
            storage.delete(file)
        return storage.location(aside)


def leftovers_in(storage: Storage, folder: str = "") -> list[Leftover]:
    """The journals below a folder of a storage, in order of name."""
    files = storage.list(folder)
    return [Leftover(storage, file.name) for file in files if file.name.endswith(SUFFIX)]


class JournalSet:
    """What the journals of a run are, wherever they lie.

    Attributes:
        leftovers: what earlier runs left.
        on_trouble: told, in any thread, why nothing more may be paid for.
    """

    def __init__(self, leftovers: list[Leftover]) -> None:
        self.leftovers = leftovers
        self.on_trouble: Callable[[str], None] = logger.warning

    def set_aside_foreign(self) -> None:
        """Set aside, with a warning, what earlier runs left that is no journal of this version."""
        self.leftovers = [left for left in self.leftovers if not left.set_aside_if_foreign()]

    def discard_leftovers(self) -> None:
        """Remove what earlier runs left: it is committed by now. Damaged ones are set aside."""
        for leftover in self.leftovers:
            leftover.discard()
        self.leftovers = []
