"""The promise: kill it whenever you like, start it again, and it is as if nothing had happened.

Runs of 5,000 articles as real processes, killed with SIGKILL at seeded random moments and started
again, into a folder and into an object store that fails; `article-flows verify` has the last word.
"""

import json
import random
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks.llm.embedded_process import EmbeddedEndpoint
from tasks.llm.faults import Faults
from tests.object_store import ObjectStoreServer
from tests.support import only_json, read_rows, run_cli, start_cli, write_articles

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("prefect_server")]

ARTICLES = 5_000
IN_FLIGHT = 64
GROUP_COMMIT = 500
"""Answers that an object store may lack when the machine is lost: half a second of this run's."""
SEED = 20


class Soak:
    """A run that is killed again and again, and what it has cost."""

    def __init__(self, tmp_path: Path, endpoint: EmbeddedEndpoint, lake: str) -> None:
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

    def kill_at_random(self, moments: random.Random, kills: int) -> None:
        """Start it, and kill it when so many more answers have come; at times before the first."""
        for kill in range(kills):
            more = moments.randrange(ARTICLES // kills) if kill % 5 else 0
            process = self.start()
            wanted = self.endpoint.stats()["answered"] + more
            pause = moments.uniform(0.0, 5.0) if more == 0 else moments.uniform(0.0, 0.3)
            deadline = time.monotonic() + 120
            while more and self.endpoint.stats()["answered"] < wanted:
                if process.poll() is not None or time.monotonic() > deadline:
                    break
                time.sleep(0.01)
            time.sleep(pause)
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


@pytest.fixture
def endpoint() -> Iterator[EmbeddedEndpoint]:
    """An endpoint that takes 0.2 s an answer: 5,000 of them, 64 at once, take 16 s."""
    faults = Faults.parse(["latency=fixed:0.2"])
    with EmbeddedEndpoint(faults, answers="canned") as endpoint:
        yield endpoint


def assert_all_well(soak: Soak, told: dict[str, object]) -> None:
    verified = soak.verify()
    assert verified.returncode == 0, verified.stdout + verified.stderr
    assert (told["articles"], told["left"], told["failed"]) == (ARTICLES, 0, 0)
    again = soak.end()
    assert (again["calls"], again["reused"]) == (0, ARTICLES)


def test_twenty_kills_in_a_folder(tmp_path: Path, endpoint: EmbeddedEndpoint) -> None:
    kills = 20
    soak = Soak(tmp_path, endpoint, str(tmp_path / "lake"))
    soak.kill_at_random(random.Random(SEED), kills)
    told = soak.end()
    assert_all_well(soak, told)
    table = read_rows(str(told["table"]))
    assert len(table) == table["article_id"].nunique() == ARTICLES
    twice = soak.paid_twice()
    print(f"{kills} kills: {twice} paid twice of {kills * IN_FLIGHT} that may be (in flight)")
    assert twice <= kills * IN_FLIGHT


@pytest.mark.parametrize(
    ("failing", "machine_is_lost"), [(0.0, True), (0.05, False)], ids=["machine-lost", "failing"]
)
def test_five_kills_in_an_object_store(
    tmp_path: Path,
    endpoint: EmbeddedEndpoint,
    object_store: ObjectStoreServer,
    failing: float,
    machine_is_lost: bool,
) -> None:
    kills = 5
    soak = Soak(tmp_path, endpoint, object_store.uri(f"soak-{failing}"))
    object_store.fail(failing, seed=SEED)
    moments = random.Random(SEED)
    for _ in range(kills):
        soak.kill_at_random(moments, 1)
        if machine_is_lost:
            # The next run is on another machine: what this one kept on its disk is gone.
            shutil.rmtree(soak.spool, ignore_errors=True)
    told = soak.end()
    assert_all_well(soak, told)
    twice = soak.paid_twice()
    allowed = kills * (IN_FLIGHT + GROUP_COMMIT * machine_is_lost)
    print(
        f"{kills} kills, {failing:.0%} of the store's requests failed: {twice} paid twice of "
        f"{allowed} that may be"
    )
    assert twice <= allowed


def test_two_at_once_pay_for_nothing_twice(tmp_path: Path) -> None:
    source = write_articles(tmp_path / "articles.jsonl", 2_000)
    with EmbeddedEndpoint(Faults.parse(["latency=fixed:0.1"]), answers="canned") as endpoint:
        command = [
            *("run", str(source), "--lake", str(tmp_path / "lake"), "--json", "--model", "m"),
            *("--base-url", endpoint.base_url, "--max-in-flight", str(IN_FLIGHT)),
        ]
        processes = [start_cli(*command) for _ in range(2)]
        ended = [(process, *process.communicate(timeout=240)) for process in processes]
        stats = endpoint.stats()
    told = []
    for process, out, errors in ended:
        assert process.returncode == 0, errors
        told.append(json.loads(out))
    assert sum(each["calls"] for each in told) == stats["answered"] == 2_000
    assert stats["answered_twice"] == 0
    assert [each["articles"] for each in told] == [2_000, 2_000]
    waited = [errors for _, _, errors in ended if "another run" in errors]
    assert len(waited) == 1
    table = read_rows(told[0]["table"])
    assert len(table) == table["article_id"].nunique() == 2_000
