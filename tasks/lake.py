"""The lake: where each table lies, and how a part gets into it whole or not at all.

    <lake>/articles/                        canonical articles, one row an article
    <lake>/rejects/                         source rows that could not be used, with the reason
    <lake>/summaries/<recipe>/<table_id>/   enriched rows; a new table for each recipe hash
    <lake>/failures/<recipe>/<table_id>/    articles without an answer, with the reason
    <lake>/_staging/                        what is not committed; never read as a table

Parts are written under ``_staging`` and renamed into place, so a reader sees a whole part or none.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from tasks.errors import UserError

_URI = re.compile(r"^[a-z][a-z0-9+.-]+://", re.IGNORECASE)
_COMPRESSION = "zstd"
_ROW_GROUP = 500
"""Rows in a row group: the largest batch, so that to read a batch is to read little else."""

_STALE_S = 24 * 3600
"""Seconds without a write after which nobody is at work on a staged file any more."""


def part_name(prefix: str = "part") -> str:
    """A name for a new part: unique, and in the order of time when sorted."""
    now = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%f")
    return f"{prefix}-{now}-{secrets.token_hex(4)}.parquet"


def open_part(path: Path) -> pq.ParquetFile:
    """A committed part, for reading.

    Raises:
        UserError: it is damaged or cannot be read; the message names it.
    """
    try:
        return pq.ParquetFile(path, pre_buffer=False)
    except (pa.ArrowException, OSError) as error:
        reason = " ".join(str(error).split())
        raise UserError(
            f"{path}: the part is damaged ({reason}); put it back from a backup, or remove it "
            "and run again"
        ) from error


class PartWriter:
    """Streams tables of one schema into a part that is not yet visible."""

    def __init__(self, staged: Path, path: Path, schema: pa.Schema) -> None:
        self.path = path
        self.rows = 0
        self._staged = staged
        self._schema = schema
        self._parquet = pq.ParquetWriter(staged, schema, compression=_COMPRESSION)

    def write_table(self, table: pa.Table) -> None:
        """Append a table as one row group; raises ArrowInvalid if its schema is another."""
        table = table.select(self._schema.names).cast(self._schema)
        self._parquet.write_table(table, row_group_size=_ROW_GROUP)
        self.rows += table.num_rows

    def commit(self) -> None:
        """Make the part durable, then visible, under its final name."""
        self._parquet.close()
        with self._staged.open("rb") as staged:
            os.fsync(staged.fileno())
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._staged.replace(self.path)
        _sync_folder(self.path.parent)

    def abandon(self) -> None:
        """Drop what was written."""
        # Closing writes the footer, which fails again where the disk is full; the first error says
        # what is wrong, and the file goes either way.
        with contextlib.suppress(OSError, pa.ArrowException):
            self._parquet.close()
        self._staged.unlink(missing_ok=True)


class Lake:
    """The folders of one lake on a local disk, and the atomic commit of parts into them.

    Raises:
        UserError: the root is a URI of a store that is not supported, is a file, or cannot be
            written.
    """

    def __init__(self, root: str | Path) -> None:
        if _URI.match(str(root)):
            raise UserError(f"lake {root}: only folders on a local disk are supported; give a path")
        self.root = Path(root).expanduser()
        if self.root.exists() and not self.root.is_dir():
            raise UserError(f"lake {root}: is a file; give a folder")
        self.articles = self.root / "articles"
        self.rejects = self.root / "rejects"
        self.summaries = self.root / "summaries"
        self.failures = self.root / "failures"
        self.staging = self.root / "_staging"

    def parts(self, folder: Path) -> list[Path]:
        """The committed parts below a folder of the lake, in order of name."""
        return sorted(folder.rglob("*.parquet")) if folder.is_dir() else []

    def stage(self, *names: str) -> Path:
        """A folder below ``_staging``, made if it is not there."""
        folder = self.staging.joinpath(*names)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise self._unwritable(error) from error
        return folder

    def sweep(self) -> None:
        """Remove what writers that were killed left under ``_staging`` more than a day ago."""
        for staged in self.stage("parts").iterdir():
            with contextlib.suppress(FileNotFoundError):
                if time.time() - staged.stat().st_mtime > _STALE_S:
                    staged.unlink()

    def _unwritable(self, error: OSError) -> UserError:
        return UserError(
            f"lake {self.root}: cannot be written ({error.strerror}); "
            "choose another --lake or mend its permissions"
        )

    @contextmanager
    def part_writer(self, folder: Path, name: str, schema: pa.Schema) -> Iterator[PartWriter]:
        """Write one part in pieces; it is committed at a clean end and dropped on an exception."""
        staged = self.stage("parts") / f"{secrets.token_hex(4)}-{name}"
        writer = PartWriter(staged, folder / name, schema)
        try:
            yield writer
            writer.commit()
        except BaseException:
            writer.abandon()
            raise

    def write_part(self, folder: Path, name: str, table: pa.Table) -> Path:
        """Write one table as one part and commit it; returns its path."""
        with self.part_writer(folder, name, table.schema) as writer:
            writer.write_table(table)
        return writer.path

    def write_file(self, path: Path, content: bytes) -> None:
        """Write a small file (a description, say) atomically."""
        staged = self.stage("parts") / f"{secrets.token_hex(4)}-{path.name}"
        try:
            staged.write_bytes(content)
            path.parent.mkdir(parents=True, exist_ok=True)
            staged.replace(path)
        finally:
            staged.unlink(missing_ok=True)

    @contextmanager
    def locked(self, name: str) -> Iterator[None]:
        """Hold the lake's lock of that name; the kernel frees it when the process dies.

        Raises:
            UserError: another process holds it, or the lake cannot be written.
        """
        path = self.stage("locks") / f"{name}.lock"
        try:
            handle = path.open("a")
        except OSError as error:
            raise self._unwritable(error) from error
        with handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise UserError(
                    f"lake {self.root}: another run is writing {name} now; "
                    "wait for it to end, then run again (nothing is paid for twice)"
                ) from None
            yield


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
