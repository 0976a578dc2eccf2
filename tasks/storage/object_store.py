"""A lake in a bucket of an object store: S3 and what speaks it, Google's, Azure's.

obstore does the talking (`uri.py`); an object appears when it is whole.

While the storage has leases (`lease.py`), what is published goes through a fence: it is
uploaded below ``_staging/uploads/<session>/``, then the leases are renewed, then the store copies
it to its name. Who takes a lease over deletes the uploads of the session that has lost it, after
its own write to the lock and before it does anything else. So a holder that was paused or cut off
cannot commit: its renewal fails if the pause was before it, and its copy finds nothing to copy if
the pause was after it. Azure may end a copy some time after it has answered; there the upload goes
to its name after the renewal, and a pause in the middle of that request is not seen.
"""

from __future__ import annotations

import contextlib
import io
import secrets
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import quote

from article_flows.tasks.common.errors import UserError
from article_flows.tasks.storage.base import StoredFile, unwritable_error
from article_flows.tasks.storage.retries import PATIENCE_S, Retries
from article_flows.tasks.storage.scratch import Scratch, sweep, user_scratch_root
from article_flows.tasks.storage.uri import Address, list_objects, open_store

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer
    from obstore import PutMode, UpdateVersion
    from obstore.store import ObjectStore

UPLOADS = "_staging/uploads"
"""Folder of the lake for what is about to be committed; what is in it is no part of any table."""

_AT_ONCE = 4
"""Requests of one large upload that are under way at once; each is 5 MiB."""

READ_BUFFER_BYTES = 1 << 20
"""Bytes that are read at once at least: a store takes as long for a few as for these."""


class Fence(Protocol):
    """A lease without which nothing may be published."""

    def prove(self) -> None:
        """Make sure that it is ours after all that was done before this call; else UserError."""
        ...


class ObjectStorage:
    """A lake below a prefix of a bucket; see `Storage`.

    Args:
        uri: as `Address` takes it, for instance
            ``s3://bucket/prefix?endpoint_override=localhost:9000&scheme=http``.
        patience_s: seconds for which a failing operation is tried again.

    Attributes:
        session: names the uploads of this storage.
        fences: the leases that this storage has now.

    Raises:
        UserError: the URI is of no store that is supported, has no bucket, or holds a key.
    """

    folder: Path | None = None

    def __init__(self, uri: str, patience_s: float = PATIENCE_S) -> None:
        self.root = uri
        self.session = secrets.token_hex(8)
        self.fences: list[Fence] = []
        self._address = Address.parse(uri)
        self._retries = Retries(uri, patience_s)
        self._store = open_store(self._address)
        self._scratch: Scratch | None = None
        self._lock = threading.Lock()

    @property
    def scratch(self) -> Path:
        """A folder of this machine for files that are about to be published."""
        with self._lock:
            if self._scratch is None:
                try:
                    parent = user_scratch_root()
                    sweep(parent)
                    self._scratch = Scratch(parent)
                except OSError as error:
                    raise unwritable_error(self.root, error) from error
            return self._scratch.folder

    def list(self, folder: str) -> list[StoredFile]:
        """All files below a folder, in order of name."""
        what = f"list {folder}" if folder else "list the lake"
        return self._retries.call(what, lambda: list_objects(self._store, folder))

    def read(self, name: str) -> bytes:
        """A whole small file."""
        return self.read_version(name)[0]

    def read_version(self, name: str) -> tuple[bytes, UpdateVersion]:
        """A whole small file, and which version it is."""

        def read() -> tuple[bytes, UpdateVersion]:
            result = self._store.get(name)
            return bytes(result.bytes()), _version(result.meta)

        return self._retries.call(f"read {name}", read)

    def open(self, name: str) -> Any:
        """A file for reading here and there."""
        return io.BufferedReader(ObjectFile(self._store, name, self._retries), READ_BUFFER_BYTES)

    def write(self, name: str, content: bytes) -> None:
        """Write a small file whole."""
        self._put(name, content)

    def write_version(
        self, name: str, content: bytes, before: UpdateVersion | None
    ) -> UpdateVersion:
        """Replace one version of a small file, or write it where there is none.

        Returns:
            The version that was written.

        Raises:
            Conflict: another version is there, or any at all. Perhaps it is this one: a write that
                is applied and not acknowledged is tried again, and then in its own way.
        """
        mode: PutMode = "create" if before is None else before
        put = self._retries.call(f"write {name}", lambda: self._store.put(name, content, mode=mode))
        return _version(put)

    def publish(self, staged: Path, name: str) -> None:
        """Make a file of scratch a file of the lake.

        Raises:
            UserError: another run has taken over a lease of this storage.
        """
        fences = list(self.fences)
        if not fences or self._address.store == "abfs":
            for fence in fences:
                fence.prove()
            self._put(name, staged)
        else:
            upload = f"{UPLOADS}/{self.session}/{secrets.token_hex(8)}"
            try:
                self._put(upload, staged)
                for fence in fences:
                    fence.prove()
                self._retries.call(f"write {name}", lambda: self._store.copy(upload, name))
            except FileNotFoundError as error:
                raise UserError(
                    f"lake {self.root}: {name} was not committed: another run has taken the lake "
                    "over while this one was paused or cut off; this one stops: run again"
                ) from error
            finally:
                with contextlib.suppress(UserError):
                    self.delete(upload)
        staged.unlink()

    def delete(self, name: str) -> None:
        """Remove a file, if it is there."""
        with contextlib.suppress(FileNotFoundError):
            self._retries.call(f"delete {name}", lambda: self._store.delete(name))

    def location(self, name: str) -> str:
        """How a user names a file or folder of the lake."""
        return self._address.below(quote(name, safe="/="))

    def watch(self, listener: Callable[[bool], None]) -> None:
        """Have a listener told of trouble and of its end."""
        self._retries.watch(listener)

    def _put(self, name: str, content: bytes | Path) -> None:
        def put() -> None:
            try:
                self._store.put(name, content, max_concurrency=_AT_ONCE)
            except FileNotFoundError as error:
                # The end of a large upload that was applied, not acknowledged and tried again.
                raise OSError(str(error)) from error

        self._retries.call(f"write {name}", put)


def _version(of: Any) -> UpdateVersion:
    """What to demand of the next write; obstore takes no version that is None."""
    version: UpdateVersion = {key: of[key] for key in ("e_tag", "version") if of[key]}  # type: ignore[assignment]  # keys of a TypedDict
    return version


class ObjectFile(io.RawIOBase):
    """An object read here and there; each read is a request, so a buffer belongs around it.

    Args:
        store: where it is.
        name: its name there, also for messages.
        retries: of its storage.

    Raises:
        FileNotFoundError: there is no such object (any more), also while reading.
        UserError, StorageUnavailable: as `Retries.call`.
    """

    def __init__(self, store: ObjectStore, name: str, retries: Retries) -> None:
        self._store = store
        self._name = name
        self._retries = retries
        self._position = 0
        self._size = retries.call(f"read {name}", lambda: store.head(name)["size"])

    def readable(self) -> bool:
        """Yes."""
        return True

    def seekable(self) -> bool:
        """Yes."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Have the next read begin somewhere."""
        bases = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}
        self._position = bases[whence] + offset
        return self._position

    def readall(self) -> bytes:
        """All that is left, in one request."""
        return self.read(max(0, self._size - self._position)) or b""

    def readinto(self, buffer: WriteableBuffer) -> int:
        """Fill a buffer, or as much of it as there is for."""
        view = memoryview(buffer)
        start, end = self._position, min(self._position + len(view), self._size)
        if start >= end:
            return 0
        data = self._retries.call(
            f"read {self._name}", lambda: self._store.get_range(self._name, start=start, end=end)
        )
        view[: len(data)] = memoryview(data)
        self._position += len(data)
        return len(data)
