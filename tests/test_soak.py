"""A run can be killed at any moment and started again without losing or duplicating anything.

Real processes are killed with SIGKILL at seeded random moments, then checked by `article-flows
verify`. `test_soak_object_store.py` does the same in an object store.
"""

import json
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from article_flows.tasks.mock_endpoint.faults import Faults
from benchmarks.servers.endpoints import CannedEndpoint
from tests.soak_support import ARTICLES, IN_FLIGHT, SEED, Soak, assert_complete, slow_endpoint
from tests.support import read_rows, start_cli, write_articles

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("prefect_server")]


def test_twenty_kills_in_a_local_lake(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    kills, moments = 20, random.Random(SEED)
    with slow_endpoint() as endpoint:
        soak = Soak(tmp_path, endpoint, str(tmp_path / "lake"))
        for kill in range(kills):
            soak.kill(moments, share=1 / kills if kill % 5 else 0.0)
        report = soak.finish()
        assert_complete(soak, report)
        twice = soak.paid_twice()
    table = read_rows(str(report["table"]))
    assert len(table) == table["article_id"].nunique() == ARTICLES
    record_property(
        "figure",
        f"{kills} kills, in a folder: {twice} of {ARTICLES:,} paid twice, at most "
        f"{kills * IN_FLIGHT} may be (in flight)",
    )
    assert twice <= kills * IN_FLIGHT


def test_two_concurrent_runs_pay_for_nothing_twice(tmp_path: Path) -> None:
    source = write_articles(tmp_path / "articles.jsonl", 2_000)
    with CannedEndpoint(Faults.parse(["latency=fixed:0.1"])) as endpoint:
        command = [
            *("run", str(source), "--lake", str(tmp_path / "lake"), "--json", "--model", "m"),
            *("--base-url", endpoint.base_url, "--max-in-flight", str(IN_FLIGHT)),
        ]
        processes = [start_cli(*command) for _ in range(2)]
        ended = [(process, *process.communicate(timeout=240)) for process in processes]
        stats = endpoint.stats()
    reports = []
    for process, out, errors in ended:
        assert process.returncode == 0, errors
        reports.append(json.loads(out))
    assert sum(report["calls"] for report in reports) == stats["answered"] == 2_000
    assert stats["answered_twice"] == 0
    assert [report["articles"] for report in reports] == [2_000, 2_000]
    waited = [errors for _, _, errors in ended if "another run" in errors]
    # On a busy machine, one run may end before the other starts.
    assert len(waited) <= 1
    table = read_rows(reports[0]["table"])
    assert len(table) == table["article_id"].nunique() == 2_000
