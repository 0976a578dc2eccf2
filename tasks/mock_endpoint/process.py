"""Run the mock endpoint as a child process, for as long as something needs it."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from article_flows.tasks.common.package_data import IMPORT_ROOT

API_KEY_VARIABLE: Final = "MOCK_ENDPOINT_API_KEY"
"""Where the endpoint's API key comes from: the environment shows in no list of processes."""
_SECONDS_TO_STOP: Final = 5.0


@contextmanager
def running_mock_endpoint(
    arguments: Sequence[str] = (),
    *,
    api_key: str = "",
    module: str = "article_flows.tasks.mock_endpoint",
) -> Iterator[str]:
    """Run the endpoint on a free port of the loopback; gives its base URL, up to /v1.

    It ends with its parent even when that is killed: its standard input is a pipe from here.

    Args:
        arguments: of its command line.
        api_key: the key to ask for; without one, any will do.
        module: what to run; the benchmarks have an endpoint of their own.

    Raises:
        RuntimeError: it did not start; the message has what it wrote to standard error.
    """
    with tempfile.TemporaryFile() as stderr:
        process = subprocess.Popen(
            [sys.executable, "-m", module, "--port", "0", "--until-stdin-closes", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            env={
                **os.environ,
                API_KEY_VARIABLE: api_key,
                "PYTHONPATH": f"{IMPORT_ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}",
            },
            # Ctrl-C goes to the whole foreground group of a terminal; the parent, which takes in
            # what is in flight, still needs its endpoint then.
            process_group=0,
        )
        try:
            # It ends at once where it cannot start.
            line = process.stdout.readline().decode() if process.stdout else ""
            if not line:
                stderr.seek(0)
                said = stderr.read().decode(errors="replace").strip() or "(nothing)"
                raise RuntimeError(f"the mock endpoint did not start; it wrote: {said}")
            yield line.split()[0]
        finally:
            try:
                # The end of its input is its end.
                process.communicate(timeout=_SECONDS_TO_STOP)
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()
