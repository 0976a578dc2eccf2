"""Endpoints that benchmarks and tests start as child processes, and ask for their counts."""

import urllib.request
from contextlib import ExitStack
from typing import Any, ClassVar, Literal, Self

import orjson

from article_flows.tasks.mock_endpoint.faults import Faults
from article_flows.tasks.mock_endpoint.process import running_mock_endpoint

AnswerKind = Literal["extractive", "canned"]


class MockEndpoint:
    """The mock endpoint with counts, for as long as the `with` block lasts.

    Args:
        faults: its misbehavior; none by default.
        api_key: the key to ask for; without one, any will do.
        strict_model: whether to know no model but extractive-v1.
        port: 0 for a free one.

    Attributes:
        base_url: such as http://127.0.0.1:40123/v1, for an OpenAI client.
        port: its port.
    """

    base_url: str
    port: int
    _module: ClassVar = "benchmarks.counting"

    def __init__(
        self,
        faults: Faults | None = None,
        *,
        api_key: str = "",
        strict_model: bool = False,
        port: int = 0,
    ) -> None:
        faults = faults or Faults()
        self._arguments = [
            *("--port", str(port), "--seed", str(faults.seed)),
            *(f"--fault={option}" for option in faults.options()),
            *(["--strict-model"] if strict_model else []),
        ]
        self._api_key = api_key
        self._running = ExitStack()

    def start(self) -> Self:
        """Start it and wait until it listens.

        Raises:
            RuntimeError: it did not start; the message has what it wrote to standard error.
        """
        running = running_mock_endpoint(self._arguments, api_key=self._api_key, module=self._module)
        self.base_url = self._running.enter_context(running)
        self.port = int(self.base_url.removesuffix("/v1").rpartition(":")[2])
        return self

    def stop(self) -> None:
        """End it; harmless when it has ended."""
        self._running.close()

    def stats(self) -> dict[str, Any]:
        """Return its counts; see `benchmarks.counting`."""
        stats: dict[str, Any] = self._ask("GET", "/stats")
        return stats

    def prompt_counts(self) -> dict[str, int]:
        """Return how often each prompt was answered well, by hash of its messages."""
        counts: dict[str, int] = self._ask("GET", "/stats/prompts")
        return counts

    def reset_stats(self) -> None:
        """Set its counts to zero."""
        self._ask("POST", "/stats/reset")

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *error: object) -> None:
        self.stop()

    def _ask(self, method: str, path: str) -> Any:
        # A proxy that the environment names is not for the loopback.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", method=method)
        with opener.open(request, timeout=30) as response:
            return orjson.loads(response.read())


class CannedEndpoint(MockEndpoint):
    """One that gives constant answers, at a fifth of the cost; see `benchmarks.canned_server`."""

    _module: ClassVar = "benchmarks.canned_server"


ENDPOINTS: dict[AnswerKind, type[MockEndpoint]] = {
    "extractive": MockEndpoint,
    "canned": CannedEndpoint,
}
