"""An S3 server on loopback, in its own process, that can simulate faults and outages.

moto implements the API, so any S3 client works. Lakes use `ObjectStoreServer.uri`, with
`environment()` in their environment.
"""

import json
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self, get_args

ROOT = Path(__file__).parents[2]
BUCKET = "bucket"
ACCESS_KEY = "test-key-id"
SECRET_KEY = "test-secret"
# How a single request fails. "applied": the store applies the request, then responds 500.
Fault = Literal["slow_down", "internal", "reset", "applied"]
# How all requests fail. "refused": nothing listens. "silent": accepted, but without a response.
Outage = Literal["refused", "reset", "unavailable", "silent"]
Operation = Literal["GET", "HEAD", "LIST", "PUT", "COPY", "DELETE", "MULTIPART"]


class ObjectStoreServer:
    """One bucket behind an S3 API; runs as a context manager."""

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.object_store.server"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.port: int = self._reply()["port"]
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._process.kill()
        self._process.communicate()

    @property
    def endpoint(self) -> str:
        """The host and port."""
        return f"127.0.0.1:{self.port}"

    def uri(self, prefix: str = "lake") -> str:
        """Return the URI of a folder in the bucket, for article-flows and pyarrow.fs."""
        options = f"endpoint_override={self.endpoint}&scheme=http&region=us-east-1"
        return f"s3://{BUCKET}/{prefix}?{options}"

    def environment(self) -> dict[str, str]:
        """Return the environment variables that clients need; the fixture sets them."""
        return {
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": "/dev/null",
            "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
        }

    def fail(
        self,
        share: float,
        seed: int = 0,
        *,
        operations: Iterable[Operation] = get_args(Operation),
        faults: Iterable[Fault] = get_args(Fault),
    ) -> None:
        """Fail a share of the requests, from 0 (none) to 1 (all)."""
        kinds = sorted(faults)
        self._send("fail", share=share, seed=seed, operations=sorted(operations), kinds=kinds)

    def outage(self, on: bool, kind: Outage = "refused") -> None:
        """Start or end an outage; the objects remain."""
        self._send("outage", kind=kind if on else None)

    @contextmanager
    def away(self, kind: Outage = "refused") -> Iterator[None]:
        """Simulate an outage within a block."""
        self.outage(True, kind)
        try:
            yield
        finally:
            self.outage(False)

    def latency(self, seconds: float) -> None:
        """Delay each response."""
        self._send("latency", seconds=seconds)

    def conflicts(self, status: Literal[409, 412]) -> None:
        """Set the status of failed conditional writes, which differs between real stores."""
        self._send("conflicts", status=status)

    def counts(self) -> dict[str, int]:
        """Return the number of requests by operation, including failed ones."""
        counts: dict[str, int] = self._send("state")["counts"]
        return counts

    def faults(self) -> dict[str, int]:
        """Return the number of failed requests by fault."""
        faults: dict[str, int] = self._send("state")["faults"]
        return faults

    def keys(self, prefix: str = "") -> list[str]:
        """Return the sorted names of objects with a prefix, read from the server's memory."""
        return [key for key in self._send("state")["keys"] if key.startswith(prefix)]

    def uploads(self) -> list[str]:
        """Return the names of multipart uploads that were neither completed nor aborted."""
        uploads: list[str] = self._send("state")["uploads"]
        return uploads

    def recover(self) -> None:
        """End all faults and reset the counts; the objects remain."""
        self.fail(0.0)
        self.latency(0.0)
        self.conflicts(412)
        self.outage(False)
        self._send("reset_counts")

    def _send(self, command: str, **arguments: Any) -> dict[str, Any]:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"command": command, **arguments}) + "\n")
        self._process.stdin.flush()
        return self._reply()

    def _reply(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the object store ended with status {self._process.wait()}")
        reply: dict[str, Any] = json.loads(line)
        return reply
