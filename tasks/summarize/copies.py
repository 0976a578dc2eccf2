"""The same text under several ids: paid for once, and every one of them gets the answer."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from article_flows.tasks.enriched.outcomes import Outcome
from article_flows.tasks.enriched.table import EnrichedTable
from article_flows.tasks.lake.parts import PartFile, group_starts
from article_flows.tasks.summarize.batches import Batch, read_batch
from article_flows.tasks.summarize.job import Counts, Job

_FACTS = [
    each.name
    for each in dataclasses.fields(Outcome)
    if each.name not in ("fields", "error_class", "message")
]
"""What the rows of the table tell of an outcome beside the answer."""


def copy_outcomes(batch: Batch, job: Job) -> Counts:
    """Give the rows of a batch the outcomes that their texts have, and commit them.

    Rows whose text has none, because the run stopped before, are left to do.
    """
    articles = read_batch(job.table.lake, batch)
    texts: list[str] = articles["content_hash"].to_pylist()
    wanted = set(texts)
    known = _failures(job.table, wanted) | _answers(job.table, wanted)
    outcomes = [known[text].copied() if text in known else None for text in texts]
    counts = job.commit(batch, articles, outcomes, kind="copy")
    counts.copied, counts.answered, counts.recovered = counts.answered + counts.recovered, 0, 0
    return counts


def _answers(table: EnrichedTable, texts: set[str]) -> dict[str, Outcome]:
    """The answers that the table has to some texts.

    Reads the column of hashes until all are found, the newest parts first, as texts that this run
    has asked about are there; of the other columns, the row groups that have one of the texts.
    """
    fields = list(table.recipe.fields)
    answers: dict[str, Outcome] = {}
    missing = set(texts)
    lake = table.lake
    for part in [*reversed(lake.parts(table.folder)), *lake.parts(table.superseded)]:
        if not missing:
            break
        with part.open() as file:
            for rows in _rows_with(file, missing, [*_FACTS, *fields]):
                for row in rows.to_pylist():
                    given = {name: row[name] for name in fields}
                    answers[row["content_hash"]] = _outcome(row, given)
                missing.difference_update(rows["content_hash"].to_pylist())
    return answers


def _rows_with(file: PartFile, texts: set[str], columns: list[str]) -> Iterator[pa.Table]:
    """The rows of a part that have one of the texts."""
    wanted = pa.array(texts, pa.string())
    has_one = _is_in(file.read(["content_hash"]), wanted)
    starts = group_starts(file.metadata)
    groups = np.searchsorted(starts, np.flatnonzero(has_one), side="right") - 1
    for group in np.unique(groups).tolist():
        rows = file.read_row_groups([group], columns)
        yield rows.filter(pa.array(has_one[starts[group] : starts[group + 1]]))


def _is_in(rows: pa.Table, texts: pa.Array) -> Any:
    return pc.is_in(rows["content_hash"], texts).to_numpy()


def _outcome(row: dict[str, Any], fields: dict[str, Any]) -> Outcome:
    facts = {name: row[name] for name in _FACTS}
    facts["answered_at"] = facts["answered_at"].timestamp()
    return Outcome(fields=fields, **facts)


def _failures(table: EnrichedTable, texts: set[str]) -> dict[str, Outcome]:
    """The failures of some texts."""
    wanted = pa.array(texts, pa.string())
    failures: dict[str, Outcome] = {}
    for part in table.lake.parts(table.failures):
        with part.open() as file:
            rows = file.read()
        for row in rows.filter(pa.array(_is_in(rows, wanted))).to_pylist():
            failures[row["content_hash"]] = _failure(row)
    return failures


def _failure(row: dict[str, Any]) -> Outcome:
    facts = {name: row[name] for name in ("content_hash", "error_class", "message", "model")}
    return Outcome(**facts, cost_usd=row["cost_usd"], answered_at=row["failed_at"].timestamp())
