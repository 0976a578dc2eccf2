"""Compare `EventLoopTaskRunner` with Prefect's default task runner by mapping 500 async tasks.

Each runner gets a fresh process against the same temporary Prefect server; the second one starts
after the server has recorded all runs of the first. Each process maps one task before the
measurement, which therefore excludes imports and connection setup. Seconds and CPU time cover `map`
and `result` in that process, without the CPU time of the server, which shares the machine.

    python -m benchmarks.task_runners [--runs 500] [--json]
"""

import argparse
import asyncio
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

if TYPE_CHECKING:
    from prefect.task_runners import TaskRunner

TASK_SECONDS = 0.02
RUNS = 500
NAMES = {"event-loop": "EventLoopTaskRunner", "default": "Prefect's default"}
MIB = 2**20


@dataclass(frozen=True)
class Measurement:
    """The wall-clock seconds, CPU seconds and memory of a process that maps tasks."""

    runner: str
    runs: int
    seconds: float
    cpu_seconds: float
    peak_rss_mib: float
    peak_growth_mib: float

    @property
    def rate(self) -> float:
        """Task runs per second."""
        return self.runs / self.seconds


def peak_rss_mib() -> float:
    """Return the peak resident memory of this process, in MiB.

    On Linux, `ru_maxrss` starts with the value of the parent process, which may be larger; VmHWM
    starts at exec.
    """
    status = Path("/proc/self/status")
    if status.exists():
        (line,) = (line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return float(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / MIB


def make_runner(name: str) -> "TaskRunner[Any]":
    """Return the task runner for a key of `NAMES`."""
    if name == "event-loop":
        from article_flows.tasks.orchestration.event_loop_task_runner import EventLoopTaskRunner

        return EventLoopTaskRunner()
    from prefect.task_runners import ThreadPoolTaskRunner

    return ThreadPoolTaskRunner()


def measure(name: str, runs: int) -> Measurement:
    """Measure mapping `runs` tasks in this process, on the Prefect server of the environment."""
    from prefect import flow, task
    from prefect.cache_policies import NO_CACHE

    @task(cache_policy=NO_CACHE)
    async def sleep_briefly(number: int) -> int:
        await asyncio.sleep(TASK_SECONDS)
        return number

    @flow(task_runner=make_runner(name))
    def map_tasks(count: int) -> Measurement:
        rss_before, cpu_before = psutil.Process().memory_info().rss / MIB, time.process_time()
        start = time.perf_counter()
        results: list[Any] = sleep_briefly.map(range(count)).result()
        seconds = time.perf_counter() - start
        if results != list(range(count)):
            raise RuntimeError(f"{name} returned unexpected results")
        cpu, peak = time.process_time() - cpu_before, peak_rss_mib()
        return Measurement(name, count, seconds, cpu, peak, peak - rss_before)

    map_tasks(1)
    return map_tasks(runs)


def measure_in_fresh_process(name: str, runs: int) -> Measurement:
    """Run `measure` in a new process; raise SystemExit with its standard error if it fails."""
    command = [sys.executable, "-m", "benchmarks.task_runners", "--measure", name]
    process = subprocess.run(
        [*command, "--runs", str(runs)], capture_output=True, text=True, check=False
    )
    if process.returncode:
        raise SystemExit(f"The benchmark of {NAMES[name]} failed:\n{process.stderr}")
    return Measurement(**json.loads(process.stdout.splitlines()[-1]))


def wait_until_recorded(task_runs: int) -> None:
    """Wait until the server has recorded this many completed task runs."""
    from prefect.client.orchestration import get_client

    only_completed = {"task_runs": {"state": {"type": {"any_": ["COMPLETED"]}}}}
    with get_client(sync_client=True) as client:
        while client.request("POST", "/task_runs/count", json=only_completed).json() < task_runs:
            time.sleep(0.5)


def measure_all(runs: int) -> list[Measurement]:
    """Measure each runner in turn against a temporary server."""
    from prefect.settings import get_current_settings
    from prefect.testing.utilities import prefect_test_harness

    measurements = []
    with prefect_test_harness(server_startup_timeout=120):
        os.environ["PREFECT_API_URL"] = str(get_current_settings().api.url)
        for number, name in enumerate(NAMES, start=1):
            measurements.append(measure_in_fresh_process(name, runs))
            wait_until_recorded(number * (runs + 1))
    return measurements


def print_table(event_loop: Measurement, default: Measurement) -> None:
    """Print both measurements and the factors of improvement."""
    rows = [
        ("seconds", event_loop.seconds, default.seconds, "less"),
        ("task runs per second", event_loop.rate, default.rate, "more"),
        ("CPU seconds", event_loop.cpu_seconds, default.cpu_seconds, "less"),
        ("peak RSS, MiB", event_loop.peak_rss_mib, default.peak_rss_mib, "less"),
        ("peak RSS growth, MiB", event_loop.peak_growth_mib, default.peak_growth_mib, "less"),
    ]
    print(f"{event_loop.runs} async tasks of {TASK_SECONDS * 1000:.0f} ms, mapped")
    print(f"{'':22}{NAMES['event-loop']:>20}{NAMES['default']:>20}")
    for label, ours, theirs, better in rows:
        times = ours / theirs if better == "more" else theirs / ours
        print(f"{label:22}{ours:20.1f}{theirs:20.1f}   {times:.1f} times {better}")
    print("Growth is the peak minus the resident size after imports and one mapped task.")


def main() -> None:
    """Run the benchmark, or only one runner in this process with --measure."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--runs", type=int, default=RUNS, help="task runs to map (default: %(default)s)"
    )
    parser.add_argument("--json", action="store_true", help="also print one line of JSON")
    parser.add_argument("--measure", choices=list(NAMES), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(asdict(measure(options.measure, options.runs))))
        return
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home:
        # Must be set before Prefect is imported, here and in the measured processes.
        os.environ |= {
            "PREFECT_HOME": home,
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "DO_NOT_TRACK": "1",
            "PREFECT_LOGGING_LEVEL": "WARNING",
        }
        event_loop, default = measure_all(options.runs)
    print_table(event_loop, default)
    if options.json:
        print(json.dumps([asdict(event_loop), asdict(default)]))


if __name__ == "__main__":
    main()
