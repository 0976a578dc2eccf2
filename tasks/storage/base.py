"""Where a lake's files lie: a folder of this machine, or a bucket of an object store.

Names are relative to the lake, with ``/`` between folders. A file appears whole under its name or
not at all, and never changes afterwards but by being replaced whole.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from article_flows.tasks.common.errors import StorageUnavailable, UserError

DISK_FULL_ERRNOS = (errno.ENOSPC, errno.EDQUOT)
"""What a write fails with when there is no room left, on the disk or for this user."""


class StoredFile(NamedTuple):
    """A file of a lake and its size in bytes."""

    name: str
    size: int


class Storage(Protocol):
    """What a lake asks of the place where its files lie. Safe to use from several threads.

    Every method raises UserError where the user has to mend something (no such bucket, no
    permission), StorageUnavailable where the storage does not answer for longer than its patience.
    """

    @property
    def root(self) -> str:
        """The place as the user names it; no secret in it."""
        ...

    @property
    def folder(self) -> Path | None:
        """Where the lake is on this machine; None for an object store."""
        ...

    @property
    def scratch(self) -> Path:
        """A folder of this machine for files that are about to be published."""
        ...

    def list(self, folder: str) -> list[StoredFile]:
        """All files below a folder, in order of name; none if there is no such folder."""
        ...

    def read(self, name: str) -> bytes:
        """A whole small file; raises FileNotFoundError if there is none."""
        ...

    def open(self, name: str) -> Any:
        """A file for reading here and there, as pyarrow takes it; raises FileNotFoundError."""
        ...

    def write(self, name: str, content: bytes) -> None:
        """Write a small file: whole and durable on return, or not at all."""
        ...

    def publish(self, staged: Path, name: str) -> None:
        """Make a file of ``scratch`` a file of the lake, whole and durable; it leaves scratch."""
        ...

    def delete(self, name: str) -> None:
        """Remove a file; one that is not there is no error."""
        ...

    def location(self, name: str) -> str:
        """How a user names a file or folder of the lake to pandas or pyarrow."""
        ...

    def watch(self, listener: Callable[[bool], None]) -> None:
        """Have a listener told when the storage stops answering (True) and answers again."""
        ...


def unwritable_error(root: str, error: OSError) -> UserError:
    """What to say, and do, about a lake that cannot be written."""
    if error.errno in DISK_FULL_ERRNOS:
        return StorageUnavailable(
            f"lake {root}: the disk is full; free some space, then run again: what was answered "
            "is kept"
        )
    return UserError(
        f"lake {root}: cannot be written ({error.strerror or error}); "
        "choose another --lake or mend its permissions"
    )
