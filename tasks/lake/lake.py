"""`Lake`: the tables of a lake, and the atomic commit of parts into them.

    <lake>/articles/                        canonical articles, one row per article
    <lake>/rejects/                         source rows that could not be used, with the reason
    <lake>/summaries/<recipe>/<table_id>/   enriched rows; a new table for each recipe hash
    <lake>/failures/<recipe>/<table_id>/    articles without an answer, with the reason
    <lake>/superseded/                      rows removed from any of these tables
    <lake>/_staging/                        uncommitted files; never read as a table

A lake is a local folder or a prefix in an object store. Names of folders and parts are relative to
it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache, partial
from os import PathLike
from pathlib import PurePosixPath

import pyarrow as pa
import pyarrow.parquet as pq

from article_flows.tasks.lake.merge_log import hidden_parts, read_merge_notes
from article_flows.tasks.lake.parquet_parts import ROW_GROUP, Part, PartWriter
from article_flows.tasks.locks.lock import locked
from article_flows.tasks.storage import scratch
from article_flows.tasks.storage.base import Storage, unwritable_error
from article_flows.tasks.storage.open import open_storage

STAGING = "_staging"
_CACHED_FOOTERS = 8
"""Number of part footers to cache: concurrent batches belong to neighboring parts."""


class Lake:
    """The tables of one lake, and the atomic commit of parts into them.

    Args:
        root: A folder, or a URI such as ``s3://bucket/prefix``.

    Attributes:
        storage: The storage of its files.
        locked: Holds a named lock of the lake; see `locked`.
        footer: Returns the footer of a part by its name, cached, since parts never change.

    Raises:
        UserError: The store is not supported, or the root is a file.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     lake = Lake(folder)
        ...     part = lake.write_part("articles", "a.parquet", pa.table({"id": ["x", "y"]}))
        ...     part.rows(), [part.name for part in lake.parts("articles")]
        (2, ['articles/a.parquet'])
    """

    articles = "articles"
    rejects = "rejects"
    summaries = "summaries"
    failures = "failures"
    superseded = "superseded"

    def __init__(self, root: str | PathLike[str]) -> None:
        self.storage = open_storage(str(root))
        self.locked = partial(locked, self.storage)
        self.footer = lru_cache(_CACHED_FOOTERS)(partial(_read_footer, self.storage))

    def __str__(self) -> str:
        return self.storage.root

    def location(self, name: str) -> str:
        """Return the path or URI by which pandas or pyarrow can open a folder or part."""
        return self.storage.location(name)

    def parts(self, folder: str) -> list[Part]:
        """Return the committed parts below a folder, sorted by name."""
        files = [file for file in self.storage.list(folder) if _is_part(file.name)]
        notes = read_merge_notes(self.storage, folder) if files else []
        hidden = hidden_parts(notes, {file.name for file in files})
        return [Part(self.storage, *file) for file in files if file.name not in hidden]

    def has_articles(self) -> bool:
        """Return whether any article was ever loaded."""
        return bool(self.storage.list(self.articles))

    def part(self, name: str) -> Part:
        """Return a part by its name, without checking that it exists; its ``size`` is 0."""
        return Part(self.storage, name, 0)

    def sweep(self) -> None:
        """Delete the unfinished parts of killed processes."""
        if self.storage.folder is not None:
            scratch.sweep(self.storage.folder / STAGING / "parts")

    @contextmanager
    def part_writer(
        self, folder: str, name: str, schema: pa.Schema, row_group: int = ROW_GROUP
    ) -> Iterator[PartWriter]:
        """Write a part in pieces; commit it at the end, or discard it on an exception.

        Args:
            folder: The table's folder in the lake.
            name: The part's file name; see `part_name`.
            schema: The schema of the part.
            row_group: Rows per row group.

        Raises:
            UserError: The lake cannot be written, or its disk is full.
        """
        try:
            writer = PartWriter(self.storage, f"{folder}/{name}", schema, row_group)
            try:
                yield writer
                writer.commit()
            except BaseException:
                writer.abort()
                raise
        except OSError as error:
            if not error.errno:
                raise
            # For an object store, the part is prepared in the temporary directory.
            root = str(self) if self.storage.folder else tempfile.gettempdir()
            raise unwritable_error(root, error) from error

    def write_part(self, folder: str, name: str, table: pa.Table) -> Part:
        """Write a table as one part, commit it, and return it."""
        with self.part_writer(folder, name, table.schema) as writer:
            writer.write_table(table)
        return self.part(writer.name)


def _read_footer(storage: Storage, name: str) -> pq.FileMetaData:
    with Part(storage, name, 0).open() as file:
        return file.metadata


def _is_part(name: str) -> bool:
    """Return whether a file is a part; Parquet readers ignore names that start with _ or a dot."""
    path = PurePosixPath(name)
    return path.suffix == ".parquet" and not any(each[0] in "_." for each in path.parts)
