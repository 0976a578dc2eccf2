"""A lake in a folder of this machine."""

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
                    raise unwritable_error(self.root, error) from error
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
            raise unwritable_error(self.root, error) from error


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
