"""Rows of one part against what they must be: schema, required fields, hashes, every page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from article_flows.tasks.common.article_schema import content_hash
from article_flows.tasks.common.errors import StorageUnavailable, UserError
from article_flows.tasks.lake.compaction import is_earlier
from article_flows.tasks.lake.key_columns import id_tags, row_keys, text_keys
from article_flows.tasks.lake.parts import Part, PartMissing
from article_flows.tasks.lake.sorted_keys import Flags, Keys

_ROWS_AT_ONCE = 1_024
"""Rows that are in memory at once, with their text."""

_HASH = "^[0-9a-fA-F]{32}$"
_NO_HASH = "0" * 32


class Finding(NamedTuple):
    """Something about a lake, in one line that names file, row and remedy.

    Attributes:
        lock: a run that holds this lock explains it, and it is no problem then.
        is_problem: the lake is not as it should be; else only worth knowing.
        unread: rows of a part could not be looked at, and so were not.
    """

    line: str
    lock: str = ""
    is_problem: bool = True
    unread: bool = False


@dataclass(frozen=True)
class Expected:
    """What the rows of a folder must be.

    Attributes:
        schema: of every part.
        required: columns without a null.
        remedy: what to do about a row that is not so.
        constants: columns that have one value in every row.
        choices: columns of strings, and the values that these may have.
        lists: columns of lists, whose elements are no nulls either.
        hashed: whether content_hash is that of the row's title and body.
    """

    schema: pa.Schema
    required: tuple[str, ...]
    remedy: str
    constants: Mapping[str, str] = field(default_factory=dict)
    choices: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    lists: tuple[str, ...] = ()
    hashed: bool = False


class Rows(NamedTuple):
    """Some rows of a part, their keys, and where to put down what is wrong with some of them."""

    batch: pa.RecordBatch
    keys: Keys
    faults: RowFaults

    def blame(self, flags: Flags, what: str, remedy: str, lock: str = "") -> None:
        """Put down a fault of the rows that are flagged."""
        self.faults.add(self.batch, flags, what, remedy, lock)


class RowFaults:
    """What is wrong with the rows of one part: a line for each kind, however many rows have it."""

    def __init__(self, part: Part) -> None:
        self.first = 1
        self.part = part
        # How many rows have it, and the first one's number and id.
        self._found: dict[tuple[str, str, str], tuple[int, int, str]] = {}

    def add(
        self, batch: pa.RecordBatch, flags: Flags, what: str, remedy: str, lock: str = ""
    ) -> None:
        """Put down a fault of the flagged rows of a batch that begins with row ``first``."""
        bad = np.flatnonzero(flags)
        if not len(bad):
            return
        new = (0, self.first + int(bad[0]), _shown_id(batch, int(bad[0])))
        total, row, article_id = self._found.get((what, remedy, lock), new)
        self._found[what, remedy, lock] = total + len(bad), row, article_id

    def findings(self) -> Iterator[Finding]:
        """The lines."""
        for (what, remedy, lock), (total, row, article_id) in self._found.items():
            more = f", and {total - 1:,} more rows" if total > 1 else ""
            yield Finding(f"{self.part}: row {row:,}{article_id}: {what}{more}; {remedy}", lock)


def checked_rows(part: Part, expected: Expected, findings: list[Finding]) -> Iterator[Rows]:
    """Read a part through, every page of it, and put down what is wrong with it.

    Rows come with their keys, but for those of rejects, which have none and do not come. A part
    that cannot be read ends the iteration, and so does one of another schema.

    Raises:
        PartMissing: it was merged meanwhile.
        StorageUnavailable: the storage does not answer.
    """
    faults = RowFaults(part)
    as_it_must_be = False
    batches = _batches(part, findings)
    for schema, batch in batches:
        # The next run upgrades a table, the next load the articles: until then nothing is wrong.
        as_it_must_be = as_it_must_be or is_earlier(schema, expected.schema, expected.required)
        if not as_it_must_be:
            findings.append(_other_schema(part, schema, expected))
            for _ in batches:
                pass  # to its last page all the same
            return
        _check(batch, expected, faults)
        if "content_hash" in batch.schema.names:
            yield Rows(batch, _keys(batch, faults, expected.remedy), faults)
        faults.first += batch.num_rows
    findings.extend(faults.findings())


def _batches(part: Part, findings: list[Finding]) -> Iterator[tuple[pa.Schema, pa.RecordBatch]]:
    """All rows, each batch seen to be valid; what stops the reading is put down."""

    def unread(what: str) -> None:
        remedy = "put it back from a backup, or remove it and run again"
        findings.append(Finding(f"{part}: {what}; {remedy}", unread=True))

    if not part.size:
        unread("is empty, 0 bytes")
        return
    count = 0
    try:
        with part.open() as file:
            for batch in file.iter_batches(_ROWS_AT_ONCE):
                batch.validate(full=True)
                count += batch.num_rows
                yield file.schema, batch
            if not count:
                yield file.schema, pa.RecordBatch.from_pylist([], schema=file.schema)
            told = file.num_rows
    except (PartMissing, StorageUnavailable):
        raise
    except UserError as error:
        findings.append(Finding(str(error), unread=True))
    except Exception as error:
        # A damaged footer or text that is no UTF-8 comes as whatever Arrow makes of it.
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        unread(f"the part is damaged ({reason})")
    else:
        if told != count:
            unread(f"says that it has {told:,} rows, and has {count:,}")


def _other_schema(part: Part, schema: pa.Schema, expected: Expected) -> Finding:
    """The first column that is not as it must be."""
    there = {field.name: field.type for field in schema}
    wanted = {field.name: field.type for field in expected.schema}
    for name in dict.fromkeys([*wanted, *there]):
        if name not in there:
            what = f"has no column {name}"
        elif name not in wanted:
            what = f"has a column {name} that the table has not"
        elif there[name] != wanted[name]:
            what = f"column {name} is of type {there[name]}, not {wanted[name]}"
        else:
            continue
        break
    else:
        what = "has its columns in another order, or some of them twice or not nullable"
    return Finding(f"{part}: {what}; {expected.remedy}", unread=True)


def _check(batch: pa.RecordBatch, expected: Expected, faults: RowFaults) -> None:
    for name in expected.required:
        if batch[name].null_count:
            faults.add(batch, _flags(batch[name].is_null()), f"{name} is null", expected.remedy)
    for name, value in expected.constants.items():
        other = _flags(pc.fill_null(pc.not_equal(batch[name], value), False))
        faults.add(batch, other, f"{name} is not {value}, the table's", expected.remedy)
    for name, values in expected.choices.items():
        known = pc.is_in(batch[name], pa.array([*values, None], pa.string()))
        faults.add(batch, ~_flags(known), f"{name} is none of the recipe's values", expected.remedy)
    for name in expected.lists:
        if pc.list_flatten(batch[name]).null_count:
            holes = np.array([row is not None and None in row for row in batch[name].to_pylist()])
            faults.add(batch, holes, f"{name} has a null in its list", expected.remedy)
    if expected.hashed:
        what = "content_hash is not the hash of its title and body"
        faults.add(batch, _wrong_hashes(batch), what, expected.remedy)


def _wrong_hashes(batch: pa.RecordBatch) -> Flags:
    """Which rows have a hash that is not that of their text; a null is another matter."""
    columns = (batch[name].to_pylist() for name in ("title", "body", "content_hash"))
    return np.fromiter(
        (
            body is not None and told is not None and content_hash(title, body) != told
            for title, body, told in zip(*columns, strict=True)
        ),
        np.bool_,
        batch.num_rows,
    )


def _keys(batch: pa.RecordBatch, faults: RowFaults, remedy: str) -> Keys:
    """The keys of rows; of those whose hash is none, one that no text has."""
    hashes = batch["content_hash"]
    good = pc.fill_null(pc.match_substring_regex(hashes, _HASH), False)
    if (bad := ~_flags(good)).any():
        faults.add(batch, bad, "content_hash is not 32 hex digits", remedy)
        hashes = pc.if_else(good, hashes, _NO_HASH)
    return row_keys(text_keys(hashes), id_tags(batch["article_id"]))


def _flags(values: pa.Array) -> Flags:
    flags: Flags = values.to_numpy(zero_copy_only=False).astype(np.bool_)
    return flags


def _shown_id(batch: pa.RecordBatch, row: int) -> str:
    if "article_id" not in batch.schema.names:
        return ""
    return f" (article {batch['article_id'][row].as_py()!r:.80})"
