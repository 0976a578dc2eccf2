"""Task runs of batches: submitted one by one, and counted as they end."""

from __future__ import annotations

import contextlib
from collections import deque
from typing import Any, cast

from prefect.futures import PrefectConcurrentFuture, PrefectFuture

from article_flows.tasks.common.errors import UserError
from article_flows.tasks.llm.protocol.error_classification import one_line
from article_flows.tasks.summarize.batches import Batch
from article_flows.tasks.summarize.job import OutcomeCounts


class BatchRuns:
    """Submitted task runs of batches, and the counts of those that have ended.

    A run is forgotten once it is counted, so memory does not grow with the number of batches.

    Attributes:
        error: Why the first batch that was not committed failed; None if all were committed.
    """

    def __init__(self) -> None:
        self.error: str | None = None
        self._counts = OutcomeCounts()
        self._pending: deque[tuple[Batch, PrefectConcurrentFuture[Any]]] = deque()
        self._submitted = 0

    def __len__(self) -> int:
        """Return the number of submitted batches."""
        return self._submitted

    def add(self, batch: Batch, run: PrefectFuture[Any]) -> None:
        """Add a batch that was submitted, and count the runs that have ended."""
        self._submitted += 1
        # EventLoopTaskRunner returns futures that know without the API whether a run has ended.
        self._pending.append((batch, cast(PrefectConcurrentFuture[Any], run)))
        # Runs end approximately in the order of submission.
        while self._pending and self._pending[0][1].wrapped_future.done():
            self._count(*self._pending.popleft())

    def wait(self) -> OutcomeCounts:
        """Wait until all runs have ended, in whatever state, and return the sum of their counts."""
        while self._pending:
            batch, run = self._pending.popleft()
            with contextlib.suppress(Exception):
                run.wait()
            self._count(batch, run)
        return self._counts

    def _count(self, batch: Batch, run: PrefectConcurrentFuture[Any]) -> None:
        try:
            self._counts += run.result()
        except Exception as error:
            self._counts.left += batch["size"]
            self.error = self.error or _error_message(batch, error)


def _error_message(batch: Batch, error: Exception) -> str:
    """Explain why a batch was not committed; a UserError already names the remedy."""
    message = f"batch {batch['number']} was not committed: {one_line(error)}"
    if isinstance(error, UserError):
        return message
    return f"{message}; run again: the answers received so far are in the journal"
