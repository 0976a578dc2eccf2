"""The errors that are meant for the user's eyes."""

from __future__ import annotations

from typing import Any


class UserError(Exception):
    """Something that the user can mend.

    The message is one line that names what is wrong (the file, the row, the option) and the
    remedy. Flows end as Failed with it, the command line prints it; neither shows a traceback.
    """


class UsageError(UserError):
    """What was asked for is wrong in itself, whatever the files and servers: exit status 2."""


class StoppedRun(UserError):
    """A run that ended before its end: what is done stays done, and ``report`` tells it."""

    def __init__(self, message: str, report: Any) -> None:
        super().__init__(message)
        self.report = report


class BudgetSpent(StoppedRun):
    """A run that ended because the next call could have cost more than the budget has left.

    Nothing is wrong: flows end as Completed, named BudgetSpent; the command line's status is 4.
    """
