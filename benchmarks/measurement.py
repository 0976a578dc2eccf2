"""Run one measurement: a fresh endpoint, and a fresh client process on a core of its own."""

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
from benchmarks.servers.endpoints import ENDPOINTS, AnswerKind, MockEndpoint
from benchmarks.work import Done, Work

ROOT = Path(__file__).parents[1]
_SAMPLE_INTERVAL_S = 0.25
_RUN_TIMEOUT_S = 3600.0


@dataclass(frozen=True)
class Measurement:
    """The measurement of one case.

    Attributes:
        way, rows, in_flight, note: The case; in_flight 0 is the way's default.
        done: The result that the way reported.
        wall_s: Wall-clock seconds of the whole process.
        cpu_s: CPU seconds of the whole process, user and system, including imports.
        peak_mib: Peak resident memory.
        cores: The cores that the process could use.
        stats: The endpoint's statistics; see benchmarks.servers.counting.
        active: Samples of the endpoint's calls in progress, without zeros.
        endpoint_cpu_s: CPU seconds of the endpoint during the measurement.
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
        """Seconds from the first request to the last commit; None after a crash."""
        return self.done.seconds or None

    @property
    def rate(self) -> float | None:
        """Answered rows per second, from the first request to the last commit."""
        return self.done.answered / self.done.seconds if self.done.seconds else None

    @property
    def cpu_ms_per_row(self) -> float:
        """CPU milliseconds of the whole process per row."""
        return 1000 * self.cpu_s / self.rows

    @property
    def endpoint_busy(self) -> float | None:
        """Load of the endpoint's core caused by the endpoint, from 0 to 1."""
        return self.endpoint_cpu_s / self.seconds if self.seconds else None

    @property
    def calls(self) -> int:
        """Number of requests that reached the endpoint."""
        calls: int = self.stats["calls"]
        return calls

    @property
    def limited(self) -> int:
        """Number of calls answered with status 429."""
        limited: int = self.stats["calls_per_status"].get("429", 0)
        return limited

    @property
    def unanswered(self) -> int:
        """Number of rows without an answer on disk."""
        return self.rows - self.done.answered

    @property
    def left(self) -> int:
        """Number of rows that a stopped run reported as left to do."""
        left: int = self.done.report.get("left", 0)
        return left

    @property
    def lost(self) -> int:
        """Number of rows that are neither answered nor left to do."""
        return self.unanswered - self.left

    @property
    def paid_twice(self) -> int:
        """Number of valid answers beyond the first to the same prompt."""
        twice: int = self.stats["answered_twice"]
        return twice

    @property
    def settled_in_flight(self) -> float | None:
        """Median of the calls in progress over the second half of the run."""
        return median(self.active[len(self.active) // 2 :]) if self.active else None

    def bill(self, price_in: float, price_out: float) -> float:
        """Return what the endpoint billed in US dollars; prices are per million tokens."""
        tokens_in, tokens_out = (
            self.stats["billed_prompt_tokens"],
            self.stats["billed_completion_tokens"],
        )
        return float(tokens_in * price_in + tokens_out * price_out) / 1e6


@dataclass(frozen=True)
class Conditions:
    """How the endpoint behaves.

    Attributes:
        faults: Options as `Faults.parse` accepts them.
        answers: Which endpoint to start.
        sampled: Whether to sample its calls in progress.
    """

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
    """Run one way once against a new endpoint; see `Measurement` for the arguments."""
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
        with _ActiveCallSampler(endpoint, enabled=conditions.sampled) as sampler:
            result, wall_s, cpu_s = run_measured(way, work)
        stats = endpoint.stats()
    return Measurement(
        way=way,
        rows=rows,
        in_flight=in_flight,
        note=note,
        done=Done(**result["done"]),
        wall_s=wall_s,
        cpu_s=cpu_s,
        peak_mib=result["peak_mib"],
        cores=result["cores"],
        stats=stats,
        active=sampler.active,
        endpoint_cpu_s=stats["cpu_seconds"] - cpu_before,
    )


def run_measured(way: str, work: Work) -> tuple[dict[str, Any], float, float]:
    """Run `benchmarks.measured` and return its result, its wall-clock and its CPU seconds.

    A process that dies or exceeds the time limit counts as crashed.
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
        timeout = threading.Timer(_RUN_TIMEOUT_S, process.kill)
        timeout.start()
        # Unlike communicate, wait4 returns the CPU time of this child.
        _, status, usage = os.wait4(process.pid, 0)
        timeout.cancel()
        wall_s = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        result = _last_json(stdout) or _crash_result(process.returncode, stderr)
    return result, wall_s, usage.ru_utime + usage.ru_stime


def _last_json(stdout: IO[bytes]) -> dict[str, Any] | None:
    stdout.seek(0)
    lines = stdout.read().splitlines()
    try:
        result: dict[str, Any] = json.loads(lines[-1])
    except (IndexError, ValueError):
        return None
    return result


def _crash_result(status: int, stderr: IO[bytes]) -> dict[str, Any]:
    """Return the result of a process that died, with the last line of its standard error."""
    stderr.seek(0)
    lines = stderr.read().decode(errors="replace").split("\n")
    message = next((line.strip() for line in reversed(lines) if line.strip()), "(no output)")
    error = f"died with exit status {status}: {message[:200]}"
    return {"done": asdict(Done(0.0, 0, status, error)), "peak_mib": 0.0, "cores": []}


class _ActiveCallSampler:
    """Background thread that samples the number of the endpoint's calls in progress."""

    def __init__(self, endpoint: MockEndpoint, *, enabled: bool) -> None:
        self.active: list[int] = []
        self._endpoint = endpoint
        self._enabled = enabled
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self) -> "_ActiveCallSampler":
        if self._enabled:
            self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stopping.set()
        if self._enabled:
            self._thread.join()

    def _sample(self) -> None:
        while not self._stopping.wait(_SAMPLE_INTERVAL_S):
            if active := self._endpoint.stats()["active"]:
                self.active.append(active)
