"""The `Storage` protocol: the files of a lake, in a local folder or an object store.

File names are relative to the lake, with ``/`` between folders. A file becomes visible only when
it is complete, and changes only by being replaced as a whole.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from article_flows.tasks.common.errors import StorageUnavailable, UserError

DISK_FULL_ERRNOS = (errno.ENOSPC, errno.EDQUOT)
"""Error numbers of a write that finds no space, on the disk or in the user's quota."""


class StoredFile(NamedTuple):
    """A file of a lake and its size in bytes."""

    name: str
    size: int


class Storage(Protocol):
    """The file operations that a lake needs. Safe to use from several threads.

    Every method raises UserError if the user has to fix something (a missing bucket, a missing
    permission), and StorageUnavailable if the storage fails for longer than its retry timeout.
    """

    @property
    def root(self) -> str:
        """The path or URI as the user wrote it; contains no secret."""
        ...

    @property
    def folder(self) -> Path | None:
        """The lake's local folder, or None for an object store."""
        ...

    @property
    def scratch(self) -> Path:
        """A local folder for files that are being prepared for `publish`."""
        ...

    def list(self, folder: str) -> list[StoredFile]:
        """Return all files below a folder, sorted by name; empty if the folder does not exist."""
        ...

    def read(self, name: str) -> bytes:
        """Return the content of a small file; raise FileNotFoundError if it does not exist."""
        ...

    def open(self, name: str) -> Any:
        """Open a file for random access by pyarrow; raise FileNotFoundError if it is missing."""
        ...

    def write(self, name: str, content: bytes) -> None:
        """Write a small file atomically; it is durable on return."""
        ...

    def publish(self, staged: Path, name: str) -> None:
        """Move a file from ``scratch`` into the lake atomically; it is durable on return."""
        ...

    def delete(self, name: str) -> None:
        """Delete a file; do nothing if it does not exist."""
        ...

    def location(self, name: str) -> str:
        """Return the path or URI by which pandas or pyarrow can open a file or folder."""
        ...

    def watch(self, listener: Callable[[bool], None]) -> None:
        """Call a listener with True when the storage stops responding, and with False after."""
        ...


def unwritable_error(root: str, error: OSError) -> UserError:
    """Return the error to raise, with its remedy, when a lake cannot be written."""
    if error.errno in DISK_FULL_ERRNOS:
        return StorageUnavailable(
            f"lake {root}: the disk is full; free some space, then run again: answers received "
            "so far are kept"
        )
    return UserError(
        f"lake {root}: cannot be written ({error.strerror or error}); "
        "choose another --lake or fix its permissions"
    )
