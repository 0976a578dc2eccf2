"""Mock endpoints as child processes, which benchmarks and tests start and query for statistics."""

import urllib.request
from contextlib import ExitStack
from typing import Any, ClassVar, Literal, Self

import orjson

from article_flows.tasks.mock_endpoint.faults import Faults
from article_flows.tasks.mock_endpoint.process import running_mock_endpoint

AnswerKind = Literal["extractive", "canned"]


class MockEndpoint:
    """A mock endpoint with statistics that runs for the duration of a `with` block.

    Args:
        faults: The faults to inject; none by default.
        api_key: The required API key; empty to accept any.
        strict_model: Whether to reject all models except extractive-v1.
        port: The port to listen on; 0 for a free one.

    Attributes:
        base_url: The URL for an OpenAI client, such as http://127.0.0.1:40123/v1.
        port: The port it listens on.
    """

    base_url: str
    port: int
    _module: ClassVar = "benchmarks.servers.counting"

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
        """Start the endpoint and wait until it listens.

        Raises:
            RuntimeError: It did not start; the message has its standard error.
        """
        running = running_mock_endpoint(self._arguments, api_key=self._api_key, module=self._module)
        self.base_url = self._running.enter_context(running)
        self.port = int(self.base_url.removesuffix("/v1").rpartition(":")[2])
        return self

    def stop(self) -> None:
        """Stop the endpoint; do nothing if it has stopped."""
        self._running.close()

    def stats(self) -> dict[str, Any]:
        """Return the statistics; see `benchmarks.servers.counting`."""
        stats: dict[str, Any] = self._request("GET", "/stats")
        return stats

    def prompt_counts(self) -> dict[str, int]:
        """Return how often each prompt was answered validly, by hash of its messages."""
        counts: dict[str, int] = self._request("GET", "/stats/prompts")
        return counts

    def reset_stats(self) -> None:
        """Reset the statistics to zero."""
        self._request("POST", "/stats/reset")

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *error: object) -> None:
        self.stop()

    def _request(self, method: str, path: str) -> Any:
        # Ignores proxy settings of the environment.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", method=method)
        with opener.open(request, timeout=30) as response:
            return orjson.loads(response.read())


class CannedEndpoint(MockEndpoint):
    """A mock endpoint with constant answers, at a fifth of the cost: `canned_server.py`."""

    _module: ClassVar = "benchmarks.servers.canned_server"


ENDPOINTS: dict[AnswerKind, type[MockEndpoint]] = {
    "extractive": MockEndpoint,
    "canned": CannedEndpoint,
}
