"""The lake: where each table lies, and how a part gets into it whole or not at all.

    <lake>/articles/                        canonical articles, one row an article
    <lake>/rejects/                         source rows that could not be used, with the reason
    <lake>/summaries/<recipe>/<table_id>/   enriched rows; a new table for each recipe hash
    <lake>/failures/<recipe>/<table_id>/    articles without an answer, with the reason
    <lake>/superseded/                      rows of all of these that are current no longer
    <lake>/_staging/                        what is not committed; never read as a table

The lake may be a folder or a place in an object store (`base.py`). Names of folders and
parts are relative to it.
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

from article_flows.tasks.lake.merge_log import hidden_parts, read_notes
from article_flows.tasks.lake.parts import ROW_GROUP, Part, PartWriter
from article_flows.tasks.locks.lock import locked
from article_flows.tasks.storage import scratch
from article_flows.tasks.storage.base import Storage, unwritable_error
from article_flows.tasks.storage.open import open_storage

STAGING = "_staging"
_FOOTERS = 8
"""Parts whose footer is remembered: the batches under way are of neighbouring parts."""


class Lake:
    """The tables of one lake, and the atomic commit of parts into them.

    Args:
        root: a folder, or a URI such as ``s3://bucket/prefix``.

    Attributes:
        storage: where its files are.
        locked: holds the lake's lock of a name; see `locked`.
        footer: gives that of a part by its name; the last ones are remembered, as a part never
            changes under its name.

    Raises:
        UserError: the URI is of a store that is not supported, or the root is a file.
    """

    articles = "articles"
    rejects = "rejects"
    summaries = "summaries"
    failures = "failures"
    superseded = "superseded"

    def __init__(self, root: str | PathLike[str]) -> None:
        self.storage = open_storage(str(root))
        self.locked = partial(locked, self.storage)
        self.footer = lru_cache(_FOOTERS)(partial(_footer, self.storage))

    def __str__(self) -> str:
        return self.storage.root

    def location(self, name: str) -> str:
        """How a user names a folder or a part of the lake, to pandas say."""
        return self.storage.location(name)

    def parts(self, folder: str) -> list[Part]:
        """The committed parts below a folder of the lake, in order of name."""
        files = [file for file in self.storage.list(folder) if _is_part(file.name)]
        notes = read_notes(self.storage, folder) if files else []
        gone = hidden_parts(notes, {file.name for file in files})
        return [Part(self.storage, *file) for file in files if file.name not in gone]

    def has_articles(self) -> bool:
        """Whether anything was ever loaded."""
        return bool(self.storage.list(self.articles))

    def part(self, name: str) -> Part:
        """A part by its name."""
        return Part(self.storage, name, 0)

    def sweep(self) -> None:
        """Remove the unfinished parts that writers left which were killed."""
        if self.storage.folder is not None:
            scratch.sweep(self.storage.folder / STAGING / "parts")

    @contextmanager
    def part_writer(
        self, folder: str, name: str, schema: pa.Schema, row_group: int = ROW_GROUP
    ) -> Iterator[PartWriter]:
        """Write one part in pieces; it is committed at a clean end and dropped on an exception.

        Raises:
            UserError: the lake cannot be written, or its disk is full.
        """
        try:
            writer = PartWriter(self.storage, f"{folder}/{name}", schema, row_group)
            try:
                yield writer
                writer.commit()
            except BaseException:
                writer.abandon()
                raise
        except OSError as error:
            if not error.errno:
                raise
            where = str(self) if self.storage.folder else tempfile.gettempdir()
            raise unwritable_error(where, error) from error

    def write_part(self, folder: str, name: str, table: pa.Table) -> Part:
        """Write one table as one part and commit it."""
        with self.part_writer(folder, name, table.schema) as writer:
            writer.write_table(table)
        return self.part(writer.name)


def _footer(storage: Storage, name: str) -> pq.FileMetaData:
    with Part(storage, name, 0).open() as file:
        return file.metadata


def _is_part(name: str) -> bool:
    """Whether a file is a part: what begins with _ or a dot is not, to any reader of Parquet."""
    path = PurePosixPath(name)
    return path.suffix == ".parquet" and not any(each[0] in "_." for each in path.parts)
