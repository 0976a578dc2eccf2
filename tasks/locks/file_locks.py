"""Locks of a lake in a folder of this machine: the kernel's, on a file below ``_staging/locks``.

Such a lock goes when its process dies, however it dies, and holds between threads as between
processes.

**Network file systems.** NFS passes these locks on to its server, so they hold between machines;
a machine that died loses its own when the server notices. Mounts that keep locks to themselves
(NFS with ``nolock`` or ``local_lock``, most FUSE file systems, some of SMB's) exclude only runs of
one machine: there, write a lake from one machine at a time, or give the lake by its store's own
URI. Where there are no locks at all, `lock_file` says so.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import secrets
from pathlib import Path

from article_flows.tasks.common.errors import UserError
from article_flows.tasks.locks.waiting import LockBusy, LockHolder, LockRequest, acquire
from article_flows.tasks.storage.base import unwritable_error

_FOLDER = Path("_staging", "locks")
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)
_NO_WRITING = (errno.EROFS, errno.EACCES, errno.EPERM)
_MOST_NOTES = 64 * 1024
"""Bytes of readers' notes after which they are begun anew; a note is about 150."""


def lock_file(wanted: LockRequest, lake: Path) -> FileLock:
    """Wait for a lock of a lake in a folder.

    Raises:
        UserError: another run holds it, the lake cannot be written, or has no file locks.
    """
    path = lake / _FOLDER / f"{wanted.name}.lock"
    try:
        return acquire(wanted, lambda: _attempt(wanted, path), "a killed run's lock goes with it")
    except OSError as error:
        if error.errno in _NO_LOCKS:
            raise UserError(
                f"lake {wanted.root}: its file system has no file locks ({error.strerror}); mount "
                "it with them, or choose another --lake"
            ) from error
        raise unwritable_error(wanted.root, error) from error


def _attempt(wanted: LockRequest, path: Path) -> FileLock | LockBusy:
    """Lock the file now, or say who has."""
    descriptor = _open(wanted, path)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_NB | (fcntl.LOCK_SH if wanted.shared else fcntl.LOCK_EX))
        return FileLock(wanted, path, descriptor)
    except BlockingIOError:
        os.close(descriptor)
        return LockBusy(_holders(path))
    except BaseException:
        os.close(descriptor)
        raise


def _open(wanted: LockRequest, path: Path) -> int:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
    except OSError as error:
        if not wanted.shared or error.errno not in _NO_WRITING:
            raise
    # To share a lock asks only for a file that can be read.
    return os.open(path, os.O_RDONLY)


class FileLock:
    """A file that the kernel locks for us, and in it notes that say who we are.

    One who holds it alone writes its note over what is there; those who share it append theirs,
    and again when they have gone. A descriptor's close gives the lock up.
    """

    def __init__(self, wanted: LockRequest, path: Path, descriptor: int) -> None:
        self._wanted = wanted
        self._path = path
        self._descriptor = descriptor
        self._key = secrets.token_hex(8)
        self._note = _line(key=self._key, **wanted.holder()._asdict())
        if not wanted.shared:
            os.ftruncate(descriptor, 0)
            os.write(descriptor, self._note)
            return
        # A full disk, or a lake that we may only read, costs others a name in a message.
        with contextlib.suppress(OSError):
            if os.fstat(descriptor).st_size > _MOST_NOTES:
                os.ftruncate(descriptor, 0)
            os.write(descriptor, self._note)

    @property
    def is_sure(self) -> bool:
        """The kernel gives it to nobody else while this process lives."""
        return True

    def still_held(self) -> None:
        """Make sure that nobody has removed or replaced the file; see `Lock`."""
        if self._wanted.shared:
            return  # the kernel sees to it, and others may have begun the notes anew
        with contextlib.suppress(FileNotFoundError):
            if self._path.read_bytes() == self._note:
                return
        raise UserError(
            f"lake {self._wanted.root}: {_FOLDER / self._path.name} was removed or replaced, so "
            f"another run may be writing {self._wanted.name}; this one stops: run again, nothing "
            "is paid for twice"
        )

    def release(self) -> None:
        """Give it up, and leave no note that names us."""
        with contextlib.suppress(OSError):
            if self._wanted.shared:
                os.write(self._descriptor, _line(gone=self._key))
            else:
                os.ftruncate(self._descriptor, 0)
        os.close(self._descriptor)


def _line(**fields: object) -> bytes:
    return json.dumps(fields).encode() + b"\n"


def _holders(path: Path) -> tuple[LockHolder, ...]:
    """Who holds a file by the notes in it, the latest first; without those known to be dead."""
    holders: dict[str, LockHolder] = {}
    with contextlib.suppress(OSError):
        for line in path.read_bytes().splitlines():
            with contextlib.suppress(ValueError, AttributeError):
                note = json.loads(line)
                holders.pop(note.get("gone"), None)
                if (holder := LockHolder.from_json(line)) is not None:
                    holders[note.get("key")] = holder
    return tuple(holder for holder in reversed(holders.values()) if not holder.is_dead)
