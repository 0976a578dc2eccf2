"""Storage that fails now and then: try again with backoff, and tell who pays for answers."""

from __future__ import annotations

import logging
import random
import re
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from tasks.errors import StorageDown, UserError

logger = logging.getLogger(__name__)
T = TypeVar("T")

PATIENCE_S = 180.0
"""Seconds for which an operation is tried again before it is given up."""

FIRST_PATIENCE_S = 30.0
"""The same for a storage that has never answered: its address is wrong, more likely than not."""

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.2, 10.0
_QUIET_FAILURES, _QUIET_S = 2, 5.0
"""Failures in a row, and seconds, that are no outage yet: a busy store turns single requests away.
"""

_FOR_GOOD = re.compile(
    r"NO_SUCH_BUCKET|ACCESS_DENIED|INVALID_ACCESS_KEY_ID|INVALID_CLIENT_TOKEN_ID|"
    r"SIGNATURE_DOES_NOT_MATCH|EXPIRED_TOKEN|MISSING_AUTHENTICATION|UNRECOGNIZED_CLIENT|"
    r"HTTP status (301|400|401|403)\b|PermanentRedirect|AuthenticationFailed|"
    r"AuthorizationFailure|PERMISSION_DENIED|UNAUTHENTICATED|NoSuchBucket|ContainerNotFound|"
    r"specified (bucket|container) does not exist|^Bucket '.*' not found",
    re.IGNORECASE,
)
"""What Arrow's file systems say where to try again is no use."""


class Retries:
    """Tries operations on one storage again, and knows whether it is in trouble.

    Args:
        place: the storage as the user names it, for messages.
        patience_s: seconds for which an operation is tried again.
        noun: what is kept there, as messages call it.
    """

    def __init__(self, place: str, patience_s: float = PATIENCE_S, noun: str = "lake") -> None:
        self._place = f"{noun} {place}"
        self._patience_s = patience_s
        self._first_patience_s = min(FIRST_PATIENCE_S, patience_s)
        self._reached = False
        self._lock = threading.RLock()
        # Operations that fail now; those given up among them stand until the storage answers any.
        self._failing: set[object] = set()
        self._given_up: set[object] = set()
        self._listeners: list[Callable[[bool], None]] = []

    def watch(self, listener: Callable[[bool], None]) -> None:
        """Have a listener told of trouble (True) and of its end (False), in whatever thread."""
        self._listeners.append(listener)

    def call(self, what: str, operation: Callable[[], T]) -> T:
        """Give the result of an operation that is safe to do twice.

        Raises:
            FileNotFoundError: as the operation.
            UserError: it fails in a way that does not pass.
            StorageDown: it has failed for longer than the patience.
        """
        operation_id = object()
        try:
            result = self._until_it_works(what, operation, operation_id)
        except StorageDown:
            with self._lock:
                self._given_up.add(operation_id)
            raise
        except (UserError, FileNotFoundError):
            self._answered(operation_id)
            raise
        except BaseException:
            # Whoever was waiting has gone: that says nothing about the storage.
            with self._lock:
                self._failing.discard(operation_id)
            raise
        self._answered(operation_id)
        return result

    def _until_it_works(self, what: str, operation: Callable[[], T], operation_id: object) -> T:
        started, failures = time.monotonic(), 0
        while True:
            try:
                return operation()
            except FileNotFoundError:
                raise
            except OSError as error:
                failures += 1
                said = " ".join(str(error).split())[:300]
                elapsed_s = time.monotonic() - started
                self._refuse_for_good(what, said, error)
                patience_s = self._patience_s if self._reached else self._first_patience_s
                give_up = elapsed_s >= patience_s
                if give_up or failures > _QUIET_FAILURES or elapsed_s > _QUIET_S:
                    self._fails(operation_id, f"cannot {what} now ({said})")
                if give_up:
                    raise StorageDown(
                        f"{self._place}: cannot {what}, for {elapsed_s:.0f} s: {said}; when "
                        "the storage is back, run again: what was answered is kept"
                    ) from error
                longest = min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2**failures)
                time.sleep(random.uniform(longest / 4, longest))

    def _refuse_for_good(self, what: str, said: str, error: OSError) -> None:
        if _FOR_GOOD.search(said):
            raise UserError(
                f"{self._place}: cannot {what}: {said}; mend the address, or the keys and "
                "rights in this environment"
            ) from error

    def _fails(self, operation_id: object, said: str) -> None:
        with self._lock:
            begins = not self._failing
            self._failing.add(operation_id)
            if begins:
                logger.warning("%s: %s; trying again", self._place, said)
                self._tell(True)

    def _answered(self, operation_id: object) -> None:
        self._reached = True
        with self._lock:
            failed = bool(self._failing)
            self._failing -= {operation_id, *self._given_up}
            self._given_up.clear()
            if failed and not self._failing:
                logger.warning("%s: answers again", self._place)
                self._tell(False)

    def _tell(self, trouble: bool) -> None:
        # Under the lock, or two threads could tell the end before the beginning.
        for listener in list(self._listeners):
            listener(trouble)
