"""What the soak tests share: a run of 5,000 articles that is killed again and again."""

import random
import subprocess
import time
from pathlib import Path

from article_flows.tasks.mock_endpoint.faults import Faults
from benchmarks.endpoints import CannedEndpoint, MockEndpoint
from tests.support import only_json, run_cli, start_cli, write_articles

ARTICLES = 5_000
IN_FLIGHT = 64
SEED = 20


def slow_endpoint() -> MockEndpoint:
    """An endpoint that takes 0.2 s an answer: 5,000 of them, 64 at once, take 16 s."""
    return CannedEndpoint(Faults.parse(["latency=fixed:0.2"]))


class Soak:
    """A run that is killed again and again, and what it has cost."""

    def __init__(self, tmp_path: Path, endpoint: MockEndpoint, lake: str) -> None:
        self.endpoint = endpoint
        self.lake = lake
        self.spool = tmp_path / "spool"
        self.command = [
            *("summarize", "--lake", lake, "--base-url", endpoint.base_url, "--model", "m"),
            *("--max-in-flight", str(IN_FLIGHT), "--json"),
        ]
        source = write_articles(tmp_path / "articles.jsonl", ARTICLES)
        assert run_cli("ingest", source, "--lake", lake, **self.changes).returncode == 0

    @property
    def changes(self) -> dict[str, str]:
        """What a run has in its environment."""
        return {"ARTICLE_FLOWS_SPOOL": str(self.spool)}

    def start(self) -> "subprocess.Popen[str]":
        return start_cli(*self.command, **self.changes)

    def kill(self, moments: random.Random, share: float) -> None:
        """Start it, and kill it when more answers have come, up to a share of all.

        With a share of 0 at any moment from its start on, before the first answer or after.
        """
        process = self.start()
        wanted = self.endpoint.stats()["answered"] + moments.uniform(0.2, 1.0) * share * ARTICLES
        deadline = time.monotonic() + 120
        while share and self.endpoint.stats()["answered"] < wanted:
            if process.poll() is not None or time.monotonic() > deadline:
                break
            time.sleep(0.04)
        time.sleep(moments.uniform(0.0, 0.3 if share else 5.0))
        process.kill()
        process.communicate()

    def end(self) -> dict[str, object]:
        """Let it come to its end; what it says."""
        completed = run_cli(*self.command, **self.changes)
        assert completed.returncode == 0, completed.stderr
        return only_json(completed)

    def verify(self) -> "subprocess.CompletedProcess[str]":
        return run_cli("verify", "--lake", self.lake, **self.changes)

    def paid_twice(self) -> int:
        twice: int = self.endpoint.stats()["answered_twice"]
        return twice


def assert_all_well(soak: Soak, told: dict[str, object]) -> None:
    verified = soak.verify()
    assert verified.returncode == 0, verified.stdout + verified.stderr
    assert (told["articles"], told["left"], told["failed"]) == (ARTICLES, 0, 0)
    again = soak.end()
    assert (again["calls"], again["reused"]) == (0, ARTICLES)
