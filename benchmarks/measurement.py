"""One measurement: a fresh endpoint, a fresh process on the client's core, and what both say."""

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import IO, Any

from article_flows.tasks.mock_endpoint.faults import Faults
from benchmarks.cores import client_core
from benchmarks.endpoints import ENDPOINTS, AnswerKind, MockEndpoint
from benchmarks.work import Done, Work

ROOT = Path(__file__).parents[1]
_SAMPLE_EVERY_S = 0.25
_LONGEST_RUN_S = 3600.0


@dataclass(frozen=True)
class Measurement:
    """What one way did with one scenario.

    Attributes:
        way, rows, in_flight, note: what was measured; in_flight 0 is the way's default.
        done: what the way says of its work.
        wall_s: seconds of the whole process.
        cpu_s: CPU seconds of the whole process, user and system, imports included.
        peak_mib: the most memory it had resident.
        cores: those it was allowed.
        stats: the endpoint's counts; see benchmarks.counting.
        active: how many calls the endpoint had in hand, sampled while it had any.
        endpoint_cpu_s: CPU seconds of the endpoint meanwhile.
    """

    way: str
    rows: int
    in_flight: int
    note: str
    done: Done
    wall_s: float
    cpu_s: float
    peak_mib: float
    cores: list[int]
    stats: dict[str, Any] = field(repr=False)
    active: list[int] = field(repr=False)
    endpoint_cpu_s: float

    @property
    def seconds(self) -> float | None:
        """From the first request to the last commit; None for a way that crashed."""
        return self.done.seconds or None

    @property
    def rate(self) -> float | None:
        """Rows answered a second, from the first request to the last commit."""
        return self.done.answered / self.done.seconds if self.done.seconds else None

    @property
    def cpu_ms_per_row(self) -> float:
        """CPU of the whole process for each row."""
        return 1000 * self.cpu_s / self.rows

    @property
    def endpoint_busy(self) -> float | None:
        """Share of the time that the endpoint's core was at work for it."""
        return self.endpoint_cpu_s / self.seconds if self.seconds else None

    @property
    def calls(self) -> int:
        """Requests that reached the endpoint."""
        calls: int = self.stats["calls"]
        return calls

    @property
    def limited(self) -> int:
        """Calls that were answered 429."""
        limited: int = self.stats["calls_per_status"].get("429", 0)
        return limited

    @property
    def unanswered(self) -> int:
        """Rows that have no answer on disk."""
        return self.rows - self.done.answered

    @property
    def left(self) -> int:
        """Rows that a run which had to stop says are left to do, as beyond a budget."""
        left: int = self.done.told.get("left", 0)
        return left

    @property
    def lost(self) -> int:
        """Rows that have no answer on disk and were not left to do."""
        return self.unanswered - self.left

    @property
    def paid_twice(self) -> int:
        """Good answers beyond the first to the same prompt."""
        twice: int = self.stats["answered_twice"]
        return twice

    @property
    def settled_in_flight(self) -> float | None:
        """The median of the calls in hand over the second half of the run."""
        return median(self.active[len(self.active) // 2 :]) if self.active else None

    def bill(self, price_in: float, price_out: float) -> float:
        """US dollars for what the endpoint billed; prices are for a million tokens."""
        tokens_in, tokens_out = (
            self.stats["billed_prompt_tokens"],
            self.stats["billed_completion_tokens"],
        )
        return float(tokens_in * price_in + tokens_out * price_out) / 1e6


@dataclass(frozen=True)
class Conditions:
    """How the endpoint behaves; `faults` as article_flows.tasks.mock_endpoint.faults reads them."""

    faults: tuple[str, ...] = ()
    answers: AnswerKind = "canned"
    sampled: bool = False


def measure(
    way: str,
    articles: Path,
    rows: int,
    *,
    conditions: Conditions,
    in_flight: int,
    lake: Path | None = None,
    options: tuple[str, ...] = (),
    note: str = "",
) -> Measurement:
    """Run one way once, against an endpoint of its own."""
    faults = Faults.parse(conditions.faults)
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as folder,
        ENDPOINTS[conditions.answers](faults) as endpoint,
    ):
        work = Work(
            articles=str(articles),
            output=str(Path(folder) / "enriched.parquet"),
            lake=str(lake or ""),
            base_url=endpoint.base_url,
            in_flight=in_flight,
            options=list(options),
        )
        cpu_before = endpoint.stats()["cpu_seconds"]
        with _Samples(endpoint, wanted=conditions.sampled) as samples:
            told, wall_s, cpu_s = run_measured(way, work)
        stats = endpoint.stats()
    return Measurement(
        way=way,
        rows=rows,
        in_flight=in_flight,
        note=note,
        done=Done(**told["done"]),
        wall_s=wall_s,
        cpu_s=cpu_s,
        peak_mib=told["peak_mib"],
        cores=told["cores"],
        stats=stats,
        active=samples.active,
        endpoint_cpu_s=stats["cpu_seconds"] - cpu_before,
    )


def run_measured(way: str, work: Work) -> tuple[dict[str, Any], float, float]:
    """Run `benchmarks.measured`; gives what it said, its seconds and its CPU seconds.

    One that dies, or is killed for taking too long, has crashed like one that raises.
    """
    core = client_core()
    command = [sys.executable, "-m", "benchmarks.measured", way, json.dumps(asdict(work))]
    with tempfile.TemporaryFile() as stdout, tempfile.TemporaryFile() as stderr:
        started = time.perf_counter()
        process = subprocess.Popen(
            [*command, "" if core is None else str(core)],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
        )
        overdue = threading.Timer(_LONGEST_RUN_S, process.kill)
        overdue.start()
        # Not communicate: wait4 alone tells the CPU of this one child, to its very end.
        _, status, usage = os.wait4(process.pid, 0)
        overdue.cancel()
        wall_s = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        told = _last_json(stdout) or _death_of(process.returncode, stderr)
    return told, wall_s, usage.ru_utime + usage.ru_stime


def _last_json(stdout: IO[bytes]) -> dict[str, Any] | None:
    """What the last line says; None if it was not written."""
    stdout.seek(0)
    lines = stdout.read().splitlines()
    try:
        told: dict[str, Any] = json.loads(lines[-1])
    except (IndexError, ValueError):
        return None
    return told


def _death_of(status: int, stderr: IO[bytes]) -> dict[str, Any]:
    """What a process would have said that died of `status`, with the last it wrote."""
    stderr.seek(0)
    lines = stderr.read().decode(errors="replace").split("\n")
    words = next((line.strip() for line in reversed(lines) if line.strip()), "(nothing)")
    error = f"died with exit status {status}: {words[:200]}"
    return {"done": asdict(Done(0.0, 0, status, error)), "peak_mib": 0.0, "cores": []}


class _Samples:
    """Asks the endpoint again and again how many calls it has in hand."""

    def __init__(self, endpoint: MockEndpoint, *, wanted: bool) -> None:
        self.active: list[int] = []
        self._endpoint = endpoint
        self._wanted = wanted
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self) -> "_Samples":
        if self._wanted:
            self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ending.set()
        if self._wanted:
            self._thread.join()

    def _sample(self) -> None:
        while not self._ending.wait(_SAMPLE_EVERY_S):
            if active := self._endpoint.stats()["active"]:
                self.active.append(active)
