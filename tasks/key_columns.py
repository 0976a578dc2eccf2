"""Keys from Arrow columns: a whole stretch of a part at once, without a Python object a row."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from hashlib import blake2b
from secrets import randbits
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tasks.errors import UserError
from tasks.parts import Part
from tasks.sorted_keys import Keys, Words

STRETCH_ROWS = 8_192
"""Rows that are looked at together: enough for NumPy, and about a MB."""

_HASH_DIGITS = 32
_LONG_ID = 256
"""Bytes from which on ids are hashed one by one."""

_SEED = np.uint64(randbits(64))
"""Of this process alone: nobody can make up ids whose tags are equal."""

_NO_DIGIT = 255
_DIGITS = np.full(256, _NO_DIGIT, np.uint8)
_DIGITS[np.frombuffer(b"0123456789abcdef", np.uint8)] = np.arange(16)
_DIGITS[np.frombuffer(b"ABCDEF", np.uint8)] = np.arange(10, 16)

Bytes = npt.NDArray[np.uint8]


class Stretch(NamedTuple):
    """Some rows of a part: the first one's number, keys of their texts, tags of their ids.

    ``columns`` holds the columns that were read, in Arrow.
    """

    first: int
    texts: Keys
    tags: Words
    columns: pa.RecordBatch


def read_stretches(
    part: Part, more_columns: Sequence[str] = (), rows: int = STRETCH_ROWS
) -> Iterator[Stretch]:
    """Read article_id, content_hash and other columns of a part, some rows at a time.

    Raises:
        UserError: the part cannot be read, or a content hash is none.
    """
    first = 0
    columns = ["article_id", "content_hash", *more_columns]
    with part.open() as file:
        for batch in file.iter_batches(rows, columns):
            texts = _text_keys(batch["content_hash"], part)
            yield Stretch(first, texts, id_tags(batch["article_id"]), batch)
            first += batch.num_rows


def read_keys(parts: Iterable[Part]) -> Iterator[tuple[Keys, Words]]:
    """Read the texts' keys and the ids' tags of many parts, of several small ones together.

    Raises:
        UserError: a part cannot be read, or a content hash is none.
    """
    batches: list[tuple[Part, pa.RecordBatch]] = []
    for part in parts:
        with part.open() as file:
            for batch in file.iter_batches(STRETCH_ROWS, ["article_id", "content_hash"]):
                batches.append((part, batch))
                if sum(each.num_rows for _, each in batches) >= STRETCH_ROWS:
                    yield _joined(batches)
                    batches = []
    if batches:
        yield _joined(batches)


def _joined(batches: list[tuple[Part, pa.RecordBatch]]) -> tuple[Keys, Words]:
    hashes = pa.concat_arrays([batch["content_hash"] for _, batch in batches])
    try:
        texts = text_keys(hashes)
    except ValueError:
        for part, batch in batches:
            _text_keys(batch["content_hash"], part)
        raise
    return texts, id_tags(pa.concat_arrays([batch["article_id"] for _, batch in batches]))


def _text_keys(hashes: pa.Array, part: Part) -> Keys:
    try:
        return text_keys(hashes)
    except ValueError as error:
        raise UserError(
            f"{part}: {error}; put the part back from a backup, or remove it and run again"
        ) from error


def text_keys(hashes: pa.Array) -> Keys:
    """Content hashes (32 hex digits each) as keys; raises ValueError if one is something else."""
    lengths, content = _content(hashes)
    digits = _DIGITS[content]
    bad = lengths != _HASH_DIGITS
    if not bad.any():
        bad = (digits.reshape(-1, _HASH_DIGITS) == _NO_DIGIT).any(axis=1)
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        raise ValueError(f"content_hash {hashes[row]} is not {_HASH_DIGITS} hex digits")
    words = (digits[::2] << 4 | digits[1::2]).view(">u8").reshape(-1, 2)
    return Keys(words[:, 0].astype(np.uint64), words[:, 1].astype(np.uint64))


def row_keys(texts: Keys, tags: Words) -> Keys:
    """Identities of rows (id and content) from their texts' keys and their ids' tags."""
    return Keys(texts.high ^ tags, texts.low)


def id_tags(ids: pa.Array) -> Words:
    """A 64-bit hash of each id, good for this process only; a null is an empty id.

    Eight bytes at a time over the whole column, each mixed as in SplitMix64 (Steele, Lea and
    Flood, "Fast splittable pseudorandom number generators", 2014).
    """
    lengths, content = _content(ids)
    short = np.minimum(lengths, _LONG_ID)
    width = -(-int(short.max(initial=1)) // 8) * 8
    padded = np.zeros((len(lengths), width), np.uint8)
    is_long = lengths > _LONG_ID
    inside = np.arange(width) < np.where(is_long, 0, lengths)[:, None]
    padded[inside] = content[np.repeat(~is_long, lengths)] if is_long.any() else content
    tags = _mixed(lengths.astype(np.uint64) ^ _SEED)
    for index, words in enumerate(padded.view(np.uint64).T):
        tags = np.where(short > 8 * index, _mixed(tags ^ words), tags)
    ends = np.cumsum(lengths)
    for row in np.flatnonzero(is_long):
        text = content[ends[row] - lengths[row] : ends[row]].tobytes()
        tags[row] = _long_tag(text)
    return tags


def _long_tag(text: bytes) -> np.uint64:
    digest = blake2b(text, digest_size=8, key=_SEED.tobytes()).digest()
    return np.uint64(int.from_bytes(digest, "big"))


def _mixed(words: Words) -> Words:
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return words ^ (words >> np.uint64(31))


def _content(strings: pa.Array) -> tuple[npt.NDArray[np.int64], Bytes]:
    """The length of each string in bytes, and all of them one after another."""
    if strings.type != pa.string():
        strings = strings.cast(pa.string())
    if strings.null_count:
        strings = strings.fill_null("")
    _, offsets_buffer, content_buffer = strings.buffers()
    if not len(strings):
        return np.zeros(0, np.int64), np.zeros(0, np.uint8)
    offsets = np.frombuffer(offsets_buffer, np.int32)
    offsets = offsets[strings.offset : strings.offset + len(strings) + 1]
    if content_buffer is None:
        return np.diff(offsets).astype(np.int64), np.zeros(0, np.uint8)
    content = np.frombuffer(content_buffer, np.uint8)[offsets[0] : offsets[-1]]
    return np.diff(offsets).astype(np.int64), content
