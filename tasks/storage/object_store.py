"""`ObjectStorage`: a lake in an S3, S3-compatible, Google Cloud Storage or Azure Blob bucket.

Requests go through obstore (`uri.py`). An object becomes visible only when it is complete.

**Fencing.** While a run holds leases (`lease.py`), `ObjectStorage.publish` takes three steps:
upload the file below ``_staging/uploads/<session>/``, renew the leases, then let the store copy the
upload to its final name. A run that takes over a lease deletes the uploads of the session that lost
it, after its own write to the lock object and before anything else. A holder that was paused or
disconnected therefore cannot commit: if the pause came before the renewal, the renewal fails; if it
came after, the copy finds no upload. Azure may complete a copy after it has responded; there, the
file is uploaded directly to its final name after the renewal, and a pause during that one request
goes unnoticed.
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
from article_flows.tasks.common.raw_files import RawReadOnlyFile
from article_flows.tasks.storage.base import StoredFile, unwritable_error
from article_flows.tasks.storage.retries import RETRY_TIMEOUT_S, Retries
from article_flows.tasks.storage.scratch import Scratch, sweep, user_scratch_root
from article_flows.tasks.storage.uri import Address, list_objects, open_store

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer
    from obstore import PutMode, UpdateVersion
    from obstore.store import ObjectStore

UPLOADS = "_staging/uploads"
"""The lake's folder for uploads that are not committed yet; never part of a table."""

_UPLOAD_CONCURRENCY = 4
"""Concurrent requests of one large upload, 5 MiB each."""

READ_BUFFER_BYTES = 1 << 20
"""Least bytes to read at once: a store needs about as long for a few bytes as for these."""


class Fence(Protocol):
    """A lease that must still be held for a file to be published."""

    def confirm(self) -> None:
        """Confirm that the lease was still held when this was called; raise UserError if not."""
        ...


class ObjectStorage:
    """A lake below a prefix of a bucket; see `Storage`.

    Args:
        uri: The lake's URI (see `Address`), for instance
            ``s3://bucket/prefix?endpoint_override=localhost:9000&scheme=http``.
        retry_timeout_s: How long to retry a failing operation, in seconds.

    Attributes:
        session: The unique name of this storage's folder of uploads.
        fences: The exclusive leases currently held through this storage.

    Raises:
        UserError: The store is not supported, or the URI has no bucket or contains a key.
    """

    folder: Path | None = None

    def __init__(self, uri: str, retry_timeout_s: float = RETRY_TIMEOUT_S) -> None:
        self.root = uri
        self.session = secrets.token_hex(8)
        self.fences: list[Fence] = []
        self._address = Address.parse(uri)
        self._retries = Retries(uri, retry_timeout_s)
        self._store = open_store(self._address)
        self._scratch: Scratch | None = None
        self._lock = threading.Lock()

    @property
    def scratch(self) -> Path:
        """A local folder for files that are being prepared for `publish`."""
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
        """Return all files below a folder, sorted by name."""
        action = f"list {folder}" if folder else "list the lake"
        return self._retries.call(action, lambda: list_objects(self._store, folder))

    def read(self, name: str) -> bytes:
        """Return the content of a small file."""
        return self.read_version(name)[0]

    def read_version(self, name: str) -> tuple[bytes, UpdateVersion]:
        """Return the content of a small file and its version."""

        def read() -> tuple[bytes, UpdateVersion]:
            result = self._store.get(name)
            return bytes(result.bytes()), _version(result.meta)

        return self._retries.call(f"read {name}", read)

    def open(self, name: str) -> Any:
        """Open a file for random access, with a read buffer."""
        return io.BufferedReader(ObjectFile(self._store, name, self._retries), READ_BUFFER_BYTES)

    def write(self, name: str, content: bytes) -> None:
        """Write a small file atomically."""
        self._put(name, content)

    def write_version(
        self, name: str, content: bytes, expected: UpdateVersion | None
    ) -> UpdateVersion:
        """Write a small file if its version is the expected one (compare-and-swap).

        Args:
            name: The file.
            content: Its new content.
            expected: The version to replace, or None if the file must not exist yet.

        Returns:
            The version that was written.

        Raises:
            WriteConflict: The file has another version, or exists although it must not. The
                conflicting version may be our own: a write that was applied but not acknowledged
                is retried, and then conflicts with itself.
        """
        mode: PutMode = "create" if expected is None else expected
        put = self._retries.call(f"write {name}", lambda: self._store.put(name, content, mode=mode))
        return _version(put)

    def publish(self, staged: Path, name: str) -> None:
        """Move a file from ``scratch`` into the lake, fenced by the leases that are held.

        Raises:
            UserError: Another run has taken over one of the leases.
        """
        fences = list(self.fences)
        if not fences or self._address.store == "abfs":
            for fence in fences:
                fence.confirm()
            self._put(name, staged)
        else:
            upload = f"{UPLOADS}/{self.session}/{secrets.token_hex(8)}"
            try:
                self._put(upload, staged)
                for fence in fences:
                    fence.confirm()
                self._retries.call(f"write {name}", lambda: self._store.copy(upload, name))
            except FileNotFoundError as error:
                raise UserError(
                    f"lake {self.root}: {name} was not committed: another run has taken over the "
                    "lake while this one was paused or disconnected; this run stops: run again"
                ) from error
            finally:
                with contextlib.suppress(UserError):
                    self.delete(upload)
        staged.unlink()

    def delete(self, name: str) -> None:
        """Delete a file, if it exists."""
        with contextlib.suppress(FileNotFoundError):
            self._retries.call(f"delete {name}", lambda: self._store.delete(name))

    def location(self, name: str) -> str:
        """Return the URI of a file or folder."""
        return self._address.child_uri(quote(name, safe="/="))

    def watch(self, listener: Callable[[bool], None]) -> None:
        """Call a listener with True when the store stops responding, and with False after."""
        self._retries.watch(listener)

    def _put(self, name: str, content: bytes | Path) -> None:
        def put() -> None:
            try:
                self._store.put(name, content, max_concurrency=_UPLOAD_CONCURRENCY)
            except FileNotFoundError as error:
                # The last request of a large upload was applied but not acknowledged, so its retry
                # finds the upload gone. As an OSError, it makes `Retries` start over.
                raise OSError(str(error)) from error

        self._retries.call(f"write {name}", put)


def _version(result: Any) -> UpdateVersion:
    """Return the condition for the next write; obstore rejects fields that are None."""
    version: UpdateVersion = {key: result[key] for key in ("e_tag", "version") if result[key]}  # type: ignore[assignment]  # keys of a TypedDict
    return version


class ObjectFile(RawReadOnlyFile):
    """A seekable, unbuffered reader of one object: every read is a request, so wrap it in a buffer.

    Args:
        store: The object's store.
        name: The object's name, also for messages.
        retries: The retry policy of the storage.

    Raises:
        FileNotFoundError: The object does not exist; also raised by reads, if it was deleted.
        UserError, StorageUnavailable: See `Retries.call`.
    """

    def __init__(self, store: ObjectStore, name: str, retries: Retries) -> None:
        super().__init__(retries.call(f"read {name}", lambda: store.head(name)["size"]))
        self._store = store
        self._name = name
        self._retries = retries

    def readall(self) -> bytes:
        """Return the rest of the object, in one request."""
        return self.read(max(0, self._size - self._position)) or b""

    def readinto(self, buffer: WriteableBuffer) -> int:
        """Read into a buffer; return the number of bytes read, 0 at the end."""
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
