"""The job of one summarise run: what its batches share, and how one article gets its outcome."""

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
from article_flows.tasks.enriched.upkeep import keep_orphans
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
    there what it has already paid for. ``settled`` articles have an outcome, ``failed`` of them
    no answer. ``under_way`` counts the batches that are being worked on. ``locks`` are held
    for as long as it is open.
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
    kept: dict[str, Outcome] = field(default_factory=dict)
    recovered: set[str] = field(default_factory=set)
    settled: int = 0
    failed: int = 0
    under_way: int = 0
    _submitted: set[int] = field(default_factory=set)
    _expected: int | None = None
    _committed_at: float = 0.0
    _unwritten: dict[BatchJournal, list[bytes]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.journals.on_trouble = self.gateway.stop

    @property
    def asking_seconds(self) -> float:
        """Seconds from the first request to the last commit."""
        first = self.gateway.totals.first_sent_at
        return 0.0 if first is None else max(self._committed_at - first, 0.0)

    def take_in_journals(self, *, retry_refused: bool = False) -> None:
        """Keep what earlier runs received and did not commit."""
        self.kept = read_outcomes(self.journals.leftovers, retry_refused=retry_refused)
        self.recovered = set(self.kept)
        self.journals.set_aside_foreign()

    def discard_leftovers(self) -> None:
        """Remove what earlier runs left in journals, if every outcome in them is in a table.

        One is not where its batch could not be committed; the next run finds it there again.
        """
        uncommitted = self.recovered & self.kept.keys()
        if uncommitted:
            uncommitted -= permanently_failed_texts(self.table)
        if uncommitted:
            answers = read_parts(self.table.lake.parts(self.table.folder))
            uncommitted -= texts_among((stretch.texts for stretch in answers), uncommitted)
        if uncommitted:
            uncommitted -= keep_orphans(
                self.table, [self.kept[text] for text in uncommitted], self.flow_run_id
            )
        if not uncommitted:
            self.journals.discard_leftovers()

    async def run_batch(self, batch: Batch) -> Counts:
        """Get an outcome for every row of a batch and commit them as one part."""
        self.under_way += 1
        try:
            return await self._run_batch(batch)
        finally:
            self.under_way -= 1

    def expect(self, batches: int) -> None:
        """Say how many batches there are in all, once it is known. May be called in any thread."""
        self._expected = batches
        self.gateway.call_soon(self._see_whether_all_are_in)

    async def _run_batch(self, batch: Batch) -> Counts:
        if self.gateway.stopped and not self.kept:
            return Counts(left=batch["size"])
        async with self.gateway.waiting.room(batch["size"]):
            articles, prompts = await asyncio.to_thread(self._read, batch)
            name = f"{batch['number']:06d}"
            hashes = articles["content_hash"].to_pylist()
            answers = BatchAnswers(self, hashes, self.journals.open(name))
            self.gateway.submit(answers.askings(prompts))
        self._submitted.add(batch["number"])
        self._see_whether_all_are_in()
        await answers.complete
        counts = await asyncio.to_thread(self.commit, batch, articles, answers.outcomes)
        self.journals.discard(name)
        for content_hash in hashes:
            self.kept.pop(content_hash, None)
        return counts

    def _see_whether_all_are_in(self) -> None:
        if len(self._submitted) == self._expected:
            self.gateway.no_more()

    def _read(self, batch: Batch) -> tuple[pa.Table, list[str]]:
        """The articles of a batch, and the user message for each."""
        articles = read_batch(self.table.lake, batch)
        texts = zip(articles["title"].to_pylist(), articles["body"].to_pylist(), strict=True)
        return articles, [self.prompt(title, body) for title, body in texts]

    def keep(self, outcome: Outcome, journal: BatchJournal) -> None:
        """Have an outcome on disk before the event loop turns again.

        Those that arrive in one turn of the loop are written with one system call a journal.
        """
        self.kept[outcome.content_hash] = outcome
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
                # The journal tries again, and what is in memory may still be committed; no more
                # is bought.
                self.gateway.stop(
                    f"{journal.name}: cannot be written ({error}); free the disk, then run again"
                )

    def commit(
        self, batch: Batch, articles: pa.Table, outcomes: list[Outcome | None], kind: str = "part"
    ) -> Counts:
        """Commit the answers as a part of the table and the failures as one beside it.

        A part is named after the run and the batch: a batch that is tried again after it was
        committed in part replaces what it wrote, and no row is there twice.
        """
        self._see_whether_still_ours()
        name = f"{kind}-{self.run_name}-{batch['number']:06d}.parquet"
        rows = [(row, outcome) for row, outcome in enumerate(outcomes) if outcome]
        for folder, build, answered in (
            (self.table.folder, self.table.rows, True),
            (self.table.failures, self.table.failure_rows, False),
        ):
            chosen = [(row, outcome) for row, outcome in rows if outcome.answered is answered]
            if chosen:
                whole = len(chosen) == articles.num_rows
                taken = articles if whole else articles.take([row for row, _ in chosen])
                part = build(taken, [outcome for _, outcome in chosen], self.flow_run_id)
                self.table.lake.write_part(folder, name, part)
        self._committed_at = time.monotonic()
        return self._count(outcomes)

    def _see_whether_still_ours(self) -> None:
        try:
            for lock in self.locks:
                lock.still_held()
        except UserError as error:
            self.gateway.stop(str(error))
            raise

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


class BatchAnswers:
    """The outcomes of a batch as they arrive.

    Args:
        job: keeps each outcome.
        hashes: the content hash of each row.
        journal: the batch's.

    Attributes:
        outcomes: by row; None for an article that is left to do.
        complete: done when every row has its outcome or is left.
    """

    def __init__(self, job: Job, hashes: list[str], journal: BatchJournal) -> None:
        self.outcomes: list[Outcome | None] = [job.kept.get(text) for text in hashes]
        self.complete: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._job = job
        self._hashes = hashes
        self._journal = journal
        self._pending = 0

    def askings(self, prompts: list[str]) -> list[Request]:
        """What to ask about, the longest first, so that no long one is left for the end."""
        job, outcomes = self._job, self.outcomes
        rows = [row for row, outcome in enumerate(outcomes) if outcome is None]
        rows.sort(key=lambda row: -len(prompts[row]))
        self._pending = len(rows)
        if not rows:
            self.complete.set_result(None)
        return [Request(job.template, prompts[row], job.parse, self, row) for row in rows]

    def receive(self, asking: Request, result: Result) -> None:
        """Keep what became of an article."""
        try:
            content_hash = self._hashes[asking.row]
            if isinstance(result, Answer):
                outcome = Outcome.of_answer(content_hash, result)
            elif isinstance(result, RequestFailed):
                outcome = Outcome.of_failure(content_hash, result)
            else:
                return
            self._job.keep(outcome, self._journal)
            self.outcomes[asking.row] = outcome
        finally:
            self._pending -= 1
            if not self._pending and not self.complete.done():
                self.complete.set_result(None)
