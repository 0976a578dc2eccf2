"""Measure the cost of the journal: encoding an outcome and appending it to a synced file."""

import tempfile
import time
from pathlib import Path

ROWS = 20_000
_ANSWER = (
    "The council approved a new bridge over the river on Monday. Engineers expect that building "
    "it takes two years. Residents of both banks had asked for it since the flood."
)


def journal_ms_per_row(rows: int = ROWS) -> float:
    """Return the CPU milliseconds per row, including those of the thread that syncs."""
    from article_flows.tasks.enriched.outcomes import Outcome
    from article_flows.tasks.journal.file_journal import FileJournals
    from article_flows.tasks.llm.protocol.chat import Usage
    from article_flows.tasks.llm.protocol.results import Answer

    answer = Answer(
        fields={"summary": _ANSWER},
        finish_reason="stop",
        model="m",
        usage=Usage(300, 0, 40),
        cost_usd=0.0004,
        attempts=1,
        latency_s=0.5,
    )
    outcomes = [Outcome.from_answer(f"{number:064x}", answer) for number in range(rows)]
    with tempfile.TemporaryDirectory() as folder, FileJournals(Path(folder), "bench") as journals:
        journal = journals.open("000000")
        started = time.process_time()
        for outcome in outcomes:
            journal.append(outcome.encode())
        journal.sync()
        return 1000 * (time.process_time() - started) / rows
