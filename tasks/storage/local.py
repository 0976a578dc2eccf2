"""`LocalStorage`: a lake in a local folder."""

from __future__ import annotations

import os
import secrets
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa

from article_flows.tasks.common.errors import UserError
from article_flows.tasks.storage.base import StoredFile, unwritable_error
from article_flows.tasks.storage.scratch import Scratch


class LocalStorage:
    """A lake in a local folder; see `Storage`.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     storage = LocalStorage(folder)
        ...     storage.write("articles/a.txt", b"hello")
        ...     storage.list("articles")
        [StoredFile(name='articles/a.txt', size=5)]
    """

    def __init__(self, root: str) -> None:
        self.root = root
        self.folder = Path(root).expanduser()
        if self.folder.exists() and not self.folder.is_dir():
            raise UserError(f"lake {root}: is a file; give a folder")
        self._scratch: Scratch | None = None
        self._lock = threading.Lock()

    @property
    def scratch(self) -> Path:
        """A folder on the lake's own file system, so that `publish` is a rename."""
        with self._lock:
            if self._scratch is None:
                try:
                    self._scratch = Scratch(self.folder / "_staging" / "parts")
                except OSError as error:
                    raise unwritable_error(self.root, error) from error
            return self._scratch.folder

    def list(self, folder: str) -> list[StoredFile]:
        """Return all files below a folder, sorted by name."""
        files = []
        for directory, _, names in os.walk(self.folder / folder, onerror=self._raise_unreadable):
            for name in names:
                path = Path(directory, name)
                try:
                    size = path.stat().st_size
                except FileNotFoundError:
                    continue  # deleted since os.walk listed it
                files.append(StoredFile(path.relative_to(self.folder).as_posix(), size))
        return sorted(files)

    def read(self, name: str) -> bytes:
        """Return the content of a small file."""
        return (self.folder / name).read_bytes()

    def open(self, name: str) -> Any:
        """Open a file for random access."""
        return pa.OSFile(str(self.folder / name))

    def write(self, name: str, content: bytes) -> None:
        """Write a small file atomically."""
        staged = self.scratch / f"{secrets.token_hex(4)}-{Path(name).name}"
        try:
            self._attempt(lambda: staged.write_bytes(content))
            self.publish(staged, name)
        finally:
            staged.unlink(missing_ok=True)

    def publish(self, staged: Path, name: str) -> None:
        """Move a file from ``scratch`` into the lake."""
        self._attempt(lambda: _move_durably(staged, self.folder / name))

    def delete(self, name: str) -> None:
        """Delete a file, if it exists."""
        self._attempt(lambda: (self.folder / name).unlink(missing_ok=True))

    def location(self, name: str) -> str:
        """Return the path of a file or folder."""
        return str(self.folder / name)

    def watch(self, listener: Callable[[bool], None]) -> None:
        """Do nothing: calls to an unresponsive disk block, so there is nothing to report."""

    def _raise_unreadable(self, error: OSError) -> None:
        # An unreadable folder must not look empty: its articles would be loaded and paid for again.
        if not isinstance(error, FileNotFoundError):
            raise UserError(
                f"lake {self.root}: {error.filename} cannot be read ({error.strerror}); "
                "fix its permissions, or choose another --lake"
            ) from error

    def _attempt(self, operation: Callable[[], object]) -> None:
        try:
            operation()
        except OSError as error:
            raise unwritable_error(self.root, error) from error


def _move_durably(staged: Path, path: Path) -> None:
    """Sync a file, then rename it, then sync every folder that gained an entry."""
    sync(staged)
    new = [folder for folder in path.parents if not folder.exists()]
    path.parent.mkdir(parents=True, exist_ok=True)
    staged.replace(path)
    for folder in [path.parent, *(each.parent for each in new)]:
        sync(folder)


def sync(path: Path) -> None:
    """Make a file's content, or a folder's entries, survive a power failure."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
