"""The measured process, which runs one way once on a core of its own.

    python -m benchmarks.measured WAY WORK CORE

WORK is a `work.Work` as JSON. The last line of standard output is JSON with the way's result, the
peak memory of this process and the cores that it could use.
"""

import json
import sys
from dataclasses import asdict

from benchmarks.cores import cores_allowed, pin


def main() -> None:
    """Pin this process, do the work, and report the result or the crash."""
    name, work_json, core = sys.argv[1:]
    # Before importing modules that start threads, which would keep their affinity.
    pin(int(core) if core else None)
    from benchmarks.task_runners import peak_rss_mib
    from benchmarks.ways import run_way
    from benchmarks.work import Done, Work

    try:
        done = run_way(name, Work(**json.loads(work_json)))
    except Exception as error:
        message = " ".join(str(error).split())[:200]
        done = Done(0.0, 0, 1, f"{type(error).__name__}: {message}")
    result = {"done": asdict(done), "peak_mib": peak_rss_mib(), "cores": cores_allowed()}
    print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
