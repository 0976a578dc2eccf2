"""Hold requests back while a lake in an object store could not store their answers."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from article_flows.tasks.common.errors import UserError
from article_flows.tasks.journal.open import Journals
from article_flows.tasks.llm.gateway.gateway import Gateway
from article_flows.tasks.locks.lock import Lock
from article_flows.tasks.storage.base import Storage

MAX_UNSYNCED = 2_000
"""Journaled answers that may wait for the storage before requests are held back."""


class StorageGuard:
    """A check, which the gateway calls before each request, for reasons to send none now.

    Requests are held back while the storage does not respond, while too many answers wait for it,
    and after this process was suspended or disconnected for so long that another run may have
    taken over its locks. A thread then checks the locks, and stops the gateway if one is lost.

    Args:
        gateway: The gateway to stop if a lock is lost.
        journals: The journals of the run.
        locks: The locks that the run holds.
    """

    def __init__(
        self, gateway: Gateway, storage: Storage, journals: Journals, locks: Sequence[Lock]
    ) -> None:
        self._gateway = gateway
        self._journals = journals
        self._locks = locks
        self._is_storage_down = False
        self._lock_check: threading.Thread | None = None
        storage.watch(self._on_storage_change)

    def __call__(self) -> str:
        """Return the reason in a few words, or an empty string if requests may be sent."""
        if self._is_storage_down:
            return "the lake's storage does not respond"
        if self._journals.unwritten > MAX_UNSYNCED:
            return "the lake's storage is slow"
        if all(lock.is_valid for lock in self._locks):
            return ""
        if self._lock_check is None or not self._lock_check.is_alive():
            check = threading.Thread(target=self._check_locks, name="lock-check", daemon=True)
            self._lock_check = check
            check.start()
        return "checking the locks of the lake"

    def _on_storage_change(self, is_down: bool) -> None:
        self._is_storage_down = is_down

    def _check_locks(self) -> None:
        try:
            for lock in self._locks:
                lock.ensure_held()
        except UserError as error:
            self._gateway.stop(str(error))
