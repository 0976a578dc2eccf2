"""Check the rows of one part: page checksums, schema, required values and content hashes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from article_flows.tasks.common.article_schema import Mask, content_hash
from article_flows.tasks.common.errors import StorageUnavailable, UserError
from article_flows.tasks.lake.compaction import is_earlier_schema
from article_flows.tasks.lake.key_columns import id_tags, row_keys, text_keys
from article_flows.tasks.lake.parquet_parts import Part, PartMissing
from article_flows.tasks.lake.sorted_keys import Keys

_BATCH_ROWS = 1_024
"""Rows to hold in memory, with their text."""

_HASH_PATTERN = "^[0-9a-fA-F]{32}$"
_NO_HASH = "0" * 32


class Finding(NamedTuple):
    """A problem or a note, in one line.

    Attributes:
        message: Names the file, the row, what is wrong and the remedy.
        lock: While a run holds this lock, the finding is expected and not a problem.
        is_problem: False for a note.
        unread: Whether rows of a part could not be read.
    """

    message: str
    lock: str = ""
    is_problem: bool = True
    unread: bool = False


@dataclass(frozen=True)
class Constraints:
    """What must be true of all rows in a folder.

    Attributes:
        schema: Schema of every part.
        required: Columns without nulls.
        remedy: What to do about a row that violates a constraint.
        constants: Columns with the same value in every row.
        choices: String columns and their permitted values.
        lists: List columns whose elements must not be null.
        hashed: Whether ``content_hash`` must be the hash of title and body.
    """

    schema: pa.Schema
    required: tuple[str, ...]
    remedy: str
    constants: Mapping[str, str] = field(default_factory=dict)
    choices: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    lists: tuple[str, ...] = ()
    hashed: bool = False


class CheckedRows(NamedTuple):
    """Some rows of a part with their keys, and the collector for their faults."""

    batch: pa.RecordBatch
    keys: Keys
    faults: RowFaults

    def report(self, rows: Mask, what: str, remedy: str, lock: str = "") -> None:
        """Report a fault of the selected rows."""
        self.faults.add(self.batch, rows, what, remedy, lock)


class _Fault(NamedTuple):
    what: str
    remedy: str
    lock: str


class RowFaults:
    """The faults in a part: one finding per kind, with the first row and a count.

    Attributes:
        first_row: Number of the first row of the current batch, from 1.
    """

    def __init__(self, part: Part) -> None:
        self.part = part
        self.first_row = 1
        # The number of rows, and number and id of the first one.
        self._rows: dict[_Fault, tuple[int, int, str]] = {}

    def add(
        self, batch: pa.RecordBatch, rows: Mask, what: str, remedy: str, lock: str = ""
    ) -> None:
        """Add a fault of the selected rows of the current batch."""
        indices = np.flatnonzero(rows)
        if not len(indices):
            return
        fault, first = _Fault(what, remedy, lock), int(indices[0])
        new = (0, self.first_row + first, _article_id(batch, first))
        count, row, article_id = self._rows.get(fault, new)
        self._rows[fault] = count + len(indices), row, article_id

    def findings(self) -> Iterator[Finding]:
        """Yield a finding for each kind of fault."""
        for fault, (count, row, article_id) in self._rows.items():
            others = f", and {count - 1:,} more rows" if count > 1 else ""
            where = f"{self.part}: row {row:,}{article_id}"
            yield Finding(f"{where}: {fault.what}{others}; {fault.remedy}", fault.lock)


def check_rows(
    part: Part, constraints: Constraints, findings: list[Finding]
) -> Iterator[CheckedRows]:
    """Read all pages of a part, check its rows, and add what is wrong to `findings`.

    Yields:
        Rows with their keys, unless the table has none (rejects). Ends early if the part cannot be
        read or has another schema.

    Raises:
        PartMissing: The part was merged meanwhile.
        StorageUnavailable: The storage does not respond.
    """
    faults = RowFaults(part)
    is_schema_valid = False
    batches = _batches(part, findings)
    for schema, batch in batches:
        # An earlier schema is valid: the next run upgrades the part.
        is_schema_valid = is_schema_valid or is_earlier_schema(
            schema, constraints.schema, constraints.required
        )
        if not is_schema_valid:
            findings.append(_schema_mismatch(part, schema, constraints))
            for _ in batches:
                pass  # check the remaining pages
            return
        _check(batch, constraints, faults)
        if "content_hash" in batch.schema.names:
            yield CheckedRows(batch, _keys(batch, faults, constraints.remedy), faults)
        faults.first_row += batch.num_rows
    findings.extend(faults.findings())


def _batches(part: Part, findings: list[Finding]) -> Iterator[tuple[pa.Schema, pa.RecordBatch]]:
    """Yield all rows in validated batches; add a finding if they cannot be read."""

    def add_finding(what: str) -> None:
        remedy = "put it back from a backup, or remove it and run again"
        findings.append(Finding(f"{part}: {what}; {remedy}", unread=True))

    if not part.size:
        add_finding("is empty (0 bytes)")
        return
    count = 0
    try:
        with part.open() as file:
            for batch in file.iter_batches(_BATCH_ROWS):
                batch.validate(full=True)
                count += batch.num_rows
                yield file.schema, batch
            if not count:
                yield file.schema, pa.RecordBatch.from_pylist([], schema=file.schema)
            footer_count = file.num_rows
    except (PartMissing, StorageUnavailable):
        raise
    except UserError as error:
        findings.append(Finding(str(error), unread=True))
    except Exception as error:
        # Arrow raises many types of exceptions for damaged footers and invalid UTF-8.
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        add_finding(f"the part is damaged ({reason})")
    else:
        if footer_count != count:
            add_finding(f"has {count:,} rows, but {footer_count:,} according to its footer")


def _schema_mismatch(part: Part, schema: pa.Schema, constraints: Constraints) -> Finding:
    actual = {field.name: field.type for field in schema}
    expected = {field.name: field.type for field in constraints.schema}
    for name in dict.fromkeys([*expected, *actual]):
        if name not in actual:
            what = f"has no column {name}"
        elif name not in expected:
            what = f"has an unexpected column {name}"
        elif actual[name] != expected[name]:
            what = f"column {name} is of type {actual[name]}, not {expected[name]}"
        else:
            continue
        break
    else:
        what = "has columns in another order, duplicate columns, or columns that are not nullable"
    return Finding(f"{part}: {what}; {constraints.remedy}", unread=True)


def _check(batch: pa.RecordBatch, constraints: Constraints, faults: RowFaults) -> None:
    remedy = constraints.remedy
    for name in constraints.required:
        if batch[name].null_count:
            faults.add(batch, _mask(batch[name].is_null()), f"{name} is null", remedy)
    for name, value in constraints.constants.items():
        differs = _mask(pc.fill_null(pc.not_equal(batch[name], value), False))
        faults.add(batch, differs, f"{name} is not {value}, the table's value", remedy)
    for name, values in constraints.choices.items():
        is_choice = pc.is_in(batch[name], pa.array([*values, None], pa.string()))
        faults.add(batch, ~_mask(is_choice), f"{name} is not one of the recipe's values", remedy)
    for name in constraints.lists:
        if pc.list_flatten(batch[name]).null_count:
            nulls = np.array([row is not None and None in row for row in batch[name].to_pylist()])
            faults.add(batch, nulls, f"{name} has a null in its list", remedy)
    if constraints.hashed:
        what = "content_hash is not the hash of its title and body"
        faults.add(batch, _wrong_hashes(batch), what, remedy)


def _wrong_hashes(batch: pa.RecordBatch) -> Mask:
    """Return which rows have a hash that does not match their text; nulls are checked elsewhere."""
    columns = (batch[name].to_pylist() for name in ("title", "body", "content_hash"))
    return np.fromiter(
        (
            body is not None and stored is not None and content_hash(title, body) != stored
            for title, body, stored in zip(*columns, strict=True)
        ),
        np.bool_,
        batch.num_rows,
    )


def _keys(batch: pa.RecordBatch, faults: RowFaults, remedy: str) -> Keys:
    """Return the keys of rows; rows with an invalid hash get a key that no text has."""
    hashes = batch["content_hash"]
    valid = pc.fill_null(pc.match_substring_regex(hashes, _HASH_PATTERN), False)
    if (invalid := ~_mask(valid)).any():
        faults.add(batch, invalid, "content_hash is not 32 hex digits", remedy)
        hashes = pc.if_else(valid, hashes, _NO_HASH)
    return row_keys(text_keys(hashes), id_tags(batch["article_id"]))


def _mask(values: pa.Array) -> Mask:
    mask: Mask = values.to_numpy(zero_copy_only=False).astype(np.bool_)
    return mask


def _article_id(batch: pa.RecordBatch, row: int) -> str:
    if "article_id" not in batch.schema.names:
        return ""
    return f" (article {batch['article_id'][row].as_py()!r:.80})"
