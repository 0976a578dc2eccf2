"""Reads CSV files in tests."""

from dataclasses import dataclass, field
from pathlib import Path

from article_flows.tasks.reading.base.byte_source import LocalFile
from article_flows.tasks.reading.base.rows import BATCH_ROWS, Record, Reject, Source
from article_flows.tasks.reading.formats.csv.reader import read_csv


@dataclass
class Table:
    """Everything that a reader has yielded."""

    records: list[Record] = field(default_factory=list)
    rows: list[int] = field(default_factory=list)
    rejects: list[Reject] = field(default_factory=list)
    facts: dict[str, str] = field(default_factory=dict)


def read_table(path: Path, batch_rows: int = BATCH_ROWS, encoding: str = "") -> Table:
    """Read a file to its end."""
    source = Source(LocalFile(path), path.name, "csv", encoding)
    table = Table(facts=source.facts)
    for chunk in read_csv(source, batch_rows):
        assert 0 < len(chunk) <= batch_rows
        table.records += chunk.head(chunk.num_rows)
        table.rows += map(int, chunk.rows)
        table.rejects += chunk.rejects
    return table


def read_all(path: Path, content: bytes | str, encoding: str = "") -> Table:
    """Write a file and read it."""
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return read_table(path, encoding=encoding)
