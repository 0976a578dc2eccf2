"""article-flows through its command line: from Parquet in the lake to Parquet in the lake."""

import io
import json
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from benchmarks.work import MODEL, RECIPE, Done, Work


def run(work: Work) -> Done:
    """Summarize a lake of loaded articles."""
    from article_flows.flows.cli.app import main

    stdout, status = io.StringIO(), 0
    with redirect_stdout(stdout):
        try:
            main(command(work))
        except SystemExit as exiting:
            status = exiting.code if isinstance(exiting.code, int) else 1
    lines = stdout.getvalue().splitlines()
    report: dict[str, Any] = json.loads(lines[-1]) if lines else {}
    if "table" not in report:
        return Done(0.0, 0, status, str(report.get("error", "no report")), report)
    return Done(_request_seconds(report), answered_rows(report["table"]), status, "", report)


def command(work: Work) -> list[str]:
    """Return the command line; an `in_flight` of 0 keeps the default."""
    in_flight = ["--max-in-flight", str(work.in_flight)] if work.in_flight else []
    return [
        *("summarize", "--lake", work.lake, "--recipe", RECIPE, "--json"),
        *("--base-url", work.base_url, "--model", MODEL),
        *in_flight,
        *work.options,
    ]


def answered_rows(table: str) -> int:
    """Count the rows of an enriched table with an answer from the statistics of its parts.

    Reading the rows would dominate the peak memory of this process. pyarrow is imported here, so
    that the project imports its modules in the usual order.
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


def _request_seconds(report: dict[str, Any]) -> float:
    if "asking_seconds" in report:
        return float(report["asking_seconds"])
    rate = report.get("articles_per_second") or 0.0
    return report["answered"] / rate if rate else 0.0
