"""Where a lake's files lie: a folder of this machine, or a bucket of an object store.

Names are relative to the lake, with ``/`` between folders. A file appears whole under its name or
not at all, and never changes afterwards but by being replaced whole.
"""

from __future__ import annotations

import errno
import os
import re
import secrets
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, Protocol
from urllib.parse import unquote, urlsplit

import pyarrow as pa

from tasks.errors import StorageDown, UserError
from tasks.scratch import Scratch

URI = re.compile(r"^([a-z][a-z0-9+.-]+)://", re.IGNORECASE)
FULL = (errno.ENOSPC, errno.EDQUOT)
"""What a write fails with when there is no room left, on the disk or for this user."""


class StoredFile(NamedTuple):
    """A file of a lake and its size in bytes."""

    name: str
    size: int


class Storage(Protocol):
    """What a lake asks of the place where its files lie. Safe to use from several threads.

    Every method raises UserError where the user has to mend something (no such bucket, no
    permission), StorageDown where the storage does not answer for longer than its patience.
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


class LocalStorage:
    """A lake in a folder of this machine; see `Storage`."""

    def __init__(self, root: str) -> None:
        self.root = root
        self.folder = Path(root).expanduser()
        if self.folder.exists() and not self.folder.is_dir():
            raise UserError(f"lake {root}: is a file; give a folder")
        self._scratch: Scratch | None = None
        self._lock = threading.Lock()

    @property
    def scratch(self) -> Path:
        """A folder of this machine for files that are about to be published."""
        with self._lock:
            if self._scratch is None:
                try:
                    self._scratch = Scratch(self.folder / "_staging" / "parts")
                except OSError as error:
                    raise unwritable(self.root, error) from error
            return self._scratch.folder

    def list(self, folder: str) -> list[StoredFile]:
        """All files below a folder, in order of name."""
        files = []
        for where, _, names in os.walk(self.folder / folder, onerror=self._unreadable):
            for name in names:
                path = Path(where, name)
                try:
                    size = path.stat().st_size
                except FileNotFoundError:
                    continue  # it went while we looked
                files.append(StoredFile(path.relative_to(self.folder).as_posix(), size))
        return sorted(files)

    def read(self, name: str) -> bytes:
        """A whole small file."""
        return (self.folder / name).read_bytes()

    def open(self, name: str) -> Any:
        """A file for reading here and there."""
        return pa.OSFile(str(self.folder / name))

    def write(self, name: str, content: bytes) -> None:
        """Write a small file whole."""
        staged = self.scratch / f"{secrets.token_hex(4)}-{Path(name).name}"
        try:
            self._attempt(lambda: staged.write_bytes(content))
            self.publish(staged, name)
        finally:
            staged.unlink(missing_ok=True)

    def publish(self, staged: Path, name: str) -> None:
        """Make a file of scratch a file of the lake."""
        self._attempt(lambda: _replace(staged, self.folder / name))

    def delete(self, name: str) -> None:
        """Remove a file, if it is there."""
        self._attempt(lambda: (self.folder / name).unlink(missing_ok=True))

    def location(self, name: str) -> str:
        """How a user names a file or folder of the lake."""
        return str(self.folder / name)

    def watch(self, listener: Callable[[bool], None]) -> None:
        """A disk that does not answer does not return either: there is nothing to tell."""

    def _unreadable(self, error: OSError) -> None:
        # What cannot be listed must not pass for empty: it would be loaded and paid for again.
        if not isinstance(error, FileNotFoundError):
            raise UserError(
                f"lake {self.root}: {error.filename} cannot be read ({error.strerror}); "
                "mend its permissions, or choose another --lake"
            ) from error

    def _attempt(self, operation: Callable[[], object]) -> None:
        try:
            operation()
        except OSError as error:
            raise unwritable(self.root, error) from error


def unwritable(root: str, error: OSError) -> UserError:
    """What to say, and do, about a lake that cannot be written."""
    if error.errno in FULL:
        return StorageDown(
            f"lake {root}: the disk is full; free some space, then run again: what was answered "
            "is kept"
        )
    return UserError(
        f"lake {root}: cannot be written ({error.strerror or error}); "
        "choose another --lake or mend its permissions"
    )


def open_storage(root: str) -> Storage:
    """The storage that a user names: a path, or a URI of an object store.

    Raises:
        UserError: the URI is of no store that is supported, holds a key, or the path is a file.
    """
    scheme = URI.match(root)
    if scheme is None:
        return LocalStorage(root)
    if scheme[1].lower() == "file":
        return LocalStorage(_path_of(root))
    # Only who keeps a lake there needs it.
    from tasks.object_storage import ObjectStorage

    return ObjectStorage(root)


def _path_of(uri: str) -> str:
    parts = urlsplit(uri)
    if parts.netloc.lower() not in ("", "localhost"):
        raise UserError(f"lake {uri}: is on another machine; mount it, and give its path")
    return unquote(parts.path)


def _replace(staged: Path, path: Path) -> None:
    """Make a file durable, then visible under its final name."""
    sync(staged)
    new = [folder for folder in path.parents if not folder.exists()]
    path.parent.mkdir(parents=True, exist_ok=True)
    staged.replace(path)
    for folder in [path.parent, *(each.parent for each in new)]:
        sync(folder)


def sync(path: Path) -> None:
    """Make a file, or what a folder lists, survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
