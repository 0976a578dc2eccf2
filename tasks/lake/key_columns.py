"""Keys from Arrow columns: a whole stretch of a part at once."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from article_flows.tasks.common.errors import UserError
from article_flows.tasks.lake.parts import Part
from article_flows.tasks.lake.sorted_keys import (
    KEY_BYTES,
    Keys,
    Words,
    found_in,
    keys_of_buffer,
    keys_of_bytes,
)

KEY_BATCH_ROWS = 8_192
"""Rows that are looked at together: enough for NumPy, and about a MB."""

_HASH = re.compile(f"[0-9a-fA-F]{{{2 * KEY_BYTES}}}")


class KeyBatch(NamedTuple):
    """Some rows of a part: the first one's number, keys of their texts, tags of their ids.

    ``columns`` holds the columns that were read, in Arrow.
    """

    first: int
    texts: Keys
    tags: Words
    columns: pa.RecordBatch

    @property
    def keys(self) -> Keys:
        """Identities of the rows."""
        return row_keys(self.texts, self.tags)


def read_key_batches(
    part: Part, more_columns: Sequence[str] = (), rows: int = KEY_BATCH_ROWS
) -> Iterator[KeyBatch]:
    """Read article_id, content_hash and other columns of a part, some rows at a time.

    Raises:
        UserError: the part cannot be read, or a content hash is none.
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
    """Read many parts, one after another; see `read_key_batches`."""
    for part in parts:
        yield from read_key_batches(part, more_columns)


def keys_of(rows: pa.RecordBatch | pa.Table) -> Keys:
    """The identities (id and content) of rows."""
    return row_keys(text_keys(rows["content_hash"]), id_tags(rows["article_id"]))


def text_keys(hashes: pa.Array | pa.ChunkedArray) -> Keys:
    """Content hashes (32 hex digits each) as keys; raises ValueError if one is something else."""
    texts = hashes.to_pylist()
    try:
        content = bytes.fromhex("".join(texts))
    except (TypeError, ValueError):
        content = b""  # one is null, or no hex
    # White space is passed over by fromhex.
    if len(content) != KEY_BYTES * len(texts) or any(len(text) != 2 * KEY_BYTES for text in texts):
        bad = next(text for text in texts if text is None or not _HASH.fullmatch(text))
        raise ValueError(f"content_hash {bad} is not {2 * KEY_BYTES} hex digits")
    return keys_of_buffer(content)


def row_keys(texts: Keys, tags: Words) -> Keys:
    """Identities of rows (id and content) from their texts' keys and their ids' tags."""
    return Keys(texts.high ^ tags, texts.low)


def id_tags(ids: pa.Array | pa.ChunkedArray) -> Words:
    """A 64-bit hash of each id, good for this process only; a null is an empty id.

    Python's own (SipHash), which takes a secret of the process: nobody can make up ids whose tags
    are equal, as long as ``PYTHONHASHSEED`` is not set.
    """
    tags = np.array([hash(each or "") for each in ids.to_pylist()], np.int64)
    return tags.view(np.uint64)


def texts_among(keys: Iterable[Keys], texts: Iterable[str]) -> set[str]:
    """Return those of some content hashes whose keys are among many others."""
    wanted = list(texts)
    found = found_in(keys, keys_of_bytes([bytes.fromhex(text) for text in wanted]))
    return {text for text, is_there in zip(wanted, found, strict=True) if is_there}
