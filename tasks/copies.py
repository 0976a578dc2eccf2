"""The same text under several ids: paid for once, and every one of them gets the answer."""

from __future__ import annotations

from typing import Any

import pyarrow.compute as pc
import pyarrow.dataset as ds

from tasks.enriched import EnrichedTable
from tasks.job import Counts, Job
from tasks.lake import open_part
from tasks.outcomes import Outcome
from tasks.planning import Batch, read_batch

_FACTS = [
    "content_hash",
    "finish_reason",
    "model",
    "prompt_tokens",
    "cached_tokens",
    "completion_tokens",
    "cost_usd",
    "attempts",
    "latency_s",
    "answered_at",
]


def copy_outcomes(batch: Batch, job: Job) -> Counts:
    """Give the rows of a batch the outcomes that their texts have, and commit them.

    Rows whose text has none, because the run stopped before, are left to do.
    """
    articles = read_batch(job.table.lake, batch)
    texts: list[str] = articles["content_hash"].to_pylist()
    known = _failures(job.table, set(texts)) | _answers(job.table, set(texts))
    outcomes = [known[text].copied() if text in known else None for text in texts]
    counts = job.commit(batch, articles, outcomes, kind="copy")
    counts.copied, counts.answered, counts.recovered = counts.answered + counts.recovered, 0, 0
    return counts


def _answers(table: EnrichedTable, texts: set[str]) -> dict[str, Outcome]:
    """The answers that the table has to some texts, scanned with bounded memory."""
    parts = [str(part) for part in table.lake.parts(table.folder)]
    if not parts:
        return {}
    fields = list(table.recipe.fields)
    scan = ds.dataset(parts, format="parquet").scanner(
        columns=[*_FACTS, *fields], filter=pc.field("content_hash").isin(list(texts))
    )
    answers: dict[str, Outcome] = {}
    for chunk in scan.to_batches():
        for row in chunk.to_pylist():
            answers[row["content_hash"]] = _outcome(row, {name: row[name] for name in fields})
    return answers


def _outcome(row: dict[str, Any], fields: dict[str, Any]) -> Outcome:
    facts = {name: row[name] for name in _FACTS}
    facts["answered_at"] = facts["answered_at"].timestamp()
    return Outcome(fields=fields, error_class=None, message=None, **facts)


def _failures(table: EnrichedTable, texts: set[str]) -> dict[str, Outcome]:
    """The failures of some texts."""
    failures: dict[str, Outcome] = {}
    for part in table.lake.parts(table.failures):
        for row in open_part(part).read().to_pylist():
            if row["content_hash"] in texts:
                failures[row["content_hash"]] = Outcome(
                    content_hash=row["content_hash"],
                    fields=None,
                    error_class=row["error_class"],
                    message=row["message"],
                    finish_reason=None,
                    model=row["model"],
                    prompt_tokens=0,
                    cached_tokens=0,
                    completion_tokens=0,
                    cost_usd=row["cost_usd"],
                    attempts=0,
                    latency_s=None,
                    answered_at=row["failed_at"].timestamp(),
                )
    return failures
