"""The rows that a source's columns are mapped by, whatever sizes its first chunks have."""

from __future__ import annotations

from collections.abc import Generator, Iterator

from tasks.errors import UserError
from tasks.reading.readers_base import BATCH_ROWS, Chunk, Record

_MOST_CHUNKS = 4


def sampled(
    chunks: Iterator[Chunk], rows: int = BATCH_ROWS
) -> tuple[list[Record], Generator[Chunk, None, None]]:
    """Read ahead until there are enough rows to tell what the columns are.

    A reader's first chunk may be a few rows, which could be all alike by chance.

    Returns:
        The first rows, up to so many, and all chunks from the first on; a UserError on the way
        is raised by the chunks, in its place. At most a few chunks are held.
    """
    held: list[Chunk] = []
    failed: UserError | None = None
    count = 0
    while count < rows and sum(bool(chunk.num_rows) for chunk in held) < _MOST_CHUNKS:
        try:
            chunk = next(chunks, None)
        except UserError as error:
            failed = error
            break
        if chunk is None:
            break
        held.append(chunk)
        count += chunk.num_rows
    records: list[Record] = []
    for chunk in held:
        records += chunk.head(rows - len(records))
    return records, _from_the_first(held, failed, chunks)


def _from_the_first(
    held: list[Chunk], failed: UserError | None, chunks: Iterator[Chunk]
) -> Generator[Chunk, None, None]:
    held.reverse()
    while held:
        yield held.pop()
    if failed is not None:
        raise failed
    yield from chunks
