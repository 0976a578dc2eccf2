"""Support for soak tests: a run over 5,000 articles that is killed repeatedly."""

import random
import subprocess
import time
from pathlib import Path

from article_flows.tasks.mock_endpoint.faults import Faults
from benchmarks.servers.endpoints import CannedEndpoint, MockEndpoint
from tests.support import only_json, run_cli, start_cli, write_articles

ARTICLES = 5_000
IN_FLIGHT = 64
SEED = 20


def slow_endpoint() -> MockEndpoint:
    """Return an endpoint with a latency of 0.2 s: 5,000 requests, 64 at a time, take 16 s."""
    return CannedEndpoint(Faults.parse(["latency=fixed:0.2"]))


class Soak:
    """A run that is killed repeatedly, and its costs."""

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
        """The environment variables of a run."""
        return {"ARTICLE_FLOWS_SPOOL": str(self.spool)}

    def start(self) -> "subprocess.Popen[str]":
        return start_cli(*self.command, **self.changes)

    def kill(self, moments: random.Random, share: float) -> None:
        """Start the run, and kill it at a random moment.

        Args:
            moments: The random generator.
            share: Kill it after at most this share of all answers; 0 to kill it within the first
                five seconds, perhaps before the first answer.
        """
        process = self.start()
        target = self.endpoint.stats()["answered"] + moments.uniform(0.2, 1.0) * share * ARTICLES
        deadline = time.monotonic() + 120
        while share and self.endpoint.stats()["answered"] < target:
            if process.poll() is not None or time.monotonic() > deadline:
                break
            time.sleep(0.04)
        time.sleep(moments.uniform(0.0, 0.3 if share else 5.0))
        process.kill()
        process.communicate()

    def finish(self) -> dict[str, object]:
        """Run to the end, and return the report."""
        completed = run_cli(*self.command, **self.changes)
        assert completed.returncode == 0, completed.stderr
        return only_json(completed)

    def verify(self) -> "subprocess.CompletedProcess[str]":
        return run_cli("verify", "--lake", self.lake, **self.changes)

    def paid_twice(self) -> int:
        twice: int = self.endpoint.stats()["answered_twice"]
        return twice


def assert_complete(soak: Soak, report: dict[str, object]) -> None:
    verified = soak.verify()
    assert verified.returncode == 0, verified.stdout + verified.stderr
    assert (report["articles"], report["left"], report["failed"]) == (ARTICLES, 0, 0)
    again = soak.finish()
    assert (again["calls"], again["reused"]) == (0, ARTICLES)
