"""The job of one summarise run: what its batches share, and how one article gets its outcome."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from tasks.endpoint import Endpoint
from tasks.enriched import EnrichedTable
from tasks.journal import Journal, JournalFolder
from tasks.llm.answers import Parse, RunStopped, Unanswered
from tasks.llm.chat import NO_USAGE, ChatTemplate
from tasks.llm.errors import LLMError
from tasks.llm.gateway import Gateway
from tasks.outcomes import Outcome, read_outcomes
from tasks.planning import Batch, answered_texts, read_batch, refused_texts

logger = logging.getLogger(__name__)


@dataclass
class Counts:
    """Rows of a job by what became of them; ``failed`` by error class."""

    answered: int = 0
    copied: int = 0
    recovered: int = 0
    left: int = 0
    failed: Counter[str] = field(default_factory=Counter)

    def __iadd__(self, other: Counts) -> Counts:
        self.answered += other.answered
        self.copied += other.copied
        self.recovered += other.recovered
        self.left += other.left
        self.failed += other.failed
        return self


@dataclass
class Job:
    """What the batches of a run share: table, recipe, gateway, journals.

    ``kept`` holds the outcomes that are not committed yet, by content hash: those of batches
    under way and those that earlier runs left in journals. A batch that is tried again finds
    there what it has already paid for. ``under_way`` counts the batches that are being worked on.
    """

    table: EnrichedTable
    endpoint: Endpoint
    template: ChatTemplate
    prompt: Callable[[str | None, str], str]
    parse: Parse
    gateway: Gateway
    journals: JournalFolder
    flow_run_id: str
    run_name: str
    kept: dict[str, Outcome] = field(default_factory=dict)
    recovered: set[str] = field(default_factory=set)
    settled: int = 0
    under_way: int = 0

    def take_in_journals(self, *, retry_refused: bool = False) -> None:
        """Keep what earlier runs received and did not commit."""
        self.kept = read_outcomes(self.journals.leftovers, retry_refused=retry_refused)
        self.recovered = set(self.kept)

    def discard_leftovers(self) -> None:
        """Remove what earlier runs left in journals, if every outcome in them is committed.

        One is not where its batch could not be committed; the next run finds it there again.
        """
        uncommitted = self.recovered & self.kept.keys()
        if uncommitted:
            uncommitted -= refused_texts(self.table)
        if uncommitted:
            answered = answered_texts(self.table)
            uncommitted = {text for text in uncommitted if bytes.fromhex(text) not in answered}
        if not uncommitted:
            self.journals.discard_leftovers()

    async def run_batch(self, batch: Batch) -> Counts:
        """Get an outcome for every row of a batch and commit them as one part."""
        self.under_way += 1
        try:
            return await self._run_batch(batch)
        finally:
            self.under_way -= 1

    async def _run_batch(self, batch: Batch) -> Counts:
        articles = await asyncio.to_thread(read_batch, self.table.lake, batch)
        name = f"{batch['number']:06d}"
        journal = self.journals.open(name)
        texts = articles.select(["content_hash", "title", "body"]).to_pylist()
        outcomes = await asyncio.gather(*(self._outcome(text, journal) for text in texts))
        counts = await asyncio.to_thread(self.commit, batch, articles, outcomes)
        self.journals.discard(name)
        for text in texts:
            self.kept.pop(text["content_hash"], None)
        return counts

    async def _outcome(self, text: dict[str, Any], journal: Journal) -> Outcome | None:
        """The outcome for one article, on disk on return; None if the run has stopped."""
        content_hash = text["content_hash"]
        if content_hash in self.kept:
            return self.kept[content_hash]
        try:
            answer = await self.gateway.ask(
                self.template, self.prompt(text["title"], text["body"]), self.parse
            )
            outcome = Outcome.of_answer(content_hash, answer)
        except Unanswered as failure:
            outcome = Outcome.of_failure(content_hash, failure)
        except RunStopped:
            return None
        except Exception as error:
            # A bug, or an endpoint beyond all expectation: it costs one row and not a batch, which
            # would be paid for again when it is tried again.
            logger.exception("article with content hash %s", content_hash)
            outcome = Outcome.of_failure(content_hash, _unexpected(error))
        self.kept[content_hash] = outcome
        self.settled += 1
        try:
            journal.append(outcome.encode())
        except OSError as error:
            # The answer is kept in memory and may still be committed; no more are bought.
            self.gateway.stop(f"{journal.path}: cannot be written ({error}); free the disk")
        return outcome

    def commit(
        self, batch: Batch, articles: pa.Table, outcomes: list[Outcome | None], kind: str = "part"
    ) -> Counts:
        """Commit the answers as a part of the table and the failures as one beside it.

        A part is named after the run and the batch: a batch that is tried again after it was
        committed in part replaces what it wrote, and no row is there twice.
        """
        name = f"{kind}-{self.run_name}-{batch['number']:06d}.parquet"
        rows = [(row, outcome) for row, outcome in enumerate(outcomes) if outcome]
        for folder, build, answered in (
            (self.table.folder, self.table.rows, True),
            (self.table.failures, self.table.failure_rows, False),
        ):
            chosen = [(row, outcome) for row, outcome in rows if outcome.answered is answered]
            if chosen:
                taken = articles.take(pa.array([row for row, _ in chosen]))
                part = build(taken, [outcome for _, outcome in chosen], self.flow_run_id)
                self.table.lake.write_part(folder, name, part)
        return self._count(outcomes)

    def _count(self, outcomes: list[Outcome | None]) -> Counts:
        counts = Counts()
        for outcome in outcomes:
            if outcome is None:
                counts.left += 1
            elif not outcome.answered:
                counts.failed[outcome.error_class or "unknown"] += 1
            elif outcome.content_hash in self.recovered:
                counts.recovered += 1
            else:
                counts.answered += 1
        return counts


def _unexpected(error: Exception) -> Unanswered:
    """The failure for an exception that is no LLMError; its text may hold anything."""
    message = f"{type(error).__name__}; the log has the whole of it"
    return Unanswered(LLMError("unexpected", message), 1, NO_USAGE, None)
