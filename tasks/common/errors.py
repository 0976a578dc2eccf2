"""The errors that are meant for the user's eyes."""

from __future__ import annotations

import signal
from typing import Any, Self


class UserError(Exception):
    """Something that the user can mend.

    The message is one line that names what is wrong (the file, the row, the option) and the
    remedy. Flows end as Failed with it, the command line prints it; neither shows a traceback.
    """


class UsageError(UserError):
    """What was asked for is wrong in itself, whatever the files and servers: exit status 2."""


class Locked(UserError):
    """Another run holds a lock of the lake for longer than it was to be waited for."""


class SourceUnavailable(UserError):
    """A source that could not be read just now, after some tries; later it may be there again."""


class StorageUnavailable(UserError):
    """The lake's storage has failed for longer than it is waited for; later it may work again."""


class StoppedRun(UserError):
    """A run that ended before its end: what is done stays done, and ``report`` tells it."""

    def __init__(self, message: str, report: Any) -> None:
        super().__init__(message)
        self.report = report

    def with_report(self, report: Any) -> Self:
        """The same for a flow that this run was a part of."""
        return type(self)(str(self), report)


class BudgetSpent(StoppedRun):
    """A run that ended because the next call could have cost more than the budget has left.

    Nothing is wrong: flows end as Completed, named BudgetSpent; the command line's status is 4.
    """


class InterruptedRun(StoppedRun):
    """A run that a signal has ended; ``report`` is None where there was nothing to report yet.

    Flows end as Cancelled; the command line's status is 128 and the number of the ``signal``.
    """

    def __init__(self, message: str, report: Any, by: signal.Signals) -> None:
        super().__init__(message, report)
        self.signal = by

    @classmethod
    def early(cls, by: signal.Signals) -> Self:
        """An end before there was anything to report."""
        words = f"interrupted by {by.name}; what is done is kept, run again to go on"
        return cls(words, None, by)

    def with_report(self, report: Any) -> Self:
        """The same for a flow that this run was a part of."""
        return type(self)(str(self), report, self.signal)
