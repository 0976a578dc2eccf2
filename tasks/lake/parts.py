"""Parts: the immutable Parquet files that tables are made of, read and written."""

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
"""Rows in a row group: the largest batch, so that to read a batch is to read little else."""


def part_name(prefix: str = "part") -> str:
    """A name for a new part: unique, and in the order of time when sorted."""
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
        """For reading; raises UserError if it is damaged or cannot be read."""
        return PartFile(self, metadata)

    def rows(self) -> int:
        """The number of its rows, from its footer."""
        with self.open() as file:
            return file.num_rows


class PartFile:
    """An open part. Whatever is wrong with it comes as a UserError that names it.

    Pages and footer have checksums, which are compared with what is read.

    Raises:
        UserError: the part is damaged, or is gone.
    """

    def __init__(self, part: Part, metadata: pq.FileMetaData | None = None) -> None:
        self._part = part
        with self._named():
            self._source = part.storage.open(part.name)
            self._file = pq.ParquetFile(
                self._source,
                metadata=metadata or read_footer(self._source),
                # On an object store a few large reads are faster; a disk needs no second copy.
                pre_buffer=part.storage.folder is None,
                page_checksum_verification=True,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *problem: object) -> None:
        self._source.close()

    @property
    def metadata(self) -> pq.FileMetaData:
        """The footer."""
        return self._file.metadata

    @property
    def num_rows(self) -> int:
        """Rows of the part."""
        return int(self._file.metadata.num_rows)

    @property
    def schema(self) -> pa.Schema:
        """The schema of its rows."""
        return self._file.schema_arrow

    def read(self, columns: Sequence[str] | None = None) -> pa.Table:
        """All rows."""
        with self._named():
            return self._file.read(columns, use_threads=False)

    def read_row_groups(
        self, groups: Sequence[int], columns: Sequence[str] | None = None
    ) -> pa.Table:
        """The rows of some row groups."""
        with self._named():
            return self._file.read_row_groups(groups, columns, use_threads=False)

    def iter_batches(self, rows: int, columns: Sequence[str] | None = None) -> Iterator[Any]:
        """Record batches of so many rows, one after another."""
        with self._named():
            yield from self._file.iter_batches(rows, columns=columns, use_threads=False)

    @contextmanager
    def _named(self) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError as error:
            raise PartMissing(f"{self._part}: is gone; run again") from error
        except (pa.ArrowException, OSError, ValueError) as error:
            if isinstance(error, OSError) and error.errno:
                why = error.strerror or error
                raise UserError(f"{self._part}: cannot be read ({why}); mend that") from error
            reason = " ".join(str(error).split())[:300]
            raise UserError(
                f"{self._part}: the part is damaged ({reason}); put it back from a backup, or "
                "remove it and run again"
            ) from error


class PartMissing(UserError):
    """A part that was listed is no longer there: small parts have been merged meanwhile."""


def group_starts(footer: pq.FileMetaData) -> npt.NDArray[np.int64]:
    """The number of the first row of each row group of a part, and of its rows."""
    sizes = [footer.row_group(i).num_rows for i in range(footer.num_row_groups)]
    return np.concatenate(([0], np.cumsum(sizes, dtype=np.int64)))


def with_columns(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """The columns of a schema in its order; those that a table lacks, as earlier parts do, null."""
    columns = [
        table[each.name] if each.name in table.schema.names else pa.nulls(len(table), each.type)
        for each in schema
    ]
    return pa.table(columns, names=schema.names)


class PartWriter:
    """Streams tables of one schema into a part that is not yet visible.

    Args:
        storage: where the part goes.
        name: of the part, folders of the lake included.
        schema: of its rows.
        row_group: rows in a row group.
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
        """Append a table, columns that it lacks as nulls; raises ArrowInvalid for other types."""
        table = with_columns(table, self._schema).cast(self._schema)
        self._parquet.write_table(table, row_group_size=self._row_group)
        self.rows += table.num_rows

    @property
    def size(self) -> int:
        """Bytes that are on the disk by now."""
        return self._staged.stat().st_size

    def commit(self) -> None:
        """Make the part durable, then visible, under its final name."""
        self._parquet.close()
        append_footer_checksum(self._staged)
        self._storage.publish(self._staged, self.name)

    def abandon(self) -> None:
        """Drop what was written."""
        # Closing writes the footer, which fails again where the disk is full; the first error says
        # what is wrong, and the file goes either way.
        with contextlib.suppress(OSError, pa.ArrowException):
            self._parquet.close()
        self._staged.unlink(missing_ok=True)
