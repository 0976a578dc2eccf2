"""The table `<lake>/rejects/`: rows that are not articles, each with the reason."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from hashlib import blake2b

import pyarrow as pa

from article_flows.tasks.lake.lake import Lake
from article_flows.tasks.lake.parquet_parts import PartWriter, part_name
from article_flows.tasks.lake.sorted_keys import KeySet
from article_flows.tasks.reading.base.rows import Reject

REJECTS_SCHEMA = pa.schema(
    [
        ("source", pa.string()),
        ("row", pa.int64()),
        ("reason", pa.string()),
        ("raw", pa.string()),
        ("rejected_at", pa.timestamp("us", tz="UTC")),
    ]
)
"""The schema of every part of `<lake>/rejects/`."""

_BATCH_ROWS = 2_000


class KnownRejects:
    """The rejects in a lake, so that a repeated load does not list the same rows again.

    They are read on first use and take 16 bytes of memory each. Thread-safe.
    """

    def __init__(self, lake: Lake) -> None:
        self._lake = lake
        self._keys: KeySet | None = None
        self._lock = threading.Lock()

    def new_among(self, source: str, rejects: list[Reject]) -> list[Reject]:
        """Add rejects of a source; return those that were not known."""
        with self._lock:
            if self._keys is None:
                self._keys = _read_keys(self._lake)
        new = self._keys.add_many(
            [_key(source, each.row, each.reason, each.raw) for each in rejects]
        )
        return [each for each, is_new in zip(rejects, new, strict=True) if is_new]


@contextmanager
def reject_writer(lake: Lake, known: KnownRejects) -> Iterator[RejectWriter]:
    """Write rejects to one part, which appears in the lake when the block ends without an error."""
    with ExitStack() as part:
        yield RejectWriter(lake, known, part)


class RejectWriter:
    """A writer of rejects; see `reject_writer`."""

    def __init__(self, lake: Lake, known: KnownRejects, part: ExitStack) -> None:
        self._lake = lake
        self._known = known
        self._open_part = part
        self._writer: PartWriter | None = None

    def add(self, source: str, rejects: list[Reject]) -> None:
        """Write the rejects of a source that are not in the lake."""
        new = self._known.new_among(source, rejects) if rejects else []
        if not new:
            return
        if self._writer is None:
            self._writer = self._open_part.enter_context(
                self._lake.part_writer(self._lake.rejects, part_name("part"), REJECTS_SCHEMA)
            )
        self._writer.write_table(_table(source, new))


def _key(source: str, row: int, reason: str, raw: str) -> bytes:
    return blake2b(f"{source}\0{row}\0{reason}\0{raw}".encode(), digest_size=16).digest()


def _table(source: str, rejects: list[Reject]) -> pa.Table:
    now = datetime.now(UTC)
    return pa.table(
        [
            [source] * len(rejects),
            [each.row for each in rejects],
            [each.reason for each in rejects],
            [each.raw for each in rejects],
            [now] * len(rejects),
        ],
        schema=REJECTS_SCHEMA,
    )


def _read_keys(lake: Lake) -> KeySet:
    known, names = KeySet(), ["source", "row", "reason", "raw"]
    for part in lake.parts(lake.rejects):
        with part.open() as file:
            for batch in file.iter_batches(_BATCH_ROWS, names):
                known.update(map(_key, *(batch[name].to_pylist() for name in names)))
    return known
