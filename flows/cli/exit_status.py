"""The exit statuses of the command line, as documented in the README and in `--help`."""

import signal

SUCCESS = 0
RUN_FAILED = 1
USAGE_ERROR = 2
ARTICLES_FAILED = 3
BUDGET_SPENT = 4


def status_of_signal(number: signal.Signals) -> int:
    """Return the exit status of a process ended by a signal, as shells report it.

    Example:
        >>> status_of_signal(signal.SIGINT)
        130
    """
    return 128 + number
