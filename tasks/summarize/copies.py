"""Copy the outcome of a text to the other articles with the same text, without another request."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from article_flows.tasks.enriched.outcomes import Outcome
from article_flows.tasks.enriched.table import EnrichedTable
from article_flows.tasks.lake.parquet_parts import PartFile, row_group_starts
from article_flows.tasks.summarize.batches import Batch, read_batch
from article_flows.tasks.summarize.job import Job, OutcomeCounts

_METADATA = [
    each.name
    for each in dataclasses.fields(Outcome)
    if each.name not in ("fields", "error_class", "message")
]
"""Columns of an enriched row that hold the outcome's other fields."""


def copy_outcomes(batch: Batch, job: Job) -> OutcomeCounts:
    """Commit the rows of a batch with the outcomes that their texts already have.

    Rows whose text has no outcome, because the run stopped before, are left for the next run.
    """
    articles = read_batch(job.table.lake, batch)
    texts: list[str] = articles["content_hash"].to_pylist()
    unique = set(texts)
    by_text = _failures(job.table, unique) | _answers(job.table, unique)
    outcomes = [by_text[text].as_copy() if text in by_text else None for text in texts]
    counts = job.commit(batch, articles, outcomes, kind="copy")
    counts.copied, counts.answered, counts.recovered = counts.answered + counts.recovered, 0, 0
    return counts


def _answers(table: EnrichedTable, texts: set[str]) -> dict[str, Outcome]:
    """Read the answers to some texts from the table.

    The newest parts, which hold this run's answers, are searched first. Columns other than the hash
    are read only from row groups with one of the texts.
    """
    fields = list(table.recipe.fields)
    answers: dict[str, Outcome] = {}
    missing = set(texts)
    lake = table.lake
    for part in [*reversed(lake.parts(table.folder)), *lake.parts(table.superseded)]:
        if not missing:
            break
        with part.open() as file:
            for rows in _rows_with(file, missing, [*_METADATA, *fields]):
                for row in rows.to_pylist():
                    answer = {name: row[name] for name in fields}
                    answers[row["content_hash"]] = _outcome(row, answer)
                missing.difference_update(rows["content_hash"].to_pylist())
    return answers


def _rows_with(file: PartFile, texts: set[str], columns: list[str]) -> Iterator[pa.Table]:
    is_match = _has_text(file.read(["content_hash"]), texts)
    starts = row_group_starts(file.metadata)
    groups = np.searchsorted(starts, np.flatnonzero(is_match), side="right") - 1
    for group in np.unique(groups).tolist():
        rows = file.read_row_groups([group], columns)
        yield rows.filter(pa.array(is_match[starts[group] : starts[group + 1]]))


def _has_text(rows: pa.Table, texts: set[str]) -> Any:
    return pc.is_in(rows["content_hash"], pa.array(texts, pa.string())).to_numpy()


def _outcome(row: dict[str, Any], fields: dict[str, Any]) -> Outcome:
    metadata = {name: row[name] for name in _METADATA}
    metadata["answered_at"] = metadata["answered_at"].timestamp()
    return Outcome(fields=fields, **metadata)


def _failures(table: EnrichedTable, texts: set[str]) -> dict[str, Outcome]:
    failures: dict[str, Outcome] = {}
    for part in table.lake.parts(table.failures):
        with part.open() as file:
            rows = file.read()
        for row in rows.filter(pa.array(_has_text(rows, texts))).to_pylist():
            failures[row["content_hash"]] = _failure(row)
    return failures


def _failure(row: dict[str, Any]) -> Outcome:
    error = {name: row[name] for name in ("content_hash", "error_class", "message", "model")}
    return Outcome(**error, cost_usd=row["cost_usd"], answered_at=row["failed_at"].timestamp())
