"""Compute row keys from Arrow columns, a batch of rows at a time.

A row's key identifies its id and content, in 16 bytes. Callers compare keys to find rows that are
known, changed or missing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from article_flows.tasks.common.errors import UserError
from article_flows.tasks.lake.parquet_parts import Part
from article_flows.tasks.lake.sorted_keys import (
    KEY_BYTES,
    Keys,
    UInt64Array,
    keys_of_buffer,
    keys_of_bytes,
    membership,
)

KEY_BATCH_ROWS = 8_192
"""Rows per key batch: enough for NumPy to be fast, in about 1 MB."""

_HASH = re.compile(f"[0-9a-fA-F]{{{2 * KEY_BYTES}}}")


class KeyBatch(NamedTuple):
    """The keys of consecutive rows of a part.

    Attributes:
        first: The number of the first row in the part.
        texts: The `text_keys` of the rows.
        tags: The `id_tags` of the rows.
        columns: The columns that were read, in Arrow.
    """

    first: int
    texts: Keys
    tags: UInt64Array
    columns: pa.RecordBatch

    @property
    def keys(self) -> Keys:
        """The `row_keys` of the rows."""
        return row_keys(self.texts, self.tags)


def read_key_batches(
    part: Part, more_columns: Sequence[str] = (), rows: int = KEY_BATCH_ROWS
) -> Iterator[KeyBatch]:
    """Read a part in batches.

    Args:
        more_columns: Columns to read in addition to ``article_id`` and ``content_hash``.
        rows: Rows per batch.

    Raises:
        UserError: The part cannot be read, or contains an invalid content hash.
    """
    first = 0
    columns = ["article_id", "content_hash", *more_columns]
    with part.open() as file:
        for batch in file.iter_batches(rows, columns):
            try:
                texts = text_keys(batch["content_hash"])
            except ValueError as error:
                raise UserError(
                    f"{part}: {error}; put the part back from a backup, or remove it and run again"
                ) from error
            yield KeyBatch(first, texts, id_tags(batch["article_id"]), batch)
            first += batch.num_rows


def read_parts(parts: Iterable[Part], more_columns: Sequence[str] = ()) -> Iterator[KeyBatch]:
    """Read several parts in batches; see `read_key_batches`."""
    for part in parts:
        yield from read_key_batches(part, more_columns)


def keys_of(rows: pa.RecordBatch | pa.Table) -> Keys:
    """Return the keys of rows that have ``article_id`` and ``content_hash``."""
    return row_keys(text_keys(rows["content_hash"]), id_tags(rows["article_id"]))


def text_keys(hashes: pa.Array | pa.ChunkedArray) -> Keys:
    """Return content hashes as keys.

    Raises:
        ValueError: A hash is not 32 hex digits.

    Example:
        >>> text_keys(pa.array(["00000000000000010000000000000002"]))
        Keys(high=array([1], dtype=uint64), low=array([2], dtype=uint64))
    """
    texts = hashes.to_pylist()
    try:
        content = bytes.fromhex("".join(texts))
    except (TypeError, ValueError):
        content = b""  # a hash is null or not hexadecimal
    # Lengths are checked one by one, since fromhex skips white space.
    if len(content) != KEY_BYTES * len(texts) or any(len(text) != 2 * KEY_BYTES for text in texts):
        bad = next(text for text in texts if text is None or not _HASH.fullmatch(text))
        raise ValueError(f"content_hash {bad} is not {2 * KEY_BYTES} hex digits")
    return keys_of_buffer(content)


def row_keys(texts: Keys, tags: UInt64Array) -> Keys:
    """Return the keys of rows (id and content) from `text_keys` and `id_tags`."""
    return Keys(texts.high ^ tags, texts.low)


def id_tags(ids: pa.Array | pa.ChunkedArray) -> UInt64Array:
    """Return a 64-bit hash of each id, valid in this process only; null counts as an empty id.

    This is Python's own hash (SipHash) with its per-process secret, so colliding ids cannot be
    constructed as long as ``PYTHONHASHSEED`` is not set.
    """
    tags = np.array([hash(each or "") for each in ids.to_pylist()], np.int64)
    return tags.view(np.uint64)


def texts_among(keys: Iterable[Keys], texts: Iterable[str]) -> set[str]:
    """Return the content hashes in ``texts`` that occur in ``keys``."""
    hashes = list(texts)
    found = membership(keys, keys_of_bytes([bytes.fromhex(each) for each in hashes]))
    return {each for each, is_present in zip(hashes, found, strict=True) if is_present}
