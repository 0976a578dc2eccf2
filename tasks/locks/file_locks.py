"""Locks of a lake in a local folder: ``flock`` on a file below ``_staging/locks``.

The kernel releases such a lock when its process dies, however it dies. It excludes other threads as
well as other processes.

**Network file systems.** NFS forwards these locks to its server, so they exclude other machines;
the server releases the locks of a dead machine when it notices. Mounts that keep locks local (NFS
with ``nolock`` or ``local_lock``, most FUSE and some SMB file systems) exclude only runs on the
same machine: there, write a lake from one machine at a time, or use the URI of the underlying
store. If a file system has no locks at all, `lock_file` raises an error.
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
_LOCKS_UNSUPPORTED = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)
_NOT_WRITABLE = (errno.EROFS, errno.EACCES, errno.EPERM)
_MAX_NOTES_BYTES = 64 * 1024
"""Size at which the readers' notes in a lock file are truncated; a note has about 150 bytes."""


def lock_file(request: LockRequest, lake: Path) -> FileLock:
    """Wait for a lock of a lake in a local folder.

    Raises:
        UserError: Another run holds it, the lake cannot be written, or has no file locks.
    """
    path = lake / _FOLDER / f"{request.name}.lock"
    remedy = "a killed run's lock is released at once"
    try:
        return acquire(request, lambda: _attempt(request, path), remedy)
    except OSError as error:
        if error.errno in _LOCKS_UNSUPPORTED:
            raise UserError(
                f"lake {request.root}: its file system has no file locks ({error.strerror}); mount "
                "it with them, or choose another --lake"
            ) from error
        raise unwritable_error(request.root, error) from error


def _attempt(request: LockRequest, path: Path) -> FileLock | LockBusy:
    descriptor = _open(request, path)
    mode = fcntl.LOCK_SH if request.shared else fcntl.LOCK_EX
    try:
        fcntl.flock(descriptor, fcntl.LOCK_NB | mode)
        return FileLock(request, path, descriptor)
    except BlockingIOError:
        os.close(descriptor)
        return LockBusy(_holders(path))
    except BaseException:
        os.close(descriptor)
        raise


def _open(request: LockRequest, path: Path) -> int:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
    except OSError as error:
        if not request.shared or error.errno not in _NOT_WRITABLE:
            raise
    # A shared lock needs only a readable file.
    return os.open(path, os.O_RDONLY)


class FileLock:
    """A locked file, which contains notes that name its holders.

    An exclusive holder replaces the file's content with its note. Shared holders append one note
    when they acquire the lock and one when they release it. Closing the descriptor releases it.
    """

    def __init__(self, request: LockRequest, path: Path, descriptor: int) -> None:
        self._request = request
        self._path = path
        self._descriptor = descriptor
        self._key = secrets.token_hex(8)
        self._note = _line(key=self._key, **request.holder()._asdict())
        if not request.shared:
            os.ftruncate(descriptor, 0)
            os.write(descriptor, self._note)
            return
        # If the disk is full or the file is read-only, messages of other runs just lack our name.
        with contextlib.suppress(OSError):
            if os.fstat(descriptor).st_size > _MAX_NOTES_BYTES:
                os.ftruncate(descriptor, 0)
            os.write(descriptor, self._note)

    @property
    def is_valid(self) -> bool:
        """Always True: the kernel keeps the lock for us while this process lives."""
        return True

    def ensure_held(self) -> None:
        """Raise UserError if the lock file was removed or replaced; see `Lock`."""
        if self._request.shared:
            return  # other readers may have truncated the notes
        with contextlib.suppress(FileNotFoundError):
            if self._path.read_bytes() == self._note:
                return
        raise UserError(
            f"lake {self._request.root}: {_FOLDER / self._path.name} was removed or replaced, so "
            f"another run may be writing {self._request.name}; this run stops: run again, nothing "
            "is paid for twice"
        )

    def release(self) -> None:
        """Release the lock, and withdraw our note."""
        with contextlib.suppress(OSError):
            if self._request.shared:
                os.write(self._descriptor, _line(gone=self._key))
            else:
                os.ftruncate(self._descriptor, 0)
        os.close(self._descriptor)


def _line(**fields: object) -> bytes:
    return json.dumps(fields).encode() + b"\n"


def _holders(path: Path) -> tuple[LockHolder, ...]:
    """Return the holders named in a lock file, the latest first, without dead ones."""
    holders: dict[str, LockHolder] = {}
    with contextlib.suppress(OSError):
        for line in path.read_bytes().splitlines():
            with contextlib.suppress(ValueError, AttributeError):
                note = json.loads(line)
                holders.pop(note.get("gone"), None)
                if (holder := LockHolder.from_json(line)) is not None:
                    holders[note.get("key")] = holder
    return tuple(holder for holder in reversed(holders.values()) if not holder.is_dead)
