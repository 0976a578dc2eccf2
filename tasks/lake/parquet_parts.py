"""Parts: the immutable Parquet files of a table, and how to read and write them."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from article_flows.tasks.common.errors import UserError
from article_flows.tasks.lake.footer_checksum import append_footer_checksum, read_footer
from article_flows.tasks.storage.base import Storage

_COMPRESSION = "zstd"
ROW_GROUP = 500
"""Rows per row group: the size of the largest batch, so that reading a batch reads little else."""


def part_name(prefix: str = "part") -> str:
    """Return a unique name for a new part; names sort by time of creation."""
    now = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%f")
    return f"{prefix}-{now}-{secrets.token_hex(4)}.parquet"


@dataclass(frozen=True, slots=True)
class Part:
    """A committed part of a lake; ``size`` in bytes."""

    storage: Storage
    name: str
    size: int

    def __str__(self) -> str:
        return self.storage.location(self.name)

    def open(self, metadata: pq.FileMetaData | None = None) -> PartFile:
        """Open the part for reading.

        Args:
            metadata: The part's footer, if it is known; saves reading it.

        Raises:
            UserError: The part is damaged, missing or cannot be read.
        """
        return PartFile(self, metadata)

    def rows(self) -> int:
        """Return the number of rows, from the footer."""
        with self.open() as file:
            return file.num_rows


class PartFile:
    """An open part; every error while reading it is a UserError that names the part.

    The checksums of pages and footer are verified.

    Raises:
        UserError: The part is damaged, missing or cannot be read.
    """

    def __init__(self, part: Part, metadata: pq.FileMetaData | None = None) -> None:
        self._part = part
        with self._errors_named():
            self._source = part.storage.open(part.name)
            self._file = pq.ParquetFile(
                self._source,
                metadata=metadata or read_footer(self._source),
                # Few large reads are faster on an object store; on a disk they only cost memory.
                pre_buffer=part.storage.folder is None,
                page_checksum_verification=True,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._source.close()

    @property
    def metadata(self) -> pq.FileMetaData:
        """The footer."""
        return self._file.metadata

    @property
    def num_rows(self) -> int:
        """The number of rows."""
        return int(self._file.metadata.num_rows)

    @property
    def schema(self) -> pa.Schema:
        """The Arrow schema."""
        return self._file.schema_arrow

    def read(self, columns: Sequence[str] | None = None) -> pa.Table:
        """Read all rows."""
        with self._errors_named():
            return self._file.read(columns, use_threads=False)

    def read_row_groups(
        self, groups: Sequence[int], columns: Sequence[str] | None = None
    ) -> pa.Table:
        """Read the rows of some row groups."""
        with self._errors_named():
            return self._file.read_row_groups(groups, columns, use_threads=False)

    def iter_batches(self, rows: int, columns: Sequence[str] | None = None) -> Iterator[Any]:
        """Read the rows in record batches of at most ``rows`` rows."""
        with self._errors_named():
            yield from self._file.iter_batches(rows, columns=columns, use_threads=False)

    @contextmanager
    def _errors_named(self) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError as error:
            raise PartMissing(f"{self._part}: is gone; run again") from error
        except (pa.ArrowException, OSError, ValueError) as error:
            if isinstance(error, OSError) and error.errno:
                why = error.strerror or error
                raise UserError(
                    f"{self._part}: cannot be read ({why}); fix that, then run again"
                ) from error
            reason = " ".join(str(error).split())[:300]
            raise UserError(
                f"{self._part}: the part is damaged ({reason}); put it back from a backup, or "
                "remove it and run again"
            ) from error


class PartMissing(UserError):
    """A listed part no longer exists, because a merge has replaced it."""


def row_group_starts(footer: pq.FileMetaData) -> npt.NDArray[np.int64]:
    """Return the number of the first row of each row group, followed by the number of rows."""
    sizes = [footer.row_group(i).num_rows for i in range(footer.num_row_groups)]
    return np.concatenate(([0], np.cumsum(sizes, dtype=np.int64)))


def conform_to_schema(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """Return a table with a schema's columns in order; columns that it lacks are null.

    Parts of earlier versions lack columns.
    """
    columns = [
        table[each.name] if each.name in table.schema.names else pa.nulls(len(table), each.type)
        for each in schema
    ]
    return pa.table(columns, names=schema.names)


class PartWriter:
    """A writer of tables to a new part, which is invisible until `commit`.

    Args:
        storage: The lake's storage.
        name: The part's name, including its folder in the lake.
        schema: The part's schema.
        row_group: Rows per row group.

    Attributes:
        rows: The number of rows written so far.
    """

    def __init__(
        self, storage: Storage, name: str, schema: pa.Schema, row_group: int = ROW_GROUP
    ) -> None:
        self.name = name
        self.rows = 0
        self._storage = storage
        self._schema = schema
        self._row_group = row_group
        self._staged = storage.scratch / f"{secrets.token_hex(4)}-{name.rpartition('/')[2]}"
        self._parquet = pq.ParquetWriter(
            self._staged, schema, compression=_COMPRESSION, write_page_checksum=True
        )

    def write_table(self, table: pa.Table) -> None:
        """Append a table; columns that it lacks are null.

        Raises:
            pyarrow.ArrowInvalid: A column cannot be cast to its type in the schema.
        """
        table = conform_to_schema(table, self._schema).cast(self._schema)
        self._parquet.write_table(table, row_group_size=self._row_group)
        self.rows += table.num_rows

    @property
    def size(self) -> int:
        """The number of bytes on disk so far."""
        return self._staged.stat().st_size

    def commit(self) -> None:
        """Finish the part and publish it under its final name, durably."""
        self._parquet.close()
        append_footer_checksum(self._staged)
        self._storage.publish(self._staged, self.name)

    def abort(self) -> None:
        """Discard the part."""
        # Closing writes the footer, which fails again if the disk is full. The first error already
        # says what is wrong, and the file is deleted in any case.
        with contextlib.suppress(OSError, pa.ArrowException):
            self._parquet.close()
        self._staged.unlink(missing_ok=True)
