"""The exit statuses of the command line, as the README and `--help` promise them."""

import signal

ANSWERED = 0
RUN_FAILED = 1
WRONG_USE = 2
ROWS_FAILED = 3
BUDGET_SPENT = 4


def status_of(by: signal.Signals) -> int:
    """The exit status of what a signal has ended, as shells have it: 130 or 143."""
    return 128 + by
