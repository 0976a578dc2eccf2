"""Reads CSV files in tests, by blocks and row by row, which must come to the same."""

from dataclasses import dataclass, field
from pathlib import Path
from unittest import mock

from tasks.reading.csv_dialect import Dialect
from tasks.reading.places import LocalPlace
from tasks.reading.readers_base import BATCH_ROWS, ColumnChunk, Record, Reject, Source
from tasks.reading.readers_csv import read_csv


@dataclass
class Table:
    """All that a reader has yielded; `by_block` counts the rows that came as columns."""

    records: list[Record] = field(default_factory=list)
    rows: list[int] = field(default_factory=list)
    rejects: list[Reject] = field(default_factory=list)
    by_block: int = field(default=0, compare=False)
    facts: dict[str, str] = field(default_factory=dict)


def read_table(path: Path, batch_rows: int = BATCH_ROWS, encoding: str = "") -> Table:
    """Read a file to its end."""
    source = Source(LocalPlace(path), path.name, "csv", encoding)
    table = Table(facts=source.facts)
    for chunk in read_csv(source, batch_rows):
        assert 0 < len(chunk) <= batch_rows
        table.records += chunk.head(chunk.num_rows)
        table.rows += map(int, chunk.rows)
        table.rejects += chunk.rejects
        if isinstance(chunk, ColumnChunk):
            table.by_block += chunk.num_rows
    return table


def read_by_rows(path: Path, encoding: str = "") -> Table:
    """Read a file with the row reader alone."""
    with mock.patch.object(Dialect, "is_plain", False):
        return read_table(path, encoding=encoding)


def read_all(path: Path, content: bytes | str, encoding: str = "") -> Table:
    """Write a file and read it both ways."""
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    table = read_table(path, encoding=encoding)
    assert table == read_by_rows(path, encoding)
    return table
