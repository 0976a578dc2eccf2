"""Storage that fails now and then: try again with backoff, and tell who pays for answers."""

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

PATIENCE_S = 180.0
"""Seconds for which an operation is tried again before it is given up."""

FIRST_PATIENCE_S = 30.0
"""The same for a storage that has never answered: its address is wrong, more likely than not."""

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.2, 10.0

_NO_BUCKET = re.compile(
    r"NoSuchBucket|ContainerNotFound|specified (bucket|container) does not exist", re.IGNORECASE
)
_FOR_GOOD = re.compile(
    r"status code: (301|401|403|501)\b"
    # A request that arrived late or cut is answered with 400 too.
    r"|status code: 400\b(?!.*(RequestTimeout|IncompleteBody|BadDigest))",
    re.DOTALL,
)
"""What obstore's errors say where to try again is no use."""


_QUERY = re.compile(r"(?<=[^\s?])\?[^\s?]*")
"""The query of a URL, in which Azure's keys are."""


def one_line_message(error: Exception) -> str:
    """What an error of obstore says, without its source in Rust."""
    said = str(error).partition("\n\nDebug source")[0]
    return " ".join(_QUERY.sub("", said).split())[:300]


class WriteConflict(Exception):
    """An object is not as a write demanded: it exists, or is another version by now."""


class BucketNotFound(UserError):
    """The bucket of an address does not exist."""


class Retries:
    """Tries operations on one storage again, and knows whether it is in trouble.

    Args:
        place: the storage as the user names it, for messages.
        patience_s: seconds for which an operation is tried again.
        noun: what is kept there, as messages call it.
    """

    def __init__(self, place: str, patience_s: float = PATIENCE_S, noun: str = "lake") -> None:
        self._place = f"{noun} {place}"
        self._bucket = urlsplit(place).netloc
        self._patience_s = patience_s
        self._first_patience_s = min(FIRST_PATIENCE_S, patience_s)
        self._reached = False
        self._lock = threading.RLock()
        # Operations that fail now, and whether one was given up since the storage last answered.
        self._failing: set[object] = set()
        self._down = self._in_trouble = False
        self._listeners: list[Callable[[bool], None]] = []

    def watch(self, listener: Callable[[bool], None]) -> None:
        """Have a listener told of trouble (True) and of its end (False), in whatever thread."""
        self._listeners.append(listener)

    def call(self, what: str, operation: Callable[[], T]) -> T:
        """Return the result of an operation that is safe to do twice.

        Raises:
            FileNotFoundError: as the operation.
            Conflict: the object is not as the operation demanded.
            UserError: it fails in a way that does not pass.
            StorageUnavailable: it has failed for longer than the patience.
        """
        operation_id = object()
        answered = False
        try:
            result = self._until_it_works(what, operation, operation_id)
            answered = True
        except (FileNotFoundError, WriteConflict, UserError) as error:
            answered = not isinstance(error, StorageUnavailable)
            raise
        finally:
            self._ends(operation_id, answered)
        return result

    def _until_it_works(self, what: str, operation: Callable[[], T], operation_id: object) -> T:
        started, longest = time.monotonic(), _FIRST_PAUSE_S
        while True:
            try:
                return operation()
            except (AlreadyExistsError, PreconditionError) as error:
                # Servers disagree on which is which: some answer 409 where others answer 412.
                raise WriteConflict(what) from error
            except (OSError, BaseError) as error:
                said = one_line_message(error)
                if _NO_BUCKET.search(str(error)):
                    raise BucketNotFound(
                        f"{self._place}: there is no bucket {self._bucket}; make it, or mend the "
                        "address"
                    ) from error
                if isinstance(error, FileNotFoundError):
                    raise
                if _FOR_GOOD.search(str(error)):
                    raise UserError(
                        f"{self._place}: cannot {what}: {said}; mend the address, or the keys and "
                        "rights in this environment"
                    ) from error
                elapsed_s = time.monotonic() - started
                self._fails(operation_id, f"cannot {what} now ({said}); trying again")
                if elapsed_s >= (self._patience_s if self._reached else self._first_patience_s):
                    raise StorageUnavailable(
                        f"{self._place}: cannot {what}, for {elapsed_s:.0f} s: {said}; when "
                        "the storage is back, run again: what was answered is kept"
                    ) from error
                time.sleep(random.uniform(longest / 4, longest))
                longest = min(_LONGEST_PAUSE_S, 2 * longest)

    def _fails(self, operation_id: object, said: str) -> None:
        with self._lock:
            self._failing.add(operation_id)
            self._tell(said)

    def _ends(self, operation_id: object, answered: bool) -> None:
        with self._lock:
            self._reached |= answered
            self._down = not answered and (self._down or operation_id in self._failing)
            self._failing.discard(operation_id)
            self._tell("answers again")

    def _tell(self, said: str) -> None:
        # Under the lock, or two threads could tell the end before the beginning.
        in_trouble = self._down or bool(self._failing)
        if in_trouble != self._in_trouble:
            self._in_trouble = in_trouble
            logger.warning("%s: %s", self._place, said)
            for listener in list(self._listeners):
                listener(in_trouble)
