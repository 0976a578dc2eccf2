"""Errors whose messages are shown to the user."""

from __future__ import annotations

import signal
from typing import Any, Self


class UserError(Exception):
    """An error that the user can fix.

    The message is one line that says what is wrong, where (the file, the row, the option), and the
    remedy. Flows end as Failed with this message and the command line prints it, both without a
    traceback.
    """


class UsageError(UserError):
    """An invalid option or setting, independent of any file or server; exit status 2."""


class Locked(UserError):
    """A lock of the lake that another run still holds after the maximum wait."""


class SourceUnavailable(UserError):
    """A source that could not be read after several attempts; a later attempt may succeed."""


class StorageUnavailable(UserError):
    """A lake storage that kept failing until the retries ran out; a later attempt may succeed."""


class StoppedRun(UserError):
    """A run that stopped early: completed work is kept.

    Attributes:
        report: The report of the completed work.
    """

    def __init__(self, message: str, report: Any) -> None:
        super().__init__(message)
        self.report = report

    def with_report(self, report: Any) -> Self:
        """Return a copy with the report of the enclosing flow."""
        return type(self)(str(self), report)


class BudgetSpent(StoppedRun):
    """A run that stopped because the next call could have exceeded the budget.

    This is not a failure: flows end as Completed, named BudgetSpent; the exit status is 4.
    """


class InterruptedRun(StoppedRun):
    """A run that a signal stopped; flows end as Cancelled, the exit status is 128 + the signal.

    Attributes:
        report: None if the run had not started its work.
    """

    def __init__(self, message: str, report: Any, by: signal.Signals) -> None:
        super().__init__(message, report)
        self.signal = by

    @classmethod
    def early(cls, by: signal.Signals) -> Self:
        """Return the error of a run that was interrupted before it had anything to report."""
        message = f"interrupted by {by.name}; completed work is kept, run again to continue"
        return cls(message, None, by)

    def with_report(self, report: Any) -> Self:
        """Return a copy with the report of the enclosing flow."""
        return type(self)(str(self), report, self.signal)
