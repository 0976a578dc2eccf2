"""Scratch folders: private folders for files that are not published yet, and their cleanup."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
import shutil
import tempfile
import weakref
from pathlib import Path

_LOCK = ".lock"
_in_use: weakref.WeakSet[Scratch] = weakref.WeakSet()


class Scratch:
    """A new folder that is removed with this object.

    The process holds a file lock inside the folder. The kernel releases the lock when the process
    dies, so an abandoned folder is recognized without any timeout.

    Args:
        parent: The folder to create it in.

    Attributes:
        remove: Removes the folder immediately.

    Raises:
        OSError: The folder cannot be created.
    """

    def __init__(self, parent: Path) -> None:
        self.folder = parent / secrets.token_hex(6)
        self.folder.mkdir(parents=True)
        unnamed = self.folder / f"{_LOCK}-in-the-making"
        descriptor = os.open(unnamed, os.O_RDWR | os.O_CREAT, 0o644)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        # Renamed only once it is locked, so that no other process ever sees it unlocked.
        unnamed.rename(self.folder / _LOCK)
        self.remove = weakref.finalize(self, _remove, self.folder, descriptor, os.getpid())
        _in_use.add(self)


def remove_scratch() -> None:
    """Remove this process's scratch folders; call it before an exit that skips finalizers."""
    for scratch in list(_in_use):
        scratch.remove()


def user_scratch_root() -> Path:
    """Return this user's folder in the machine's temporary directory; create it if needed.

    Raises:
        OSError: It cannot be created, or belongs to another user.
    """
    parent = Path(tempfile.gettempdir(), f"article-flows-{os.getuid()}")
    parent.mkdir(mode=0o700, exist_ok=True)
    if parent.is_symlink() or parent.stat().st_uid != os.getuid():
        raise PermissionError(errno.EPERM, f"{parent} belongs to another user; set TMPDIR")
    return parent


def abandoned_folders(parent: Path) -> list[Path]:
    """Return the scratch folders whose processes have died."""
    return [folder for folder in _folders(parent) if not _owned(folder)]


def sweep(parent: Path) -> None:
    """Remove the scratch folders whose processes have died."""
    for folder in abandoned_folders(parent):
        shutil.rmtree(folder, ignore_errors=True)


def _folders(parent: Path) -> list[Path]:
    return [each for each in parent.iterdir() if each.is_dir()] if parent.is_dir() else []


def _owned(folder: Path) -> bool:
    try:
        descriptor = os.open(folder / _LOCK, os.O_RDONLY)
    except OSError:
        # Its owner has not created the lock yet, or died before it did and left the folder empty,
        # or is another user, who has to clean up.
        return True
    try:
        # A shared lock, so that two processes that check do not take each other for the owner.
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False


def _remove(folder: Path, descriptor: int, owner: int) -> None:
    if os.getpid() != owner:
        return  # a forked child, which does not own the folder
    with contextlib.suppress(OSError):
        os.close(descriptor)
    shutil.rmtree(folder, ignore_errors=True)
