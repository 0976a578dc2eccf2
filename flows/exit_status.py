"""The exit statuses of the command line, as the README and `--help` promise them."""

ANSWERED = 0
RUN_FAILED = 1
WRONG_USE = 2
ROWS_FAILED = 3
BUDGET_SPENT = 4
INTERRUPTED = 130
