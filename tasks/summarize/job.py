"""The shared state of a summarize run, and how its batches get their outcomes and commit them."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import pyarrow as pa

from article_flows.tasks.common.errors import UserError
from article_flows.tasks.enriched.failures import permanently_failed_texts
from article_flows.tasks.enriched.outcomes import Outcome, read_outcomes
from article_flows.tasks.enriched.table import EnrichedTable
from article_flows.tasks.enriched.upkeep import store_orphaned_answers
from article_flows.tasks.journal.open import BatchJournal, Journals
from article_flows.tasks.lake.key_columns import read_parts, texts_among
from article_flows.tasks.llm.gateway.gateway import Gateway
from article_flows.tasks.llm.protocol.chat import ChatTemplate
from article_flows.tasks.llm.protocol.request import Request, Result
from article_flows.tasks.llm.protocol.results import Answer, Parse, RequestFailed
from article_flows.tasks.locks.lock import Lock
from article_flows.tasks.summarize.batches import Batch, read_batch
from article_flows.tasks.summarize.endpoint import Endpoint


@dataclass
class OutcomeCounts:
    """Row counts by outcome; ``failed`` by error class."""

    answered: int = 0
    copied: int = 0
    recovered: int = 0
    left: int = 0
    failed: Counter[str] = field(default_factory=Counter)

    def __iadd__(self, other: OutcomeCounts) -> OutcomeCounts:
        self.answered += other.answered
        self.copied += other.copied
        self.recovered += other.recovered
        self.left += other.left
        self.failed += other.failed
        return self


@dataclass
class Job:
    """The state that the batches of a run share.

    Attributes:
        prompt: Builds the user message from an article's title and body.
        parse: Turns a completion into the recipe's fields.
        run_name: Part of the names of the run's parts.
        locks: The locks that the run holds.
        uncommitted: Outcomes by content hash that are not in a table yet: those of running
            batches, where a retried batch finds what it has already paid for, and those that
            earlier runs left in journals.
        recovered: Content hashes of the outcomes that earlier runs left in journals.
        settled: Articles with an outcome; ``failed`` of them have no answer.
        running_batches: Batches that have started and not ended.
    """

    table: EnrichedTable
    endpoint: Endpoint
    template: ChatTemplate
    prompt: Callable[[str | None, str], str]
    parse: Parse
    gateway: Gateway
    journals: Journals
    flow_run_id: str
    run_name: str
    locks: list[Lock]
    uncommitted: dict[str, Outcome] = field(default_factory=dict)
    recovered: set[str] = field(default_factory=set)
    settled: int = 0
    failed: int = 0
    running_batches: int = 0
    _submitted: set[int] = field(default_factory=set)
    _expected: int | None = None
    _committed_at: float = 0.0
    _unwritten: dict[BatchJournal, list[bytes]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.journals.on_write_failure = self.gateway.stop

    @property
    def asking_seconds(self) -> float:
        """Seconds from the first request to the last commit."""
        first = self.gateway.totals.first_sent_at
        return 0.0 if first is None else max(self._committed_at - first, 0.0)

    def recover_outcomes(self, *, retry_failed: bool = False) -> None:
        """Load the outcomes that earlier runs received but did not commit.

        Args:
            retry_failed: Whether permanent failures are retried.
        """
        self.uncommitted = read_outcomes(self.journals.leftovers, retry_failed=retry_failed)
        self.recovered = set(self.uncommitted)
        self.journals.set_aside_foreign()

    def discard_leftovers(self) -> None:
        """Remove the journals of earlier runs if every outcome in them is in a table.

        If a batch could not be committed, they stay for the next run.
        """
        pending = self.recovered & self.uncommitted.keys()
        if pending:
            pending -= permanently_failed_texts(self.table)
        if pending:
            answers = read_parts(self.table.lake.parts(self.table.folder))
            pending -= texts_among((batch.texts for batch in answers), pending)
        if pending:
            outcomes = [self.uncommitted[text] for text in pending]
            pending -= store_orphaned_answers(self.table, outcomes, self.flow_run_id)
        if not pending:
            self.journals.discard_leftovers()

    async def run_batch(self, batch: Batch) -> OutcomeCounts:
        """Get an outcome for every row of a batch, and commit them."""
        self.running_batches += 1
        try:
            return await self._run_batch(batch)
        finally:
            self.running_batches -= 1

    def expect_batches(self, count: int) -> None:
        """Set the number of batches of the run, once it is known. Thread-safe."""
        self._expected = count
        self.gateway.call_soon(self._notify_if_all_submitted)

    async def _run_batch(self, batch: Batch) -> OutcomeCounts:
        if self.gateway.stopped and not self.uncommitted:
            return OutcomeCounts(left=batch["size"])
        async with self.gateway.queue.room(batch["size"]):
            articles, prompts = await asyncio.to_thread(self._read, batch)
            name = f"{batch['number']:06d}"
            hashes = articles["content_hash"].to_pylist()
            collector = BatchOutcomes(self, hashes, self.journals.open(name))
            self.gateway.submit(collector.requests(prompts))
        self._submitted.add(batch["number"])
        self._notify_if_all_submitted()
        await collector.complete
        counts = await asyncio.to_thread(self.commit, batch, articles, collector.outcomes)
        self.journals.discard(name)
        for content_hash in hashes:
            self.uncommitted.pop(content_hash, None)
        return counts

    def _notify_if_all_submitted(self) -> None:
        if len(self._submitted) == self._expected:
            self.gateway.finish_submitting()

    def _read(self, batch: Batch) -> tuple[pa.Table, list[str]]:
        """Read the articles of a batch, and build the user message for each."""
        articles = read_batch(self.table.lake, batch)
        texts = zip(articles["title"].to_pylist(), articles["body"].to_pylist(), strict=True)
        return articles, [self.prompt(title, body) for title, body in texts]

    def record(self, outcome: Outcome, journal: BatchJournal) -> None:
        """Keep an outcome, and journal it in the next iteration of the event loop.

        Outcomes that arrive in one iteration are written with one system call per journal.
        """
        self.uncommitted[outcome.content_hash] = outcome
        self.settled += 1
        self.failed += not outcome.answered
        if not self._unwritten:
            asyncio.get_running_loop().call_soon(self._write_journals)
        self._unwritten.setdefault(journal, []).append(outcome.encode())

    def _write_journals(self) -> None:
        unwritten, self._unwritten = self._unwritten, {}
        for journal, payloads in unwritten.items():
            try:
                journal.append(*payloads)
            except OSError as error:
                # The journal retries, and the outcomes in memory may still be committed. Only
                # new requests are not sent any more.
                self.gateway.stop(
                    f"{journal.name}: cannot be written ({error}); free disk space, then run again"
                )

    def commit(
        self, batch: Batch, articles: pa.Table, outcomes: list[Outcome | None], kind: str = "part"
    ) -> OutcomeCounts:
        """Write the answers of a batch as a part of the table, and its failures as another.

        The parts are named after the run and the batch. A batch that is retried after a partial
        commit overwrites its parts, so no row is duplicated.

        Args:
            articles: The batch's rows, of ``ARTICLES_SCHEMA``.
            outcomes: The outcome of each row; None for an article that is left for the next run.
            kind: Prefix of the parts' names.

        Raises:
            UserError: Another run has taken over a lock; the gateway is stopped.
        """
        self._check_locks()
        name = f"{kind}-{self.run_name}-{batch['number']:06d}.parquet"
        rows = [(row, outcome) for row, outcome in enumerate(outcomes) if outcome]
        for folder, build, answered in (
            (self.table.folder, self.table.rows, True),
            (self.table.failures, self.table.failure_rows, False),
        ):
            chosen = [(row, outcome) for row, outcome in rows if outcome.answered is answered]
            if chosen:
                is_complete = len(chosen) == articles.num_rows
                selected = articles if is_complete else articles.take([row for row, _ in chosen])
                part = build(selected, [outcome for _, outcome in chosen], self.flow_run_id)
                self.table.lake.write_part(folder, name, part)
        self._committed_at = time.monotonic()
        return self._count(outcomes)

    def _check_locks(self) -> None:
        try:
            for lock in self.locks:
                lock.ensure_held()
        except UserError as error:
            self.gateway.stop(str(error))
            raise

    def _count(self, outcomes: list[Outcome | None]) -> OutcomeCounts:
        counts = OutcomeCounts()
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


class BatchOutcomes:
    """The outcomes of a batch as they arrive; the receiver of its requests.

    Args:
        job: Records each outcome.
        hashes: The content hash of each row.

    Attributes:
        outcomes: The outcome of each row; None while there is none, and for a row that is left
            for the next run.
        complete: Done when the gateway has settled every row.
    """

    def __init__(self, job: Job, hashes: list[str], journal: BatchJournal) -> None:
        self.outcomes: list[Outcome | None] = [job.uncommitted.get(text) for text in hashes]
        self.complete: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._job = job
        self._hashes = hashes
        self._journal = journal
        self._pending = 0

    def requests(self, prompts: list[str]) -> list[Request]:
        """Return the requests of the batch, the longest prompts first to shorten the tail."""
        job, outcomes = self._job, self.outcomes
        rows = [row for row, outcome in enumerate(outcomes) if outcome is None]
        rows.sort(key=lambda row: -len(prompts[row]))
        self._pending = len(rows)
        if not rows:
            self.complete.set_result(None)
        return [Request(job.template, prompts[row], job.parse, self, row) for row in rows]

    def receive(self, request: Request, result: Result) -> None:
        """Record the result of a request."""
        try:
            content_hash = self._hashes[request.row]
            if isinstance(result, Answer):
                outcome = Outcome.from_answer(content_hash, result)
            elif isinstance(result, RequestFailed):
                outcome = Outcome.from_failure(content_hash, result)
            else:
                return
            self._job.record(outcome, self._journal)
            self.outcomes[request.row] = outcome
        finally:
            self._pending -= 1
            if not self._pending and not self.complete.done():
                self.complete.set_result(None)
