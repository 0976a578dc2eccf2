"""Scratch folders: where one process writes what is not published yet, and who may clean up."""

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
    """A new folder below a given one, which goes when its owner does.

    The owner holds a lock on a file in it, which the kernel frees when the process dies: so a
    folder without an owner is known without looking at any clock.

    Attributes:
        remove: call it to have the folder go now.

    Raises:
        OSError: the folder cannot be made.
    """

    def __init__(self, parent: Path) -> None:
        self.folder = parent / secrets.token_hex(6)
        self.folder.mkdir(parents=True)
        making = self.folder / f"{_LOCK}-in-the-making"
        descriptor = os.open(making, os.O_RDWR | os.O_CREAT, 0o644)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        # Under its name it is never seen free.
        making.rename(self.folder / _LOCK)
        self.remove = weakref.finalize(self, _remove, self.folder, descriptor, os.getpid())
        _in_use.add(self)


def remove_scratch() -> None:
    """Remove this process's scratch folders, before an exit that runs no finalizers."""
    for scratch in list(_in_use):
        scratch.remove()


def user_scratch_root() -> Path:
    """A folder of this user's among the machine's temporary ones, for the scratch of processes.

    Raises:
        OSError: it cannot be made, or is another user's.
    """
    parent = Path(tempfile.gettempdir(), f"article-flows-{os.getuid()}")
    parent.mkdir(mode=0o700, exist_ok=True)
    if parent.is_symlink() or parent.stat().st_uid != os.getuid():
        raise PermissionError(errno.EPERM, f"{parent} is another user's; set TMPDIR")
    return parent


def ownerless(parent: Path) -> list[Path]:
    """The folders of owners that have died; those in use or in the making are not among them."""
    return [folder for folder in _folders(parent) if not _owned(folder)]


def sweep(parent: Path) -> None:
    """Remove what owners that have died left behind."""
    for folder in ownerless(parent):
        shutil.rmtree(folder, ignore_errors=True)


def _folders(parent: Path) -> list[Path]:
    return [each for each in parent.iterdir() if each.is_dir()] if parent.is_dir() else []


def _owned(folder: Path) -> bool:
    try:
        descriptor = os.open(folder / _LOCK, os.O_RDONLY)
    except OSError:
        # Its owner has made the folder and not yet the lock; or died between, and left nothing; or
        # is another user, who has to clean up.
        return True
    try:
        # Shared, so that two who look do not take each other for the owner.
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False


def _remove(folder: Path, descriptor: int, owner: int) -> None:
    if os.getpid() != owner:
        return  # a fork of the owner, whose folder this is not
    with contextlib.suppress(OSError):
        os.close(descriptor)
    shutil.rmtree(folder, ignore_errors=True)
