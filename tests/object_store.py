"""A real S3-speaking server on loopback, in its own process, with faults and outages.

moto keeps the bucket; pyarrow, boto3 or any other client may speak to it. Lakes get at it by
`ObjectStoreServer.uri`, with the keys of `environment()` in their environment.
"""

import json
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self, get_args

ROOT = Path(__file__).parents[1]
BUCKET = "bucket"
ACCESS_KEY = "test-key-id"
SECRET_KEY = "test-secret"
# How a single request fails. "applied": the store does what was asked, then answers 500.
Fault = Literal["slow_down", "internal", "reset", "applied"]
# How all do. "refused": nobody listens. "silent": taken, and not answered while it lasts.
Outage = Literal["refused", "reset", "unavailable", "silent"]
Operation = Literal["GET", "HEAD", "LIST", "PUT", "COPY", "DELETE", "MULTIPART"]


class ObjectStoreServer:
    """One bucket behind an S3 API; as a context manager it runs from enter to exit."""

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.object_store_server"],
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
        """Host and port."""
        return f"127.0.0.1:{self.port}"

    def uri(self, prefix: str = "lake") -> str:
        """A folder of the bucket as article-flows, and pyarrow.fs, are given it."""
        options = f"endpoint_override={self.endpoint}&scheme=http&region=us-east-1"
        return f"s3://{BUCKET}/{prefix}?{options}"

    def environment(self) -> dict[str, str]:
        """The variables that a client of the store needs; the fixture sets them."""
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
        """Fail a share of the requests of some operations; 0 ends it, 1 fails every one."""
        kinds = sorted(faults)
        self._ask("fail", share=share, seed=seed, operations=sorted(operations), kinds=kinds)

    def outage(self, on: bool, kind: Outage = "refused") -> None:
        """Begin or end an outage; what is in the bucket stays."""
        self._ask("outage", kind=kind if on else None)

    @contextmanager
    def away(self, kind: Outage = "refused") -> Iterator[None]:
        """An outage for the length of a block."""
        self.outage(True, kind)
        try:
            yield
        finally:
            self.outage(False)

    def latency(self, seconds: float) -> None:
        """Answer each request so much later."""
        self._ask("latency", seconds=seconds)

    def conflicts(self, status: Literal[409, 412]) -> None:
        """Answer so where a condition of a write is not met; servers differ in that."""
        self._ask("conflicts", status=status)

    def counts(self) -> dict[str, int]:
        """How many requests of each operation came, failed ones too."""
        counts: dict[str, int] = self._ask("tell")["counts"]
        return counts

    def faults(self) -> dict[str, int]:
        """How many requests were failed, in each way."""
        faults: dict[str, int] = self._ask("tell")["faults"]
        return faults

    def keys(self, prefix: str = "") -> list[str]:
        """The names of all objects that begin so, in order; from the store's own memory."""
        return [key for key in self._ask("tell")["keys"] if key.startswith(prefix)]

    def uploads(self) -> list[str]:
        """The names of the multipart uploads that were begun and neither ended nor aborted."""
        uploads: list[str] = self._ask("tell")["uploads"]
        return uploads

    def recover(self) -> None:
        """End all faults and count from nothing; the objects stay."""
        self.fail(0.0)
        self.latency(0.0)
        self.conflicts(412)
        self.outage(False)
        self._ask("forget")

    def _ask(self, what: str, **details: Any) -> dict[str, Any]:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"do": what, **details}) + "\n")
        self._process.stdin.flush()
        return self._reply()

    def _reply(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the object store ended with status {self._process.wait()}")
        reply: dict[str, Any] = json.loads(line)
        return reply
