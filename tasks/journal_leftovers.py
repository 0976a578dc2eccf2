"""What earlier runs left: journals of theirs, read once more and removed, or set aside to look at.

A journal that is no journal of this version is renamed to ``*.unreadable``; one that is damaged
before its end, once what is readable is committed, to ``*.damaged``. Neither is read again, and
neither is removed: what is in them was paid for.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Protocol

from tasks.errors import UserError
from tasks.journal_format import End, JournalReader, examine, examine_bytes
from tasks.storage import Storage

logger = logging.getLogger(__name__)

SUFFIX = ".journal"
UNREADABLE, DAMAGED = ".unreadable", ".damaged"
SET_ASIDE = (UNREADABLE, DAMAGED)
"""What the names of journals end with that somebody should look at."""


class Leftover(Protocol):
    """A journal of an earlier run."""

    @property
    def name(self) -> str:
        """How the user finds it."""
        ...

    def records(self) -> Iterator[bytes]:
        """Its payloads up to its end or to the first cut or damaged record."""
        ...

    def set_aside_if_foreign(self) -> bool:
        """Rename it, with a warning, if it is no journal of this version; True if so."""
        ...

    def discard(self) -> None:
        """Remove it: its outcomes are committed. One that is damaged is set aside instead."""
        ...


class FileLeftover:
    """A journal in a folder of this machine; see `Leftover`."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def name(self) -> str:
        """How the user finds it."""
        return str(self.path)

    def records(self) -> Iterator[bytes]:
        """Its payloads; raises UserError if it cannot be read."""
        try:
            with self.path.open("rb") as file:
                yield from JournalReader(file)
        except FileNotFoundError:
            return  # whoever committed it has removed it
        except OSError as error:
            raise UserError(
                f"{self.path}: answers of an earlier run cannot be read ({error.strerror}); "
                "mend its permissions or move it out of the way, then run again"
            ) from error

    def set_aside_if_foreign(self) -> bool:
        """Rename it, with a warning, if it is no journal of this version; True if so."""
        return set_aside_if_foreign(self.path)

    def discard(self) -> None:
        """Remove it, or set it aside if it is damaged."""
        if not set_aside_if_foreign(self.path) and not set_aside_if_damaged(self.path):
            self.path.unlink(missing_ok=True)


class ObjectLeftover:
    """A journal in an object store, which is small; see `Leftover`."""

    def __init__(self, storage: Storage, name: str) -> None:
        self._storage = storage
        self._name = name
        self._end: End | None = None

    @property
    def name(self) -> str:
        """How the user finds it."""
        return self._storage.location(self._name)

    def records(self) -> Iterator[bytes]:
        """Its payloads; raises UserError if it cannot be read."""
        try:
            reader = JournalReader(BytesIO(self._storage.read(self._name)))
        except FileNotFoundError:
            return  # whoever committed it has removed it
        yield from reader
        self._end = reader.end

    def set_aside_if_foreign(self) -> bool:
        """Rename it, with a warning, if it is no journal of this version; True if so."""
        if self._found() is not End.FOREIGN:
            return False
        self._set_aside(UNREADABLE)
        return True

    def discard(self) -> None:
        """Remove it, or set it aside if it is damaged."""
        end = self._found()
        if end in (End.FOREIGN, End.DAMAGED):
            self._set_aside(UNREADABLE if end is End.FOREIGN else DAMAGED)
        else:
            self._storage.delete(self._name)

    def _found(self) -> End:
        if self._end is None:
            for _ in self.records():
                pass
        return self._end or End.WHOLE

    def _set_aside(self, suffix: str) -> None:
        content = self._storage.read(self._name)
        self._storage.write(self._name + suffix, content)
        self._storage.delete(self._name)
        _warn(suffix, self._storage.location(self._name + suffix), examine_bytes(content).left_out)


def file_leftovers(folder: Path) -> list[Leftover]:
    """The journals in a folder of this machine, in order of name."""
    return [FileLeftover(path) for path in sorted(folder.glob(f"*{SUFFIX}"))]


def set_aside_if_foreign(path: Path) -> bool:
    """Rename a file, with a warning, if it is no journal of this version; True if so."""
    if not path.exists() or examine(path).end is not End.FOREIGN:
        return False
    aside = _beside(path, UNREADABLE)
    path.replace(aside)
    _warn(UNREADABLE, str(aside), 0)
    return True


def set_aside_if_damaged(path: Path) -> bool:
    """Rename a journal, with a warning, if it is damaged before its end; True if so."""
    if not path.exists() or (found := examine(path)).end is not End.DAMAGED:
        return False
    aside = _beside(path, DAMAGED)
    path.replace(aside)
    _warn(DAMAGED, str(aside), found.left_out)
    return True


def make_ready(path: Path) -> int:
    """Where to go on in a file that is there; what is behind that is kept if it is of worth."""
    if set_aside_if_foreign(path):
        return 0
    found = examine(path)
    if found.end is End.DAMAGED:
        shutil.copyfile(path, _beside(path, DAMAGED))
    return found.readable


def _beside(path: Path, suffix: str) -> Path:
    """A name beside a file that nothing has yet."""
    aside, number = path.with_name(path.name + suffix), 1
    while aside.exists():
        number += 1
        aside = path.with_name(f"{path.name}.{number}{suffix}")
    return aside


def _warn(suffix: str, name: str, left_out: int) -> None:
    if suffix == UNREADABLE:
        logger.warning(
            "%s: not a journal of this version, so nothing in it was taken in; if another version "
            "of article-flows wrote it, rename it back to *%s and run that version; else remove it",
            name,
            SUFFIX,
        )
    else:
        logger.warning(
            "%s: damaged: %d bytes were left out, and the articles in them asked about again; "
            "check the disk, and remove the file when you have looked at it",
            name,
            left_out,
        )
