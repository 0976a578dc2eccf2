"""The batches of a run on their way through Prefect: submitted one by one, counted as they end."""

from __future__ import annotations

import contextlib
from collections import deque
from typing import Any, cast

from prefect.futures import PrefectConcurrentFuture, PrefectFuture

from article_flows.tasks.common.errors import UserError
from article_flows.tasks.llm.protocol.error_classification import one_line
from article_flows.tasks.summarize.batches import Batch
from article_flows.tasks.summarize.job import Counts


class BatchRuns:
    """Task runs of batches, and the counts of those that have ended.

    A run that has ended is counted and forgotten: memory holds those under way, however many
    batches there are.

    Attributes:
        broken: why a batch was not committed, if one was not.
    """

    def __init__(self) -> None:
        self.broken: str | None = None
        self._counts = Counts()
        self._under_way: deque[tuple[Batch, PrefectConcurrentFuture[Any]]] = deque()
        self._submitted = 0

    def __len__(self) -> int:
        return self._submitted

    def add(self, batch: Batch, run: PrefectFuture[Any]) -> None:
        """Take note of a batch that was submitted."""
        self._submitted += 1
        # Of our task runner, which knows without the API whether a run has ended.
        self._under_way.append((batch, cast(PrefectConcurrentFuture[Any], run)))
        # In the order of submission, which is near enough the order in which they end.
        while self._under_way and self._under_way[0][1].wrapped_future.done():
            self._count(*self._under_way.popleft())

    def counts(self) -> Counts:
        """Wait until all have ended, however they end, and give their sum."""
        while self._under_way:
            batch, run = self._under_way.popleft()
            with contextlib.suppress(Exception):
                run.wait()
            self._count(batch, run)
        return self._counts

    def _count(self, batch: Batch, run: PrefectConcurrentFuture[Any]) -> None:
        try:
            self._counts += run.result()
        except Exception as error:
            self._counts.left += batch["size"]
            self.broken = self.broken or _words(batch, error)


def _words(batch: Batch, error: Exception) -> str:
    """Why a batch was not committed. What the user has to mend says itself what to do."""
    told = f"batch {batch['number']} was not committed: {one_line(error)}"
    if isinstance(error, UserError):
        return told
    return f"{told}; run again: what was answered is in the journal"
