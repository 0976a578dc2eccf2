"""The state of `tests.object_store.server`: the bucket, the simulated faults, the counts."""

import random
import threading
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any, cast
from urllib.parse import parse_qs, urlsplit

from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.moto_server.werkzeug_app import create_backend_app
from moto.s3.models import s3_backends

from tests.object_store import BUCKET

_ERRORS = {
    "slow_down": (503, "SlowDown", "Please reduce your request rate."),
    "unavailable": (503, "ServiceUnavailable", "Service is unable to handle request."),
    "internal": (500, "InternalError", "We encountered an internal error. Please try again."),
    "applied": (500, "InternalError", "We encountered an internal error. Please try again."),
    "key": (403, "InvalidAccessKeyId", "The AWS Access Key Id you provided does not exist."),
}
Response = tuple[int, list[tuple[str, str]], bytes]


def error(kind: str) -> Response:
    """Return the error response of a fault."""
    status, code, message = _ERRORS[kind]
    body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{message}</Message></Error>"
    return status, [("Content-Type", "application/xml")], body.encode()


def operation_of(method: str, target: str, copies: bool) -> str:
    """Return the `tests.object_store.Operation` of a request."""
    url = urlsplit(target)
    parameters = parse_qs(url.query, keep_blank_values=True)
    if parameters.keys() & {"uploads", "uploadId"}:
        return "MULTIPART"
    if method == "POST" and "delete" in parameters:
        return "DELETE"
    if method == "GET" and "/" not in url.path.strip("/"):
        return "LIST"
    return "COPY" if copies else method


class Store:
    """The state shared by all requests, including moto's application."""

    def __init__(self) -> None:
        self.app = cast(Callable[..., Iterable[bytes]], create_backend_app("s3"))
        self.lock = threading.Lock()
        self.latency = 0.0
        self.conflict_status = 412
        self.outage: str | None = None
        self.outage_ended = threading.Event()
        self.counts: Counter[str] = Counter()
        self.faults: Counter[str] = Counter()
        self.fail(0.0, 0, (), ())
        s3_backends[DEFAULT_ACCOUNT_ID]["aws"].create_bucket(BUCKET, "us-east-1")

    def fail(
        self, share: float, seed: int, operations: Iterable[str], kinds: Iterable[str]
    ) -> None:
        """Fail a share of the given operations, each with one of the given faults."""
        with self.lock:
            self.share, self.random = share, random.Random(seed)
            self.operations, self.kinds = frozenset(operations), sorted(kinds)

    def fault(self, operation: str) -> str | None:
        """Count a request, and return its fault, or None if it should succeed."""
        with self.lock:
            self.counts[operation] += 1
            if self.outage is not None:
                kind = self.outage
            elif operation in self.operations and self.random.random() < self.share:
                kind = self.random.choice(self.kinds)
            else:
                return None
            self.faults[kind] += 1
            return kind

    def set_outage(self, kind: str | None) -> None:
        """Start an outage of a kind, or end it with None."""
        with self.lock:
            self.outage = kind
        if kind == "silent":
            self.outage_ended.clear()
        else:
            self.outage_ended.set()

    def reset_counts(self) -> None:
        """Reset the counts of requests and faults."""
        with self.lock:
            self.counts.clear()
            self.faults.clear()

    def call(self, environ: dict[str, Any]) -> Response:
        """Let moto respond, one request at a time, so that conditional writes are atomic."""
        started: list[tuple[int, list[tuple[str, str]]]] = []

        def start_response(status: str, headers: list[tuple[str, str]], *_: Any) -> None:
            started.append((int(status.split()[0]), headers))

        with self.lock:
            body = b"".join(self.app(environ, start_response))
        status, headers = started[0]
        return (self.conflict_status if status == 412 else status), headers, body

    def state(self) -> dict[str, Any]:
        """Return the contents of the bucket and the counts."""
        with self.lock:
            bucket = s3_backends[DEFAULT_ACCOUNT_ID]["aws"].buckets[BUCKET]
            return {
                "keys": sorted(bucket.keys),
                "uploads": sorted(upload.key_name for upload in bucket.multiparts.values()),
                "counts": dict(self.counts),
                "faults": dict(self.faults),
            }
