"""Write the articles of a load as parts of a suitable size, in parallel with reading."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager

import pyarrow as pa

from article_flows.tasks.common.article_schema import ARTICLES_SCHEMA
from article_flows.tasks.ingest.load import Load
from article_flows.tasks.lake.parquet_parts import PartWriter

RUN_BYTES = 8 << 20
"""Rows are sorted and written in runs of about this many bytes, which limits memory use."""
RUN_ROWS = 20_000
PART_BYTES = 48 << 20
"""Approximate size of a part on disk, in bytes: large enough not to be merged (below 64 MiB)."""


@contextmanager
def article_writer(load: Load) -> Iterator[ArticleWriter]:
    """Write the articles of a load; when the block ends, all of them are in the lake.

    On an exception the open part is discarded; earlier parts stay.

    Raises:
        UserError: The lake cannot be written.
    """
    with ExitStack() as part, ThreadPoolExecutor(1, "article-parts") as thread:
        writer = ArticleWriter(load, thread, part)
        yield writer
        writer.finish()


class ArticleWriter:
    """A writer of rows with `ARTICLES_SCHEMA`; see `article_writer`.

    Each run is sorted by article_id, so that a lookup of a few ids reads few row groups. A thread
    compresses and writes a run while the next one is collected.
    """

    def __init__(self, load: Load, thread: Executor, part: ExitStack) -> None:
        self._load = load
        self._thread = thread
        self._open_part = part
        self._part: PartWriter | None = None
        self._writing: Future[None] | None = None
        self._batches: list[pa.RecordBatch] = []
        self._rows = self._bytes = 0

    def add(self, rows: pa.RecordBatch) -> None:
        """Collect new rows; write the current run if it is full."""
        if not rows.num_rows:
            return
        if self._rows + rows.num_rows > RUN_ROWS or self._bytes + rows.nbytes > RUN_BYTES:
            self._submit_run()
        self._batches.append(rows)
        self._rows += rows.num_rows
        self._bytes += rows.nbytes

    def finish(self) -> None:
        """Write and commit the remaining rows."""
        self._submit_run()
        self._wait()
        self._commit()

    def _submit_run(self) -> None:
        self._wait()
        if self._batches:
            run = pa.Table.from_batches(self._batches, schema=ARTICLES_SCHEMA)
            self._writing = self._thread.submit(self._write, run)
        self._batches, self._rows, self._bytes = [], 0, 0

    def _wait(self) -> None:
        writing, self._writing = self._writing, None
        if writing is not None:
            writing.result()

    def _write(self, run: pa.Table) -> None:
        lake = self._load.lake
        if self._part is None:
            name = self._load.next_part_name()
            self._part = self._open_part.enter_context(
                lake.part_writer(lake.articles, name, ARTICLES_SCHEMA)
            )
        self._part.write_table(run.sort_by("article_id"))
        if self._part.size >= PART_BYTES:
            self._commit()

    def _commit(self) -> None:
        self._part = None
        self._open_part.pop_all().close()
