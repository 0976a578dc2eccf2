"""Run the mock endpoint as a child process."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from article_flows.tasks.common.package_data import IMPORT_ROOT

API_KEY_VARIABLE: Final = "MOCK_ENDPOINT_API_KEY"
"""Passes the API key to the endpoint: unlike arguments, it is not visible in process lists."""
_STOP_TIMEOUT_S: Final = 5.0


@contextmanager
def running_mock_endpoint(
    arguments: Sequence[str] = (),
    *,
    api_key: str = "",
    module: str = "article_flows.tasks.mock_endpoint",
) -> Iterator[str]:
    """Run the endpoint on a free loopback port and yield its base URL, up to /v1.

    The child also ends when this process is killed, because that closes its standard input.

    Args:
        arguments: Command-line arguments of the endpoint.
        api_key: The key that the endpoint requires; any key passes if empty.
        module: The module to run; benchmarks have an endpoint of their own.

    Raises:
        RuntimeError: It did not start; the message contains its standard error.
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
            # Ctrl-C signals the whole foreground process group, but the parent still needs its
            # endpoint to complete the requests in flight.
            process_group=0,
        )
        try:
            line = process.stdout.readline().decode() if process.stdout else ""
            if not line:
                stderr.seek(0)
                output = stderr.read().decode(errors="replace").strip() or "(nothing)"
                raise RuntimeError(f"the mock endpoint did not start; it wrote: {output}")
            yield line.split()[0]
        finally:
            try:
                # Closes its standard input, which ends it.
                process.communicate(timeout=_STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()
