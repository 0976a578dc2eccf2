"""`Retries`: retry storage operations with backoff, and notify listeners of outages.

Listeners stop paying for model responses that could not be stored.
"""

from __future__ import annotations

import logging
import random
import re
import threading
import time
from collections.abc import Callable
from typing import TypeVar
from urllib.parse import urlsplit

from obstore.exceptions import AlreadyExistsError, BaseError, PreconditionError

from article_flows.tasks.common.errors import StorageUnavailable, UserError

logger = logging.getLogger(__name__)
T = TypeVar("T")

RETRY_TIMEOUT_S = 180.0
"""How long to retry an operation, in seconds."""

FIRST_CONTACT_TIMEOUT_S = 30.0
"""How long to retry, in seconds, if the storage never responded: its address is probably wrong."""

_INITIAL_BACKOFF_S, _MAX_BACKOFF_S = 0.2, 10.0

_NO_BUCKET = re.compile(
    r"NoSuchBucket|ContainerNotFound|specified (bucket|container) does not exist", re.IGNORECASE
)
_PERMANENT = re.compile(
    r"status code: (301|401|403|501)\b"
    # Status 400 also covers requests that arrived late or truncated, which a retry can fix.
    r"|status code: 400\b(?!.*(RequestTimeout|IncompleteBody|BadDigest))",
    re.DOTALL,
)
"""Matches obstore's messages for errors that a retry cannot fix."""

_QUERY = re.compile(r"(?<=[^\s?])\?[^\s?]*")
"""The query string of a URL; Azure's contains signatures, which must not be shown."""


def one_line_message(error: Exception) -> str:
    """Return an obstore error's message in one line, without its Rust debug output or secrets."""
    message = str(error).partition("\n\nDebug source")[0]
    return " ".join(_QUERY.sub("", message).split())[:300]


class WriteConflict(Exception):
    """A conditional write failed: the object exists, or its version has changed."""


class BucketNotFound(UserError):
    """The bucket of an address does not exist."""


class Retries:
    """The retries of operations on one storage, and whether it is failing.

    Args:
        uri: The storage as the user wrote it, for messages.
        retry_timeout_s: How long to retry an operation, in seconds.
        noun: What messages call the storage's content ("lake", "source").
    """

    def __init__(
        self, uri: str, retry_timeout_s: float = RETRY_TIMEOUT_S, noun: str = "lake"
    ) -> None:
        self._label = f"{noun} {uri}"
        self._bucket = urlsplit(uri).netloc
        self._retry_timeout_s = retry_timeout_s
        self._first_timeout_s = min(FIRST_CONTACT_TIMEOUT_S, retry_timeout_s)
        self._has_responded = False
        self._lock = threading.RLock()
        self._failing: set[object] = set()
        # Whether an operation was given up since the storage last responded.
        self._gave_up = False
        self._reported_failing = False
        self._listeners: list[Callable[[bool], None]] = []

    def watch(self, listener: Callable[[bool], None]) -> None:
        """Call a listener with True when operations begin to fail and with False when they recover.

        It is called in the thread of the operation.
        """
        self._listeners.append(listener)

    def call(self, action: str, operation: Callable[[], T]) -> T:
        """Run an idempotent operation until it succeeds, and return its result.

        Args:
            action: What the operation does, for messages: "read articles/a.parquet".
            operation: May run several times.

        Raises:
            FileNotFoundError: The object does not exist.
            WriteConflict: The condition of a conditional write does not hold.
            UserError: The operation fails in a way that a retry cannot fix.
            StorageUnavailable: It has failed for longer than the retry timeout.
        """
        operation_id = object()
        responded = False
        try:
            result = self._retry(action, operation, operation_id)
            responded = True
        except (FileNotFoundError, WriteConflict, UserError) as error:
            responded = not isinstance(error, StorageUnavailable)
            raise
        finally:
            self._record_end(operation_id, responded)
        return result

    def _retry(self, action: str, operation: Callable[[], T], operation_id: object) -> T:
        started, backoff_s = time.monotonic(), _INITIAL_BACKOFF_S
        while True:
            try:
                return operation()
            except (AlreadyExistsError, PreconditionError) as error:
                # Servers disagree on the status of a failed condition: some send 409, others 412.
                raise WriteConflict(action) from error
            except (OSError, BaseError) as error:
                reason = one_line_message(error)
                if _NO_BUCKET.search(str(error)):
                    raise BucketNotFound(
                        f"{self._label}: there is no bucket {self._bucket}; create it, or fix the "
                        "address"
                    ) from error
                if isinstance(error, FileNotFoundError):
                    raise
                if _PERMANENT.search(str(error)):
                    raise UserError(
                        f"{self._label}: cannot {action}: {reason}; fix the address, or the keys "
                        "and permissions in this environment"
                    ) from error
                elapsed_s = time.monotonic() - started
                self._record_failure(operation_id, f"cannot {action} now ({reason}); retrying")
                limit_s = self._retry_timeout_s if self._has_responded else self._first_timeout_s
                if elapsed_s >= limit_s:
                    raise StorageUnavailable(
                        f"{self._label}: cannot {action} after {elapsed_s:.0f} s of retries: "
                        f"{reason}; when the storage is back, run again: answers received so far "
                        "are kept"
                    ) from error
                time.sleep(random.uniform(backoff_s / 4, backoff_s))
                backoff_s = min(_MAX_BACKOFF_S, 2 * backoff_s)

    def _record_failure(self, operation_id: object, message: str) -> None:
        with self._lock:
            self._failing.add(operation_id)
            self._notify(message)

    def _record_end(self, operation_id: object, responded: bool) -> None:
        with self._lock:
            self._has_responded |= responded
            self._gave_up = not responded and (self._gave_up or operation_id in self._failing)
            self._failing.discard(operation_id)
            self._notify("responds again")

    def _notify(self, message: str) -> None:
        # Called with the lock held, or two threads could report a recovery before its outage.
        failing = self._gave_up or bool(self._failing)
        if failing != self._reported_failing:
            self._reported_failing = failing
            logger.warning("%s: %s", self._label, message)
            for listener in list(self._listeners):
                listener(failing)
