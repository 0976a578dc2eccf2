"""A lake in a bucket of an object store: S3 and what speaks it, Google's, Azure's.

Arrow's file systems do the talking (`tasks.object_address`). An object of one request appears when
it is whole. A larger one takes several, and Arrow ends an upload that fails midway as if it were
whole: so it is uploaded below ``_staging/uploads/``, and copied by the store once it is complete.
"""

from __future__ import annotations

import contextlib
import secrets
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pyarrow as pa
import pyarrow.fs as pafs

from tasks.errors import UserError
from tasks.object_address import Address, open_file_system
from tasks.object_file import RetriedFile
from tasks.scratch import Scratch, sweep, temporary_parent
from tasks.storage import StoredFile, unwritable
from tasks.storage_retry import PATIENCE_S, Retries

UPLOADS = "_staging/uploads"
"""Folder of the lake for uploads of several requests; what is in it is no part of any table."""

_ABANDONED = timedelta(days=1)
"""Age of an upload whose writer is dead for certain: none takes so long to copy a whole one."""


class ObjectStorage:
    """A lake below a prefix of a bucket; see `tasks.storage.Storage`.

    Args:
        uri: as `tasks.object_address.Address` takes it, for instance
            ``s3://bucket/prefix?endpoint_override=localhost:9000&scheme=http``.
        patience_s: seconds for which a failing operation is tried again.

    Raises:
        UserError: the URI is of no store that is supported, has no bucket, or holds a key.
    """

    folder: Path | None = None

    def __init__(self, uri: str, patience_s: float = PATIENCE_S) -> None:
        self.root = uri
        self._address = Address.parse(uri)
        self._retries = Retries(uri, patience_s)
        self._fs, self._base = open_file_system(self._address)
        self._scratch: Scratch | None = None
        self._lock = threading.Lock()
        self._bucket_seen = self._uploads_swept = False

    @property
    def scratch(self) -> Path:
        """A folder of this machine for files that are about to be published."""
        with self._lock:
            if self._scratch is None:
                try:
                    parent = temporary_parent()
                    sweep(parent)
                    self._scratch = Scratch(parent)
                except OSError as error:
                    raise unwritable(self.root, error) from error
            return self._scratch.folder

    def list(self, folder: str) -> list[StoredFile]:
        """All files below a folder, in order of name."""
        selector = pafs.FileSelector(self._path(folder), allow_not_found=True, recursive=True)
        what = f"list {folder}" if folder else "list the lake"
        infos = self._retries.call(what, lambda: self._fs.get_file_info(selector))
        if not infos:
            self._see_bucket()
        start = len(self._base) + 1
        return sorted(
            StoredFile(info.path[start:], info.size)
            for info in infos
            if info.type == pafs.FileType.File
        )

    def read(self, name: str) -> bytes:
        """A whole small file."""
        path = self._path(name)
        while True:
            before, content = self._retries.call(f"read {name}", lambda: self._read(path))
            after, _ = self._retries.call(f"read {name}", lambda: self._read(path, 0))
            # Arrow asks for the size, then for so many bytes. If the file is replaced in between,
            # it gives the beginning of a longer one, and a shorter one with rubbish behind it.
            if before == after:
                return content

    def open(self, name: str) -> Any:
        """A file for reading here and there."""
        path = self._path(name)
        return RetriedFile(name, lambda: self._fs.open_input_file(path), self._retries)

    def write(self, name: str, content: bytes) -> None:
        """Write a small file whole."""
        self._store(name, pa.py_buffer(content))

    def publish(self, staged: Path, name: str) -> None:
        """Make a file of scratch a file of the lake."""
        with pa.memory_map(str(staged)) as file:
            self._store(name, file.read_buffer())
        staged.unlink()

    def delete(self, name: str) -> None:
        """Remove a file, if it is there."""
        with contextlib.suppress(FileNotFoundError):
            self._retries.call(f"delete {name}", lambda: self._fs.delete_file(self._path(name)))

    def location(self, name: str) -> str:
        """How a user names a file or folder of the lake."""
        return self._address.below(quote(name, safe="/="))

    def watch(self, listener: Callable[[bool], None]) -> None:
        """Have a listener told of trouble and of its end."""
        self._retries.watch(listener)

    def _path(self, name: str) -> str:
        return f"{self._base}/{name}" if name else self._base

    def _read(self, path: str, count: int | None = None) -> tuple[Any, bytes]:
        """Which version of an object is there, and its content."""
        with self._fs.open_input_file(path) as file:
            size = file.size()
            return (size, file.metadata()), file.read(size if count is None else count)

    def _store(self, name: str, content: pa.Buffer) -> None:
        what, path = f"write {name}", self._path(name)
        if content.size <= self._address.one_request:
            self._retries.call(what, lambda: self._upload(path, content))
            return
        complete = self._retries.call(what, lambda: self._upload_aside(content))
        try:
            self._retries.call(what, lambda: self._fs.copy_file(complete, path))
        finally:
            self._sweep_uploads(complete)

    def _upload(self, path: str, content: pa.Buffer) -> None:
        def whole() -> None:
            with self._fs.open_output_stream(path) as stream:
                stream.write(content)

        # Exceptions of signals come in other threads only. One that came after the stream is open
        # and before it is written to would leave an empty object: Arrow closes what is dropped.
        with ThreadPoolExecutor(1) as pool:
            pool.submit(whole).result()

    def _upload_aside(self, content: pa.Buffer) -> str:
        # A new name for each attempt: what one that failed may still leave is never copied.
        path = self._path(f"{UPLOADS}/{secrets.token_hex(8)}")
        try:
            self._upload(path, content)
        except BaseException:
            self._forget(path)
            raise
        return path

    def _sweep_uploads(self, complete: str) -> None:
        """Remove an upload that was copied; once, also those of writers that were killed."""
        if not self._uploads_swept:
            self._uploads_swept = True
            uploads = pafs.FileSelector(self._path(UPLOADS), allow_not_found=True)
            with contextlib.suppress(OSError):
                # The store's own clock, which none of this machine's is compared with.
                now = self._fs.get_file_info(complete).mtime
                for info in self._fs.get_file_info(uploads):
                    if info.type == pafs.FileType.File and now - info.mtime > _ABANDONED:
                        self._forget(info.path)
        self._forget(complete)

    def _forget(self, path: str) -> None:
        with contextlib.suppress(OSError):
            self._fs.delete_file(path)

    def _see_bucket(self) -> None:
        """Tell a lake that is empty from a bucket that does not exist: Arrow lists either."""
        if self._bucket_seen or not self._address.is_s3:
            return
        bucket = self._address.bucket
        info = self._retries.call(f"find {bucket}", lambda: self._fs.get_file_info(bucket))
        if info.type == pafs.FileType.NotFound:
            raise UserError(
                f"lake {self.root}: there is no bucket {bucket}; make it, or mend the address"
            )
        self._bucket_seen = True
