"""This project, through its command line and its real flow: Parquet in the lake to Parquet."""

import io
import json
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from benchmarks.work import MODEL, RECIPE, Done, Work


def run(work: Work) -> Done:
    """Summarise a lake whose articles are loaded already."""
    from article_flows.flows.cli.app import main

    said, status = io.StringIO(), 0
    with redirect_stdout(said):
        try:
            main(command(work))
        except SystemExit as exiting:
            status = exiting.code if isinstance(exiting.code, int) else 1
    lines = said.getvalue().splitlines()
    told: dict[str, Any] = json.loads(lines[-1]) if lines else {}
    if "table" not in told:
        return Done(0.0, 0, status, str(told.get("error", "no report")), told)
    return Done(_asking_seconds(told), answered_rows(told["table"]), status, "", told)


def command(work: Work) -> list[str]:
    """The command line; an in_flight of 0 leaves the default."""
    told = ["--max-in-flight", str(work.in_flight)] if work.in_flight else []
    return [
        *("summarize", "--lake", work.lake, "--recipe", RECIPE, "--json"),
        *("--base-url", work.base_url, "--model", MODEL),
        *told,
        *work.options,
    ]


def answered_rows(table: str) -> int:
    """Count the rows of an enriched table that have an answer, by the parts' own statistics.

    Reading them would be the peak of this process's memory. pyarrow is imported here, after the
    project, as it would be without a benchmark.
    """
    import pyarrow.parquet as pq

    rows = 0
    for part in Path(table).glob("*.parquet"):
        metadata = pq.read_metadata(part)
        summary = metadata.schema.names.index("summary")
        groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
        nulls = sum(group.column(summary).statistics.null_count for group in groups)
        rows += metadata.num_rows - nulls
    return rows


def _asking_seconds(told: dict[str, Any]) -> float:
    """Seconds from the first request to the last commit."""
    if "asking_seconds" in told:
        return float(told["asking_seconds"])
    rate = told.get("articles_per_second") or 0.0
    return told["answered"] / rate if rate else 0.0
