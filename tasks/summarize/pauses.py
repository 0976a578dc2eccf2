"""When a run with its lake in an object store must not pay for more answers just now."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from article_flows.tasks.common.errors import UserError
from article_flows.tasks.journal.open import Journals
from article_flows.tasks.llm.gateway.gateway import Gateway
from article_flows.tasks.locks.lock import Lock
from article_flows.tasks.storage.base import Storage

MOST_UNSYNCED = 2_000
"""Answers that may wait to be safe; no more are paid for until fewer do."""


class Pauses:
    """Says why nothing is to be sent, if so: asked before each request, on the event loop.

    The storage does not answer; too many answers wait for it; or this process was paused, or cut
    off, for so long that another run may have taken its locks. The last is looked into in a
    thread, and stops the gateway if it is so.

    Args:
        gateway: what is stopped then.
        storage: the lake's.
        journals: the run's.
        locks: those that it holds.
    """

    def __init__(
        self, gateway: Gateway, storage: Storage, journals: Journals, locks: Sequence[Lock]
    ) -> None:
        self._gateway = gateway
        self._journals = journals
        self._locks = locks
        self._away = False
        self._looking: threading.Thread | None = None
        storage.watch(self._watch)

    def __call__(self) -> str:
        """Why, in a few words; empty if there is no reason."""
        if self._away:
            return "the lake's storage does not answer"
        if self._journals.unsynced > MOST_UNSYNCED:
            return "the lake's storage is slow"
        if all(lock.is_sure for lock in self._locks):
            return ""
        if self._looking is None or not self._looking.is_alive():
            self._looking = threading.Thread(target=self._look, name="lock-check", daemon=True)
            self._looking.start()
        return "seeing whether the lake is still this run's"

    def _watch(self, away: bool) -> None:
        self._away = away

    def _look(self) -> None:
        try:
            for lock in self._locks:
                lock.still_held()
        except UserError as error:
            self._gateway.stop(str(error))
