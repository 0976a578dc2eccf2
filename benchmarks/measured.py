"""The process that is measured: one way, once, alone on its core.

    python -m benchmarks.measured WAY WORK CORE

WORK is the JSON of `work.Work`. The last line of standard output is JSON: what the way has done,
and the peak memory of this process and the cores that it was allowed.
"""

import json
import sys
from dataclasses import asdict

from benchmarks.cores import cores_allowed, pin


def main() -> None:
    """Pin this process, then import and do the work; a crash is reported, not raised."""
    name, work_json, core = sys.argv[1:]
    # Before anything is imported that starts threads, which stay where they were started.
    pin(int(core) if core else None)
    from benchmarks.task_runners import peak_rss_mib
    from benchmarks.ways import run_way
    from benchmarks.work import Done, Work

    try:
        done = run_way(name, Work(**json.loads(work_json)))
    except Exception as error:
        words = " ".join(str(error).split())[:200]
        done = Done(0.0, 0, 1, f"{type(error).__name__}: {words}")
    told = {"done": asdict(done), "peak_mib": peak_rss_mib(), "cores": cores_allowed()}
    print(json.dumps(told), flush=True)


if __name__ == "__main__":
    main()
