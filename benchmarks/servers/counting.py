"""The mock endpoint with statistics, which tests and benchmarks compare with a client's report.

It adds GET /stats, GET /stats/prompts and POST /stats/reset.
"""

import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import orjson

from article_flows.tasks.mock_endpoint.__main__ import main
from article_flows.tasks.mock_endpoint.faults import Faults
from article_flows.tasks.mock_endpoint.service import Reply, Service


@dataclass
class Stats:
    """Counts since the start or the last reset.

    Attributes:
        calls: Chat completion requests received.
        billed_prompt_tokens, billed_completion_tokens: Of every 200 response sent completely,
            valid or not.
        by_fault: How often each fault was injected, by the name of its option in Faults.
        max_concurrent_seen: The most calls in progress at once.
        calls_per_status: By HTTP status; "none" if no response was sent.
        generated_not_delivered: Answers lost to a reset, a stall, a truncation or a client that
            disconnected.
    """

    calls: int = 0
    billed_prompt_tokens: int = 0
    billed_completion_tokens: int = 0
    by_fault: Counter[str] = field(default_factory=Counter)
    max_concurrent_seen: int = 0
    calls_per_status: Counter[str] = field(default_factory=Counter)
    generated_not_delivered: int = 0


class CountingService(Service):
    """A mock endpoint service that counts calls and answers.

    Attributes:
        stats: The counts.
        prompts: How often each prompt was answered completely with status 200, without a fault
            and with finish_reason "stop", by hash of its messages.
    """

    def __init__(
        self, faults: Faults | None = None, api_key: str | None = None, strict_model: bool = False
    ) -> None:
        super().__init__(faults, api_key, strict_model)
        self.stats = Stats()
        self.prompts: Counter[str] = Counter()

    def handle_other(self, method: str, path: str, authorization: str) -> Reply:
        """Serve the counts, and all other paths as the base class does."""
        match method, path:
            case "GET", "/stats":
                content: dict[str, Any] = self._counts()
            case "GET", "/stats/prompts":
                content = self.prompts
            case "POST", "/stats/reset":
                self.stats, self.prompts = Stats(max_concurrent_seen=self.active), Counter()
                content = self._counts()
            case _:
                return super().handle_other(method, path, authorization)
        return Reply(200, orjson.dumps(content), self.headers())

    def chat(self, body: bytes, authorization: str) -> Reply:
        """Handle and count a chat completion request."""
        reply = super().chat(body, authorization)
        self.stats.calls += 1
        self.stats.max_concurrent_seen = max(self.stats.max_concurrent_seen, self.active)
        if reply.fault:
            self.stats.by_fault[reply.fault] += 1
        return reply

    def finish(self, reply: Reply, *, sent: bool) -> None:
        """Count a finished request."""
        super().finish(reply, sent=sent)
        self.stats.generated_not_delivered += not sent
        has_status = sent or reply.fault == "truncated"
        self.stats.calls_per_status[str(reply.status) if has_status else "none"] += 1
        if sent:
            self.stats.billed_prompt_tokens += reply.usage[0]
            self.stats.billed_completion_tokens += reply.usage[1]
            if reply.prompt:
                self.prompts[reply.prompt] += 1

    def _counts(self) -> dict[str, Any]:
        answered, distinct = self.prompts.total(), len(self.prompts)
        return {
            **vars(self.stats),
            "answered": answered,
            "distinct": distinct,
            "answered_twice": answered - distinct,
            "active": self.active,
            # Lets a benchmark compute the load of this process.
            "cpu_seconds": time.process_time(),
        }


if __name__ == "__main__":
    sys.exit(main(make=CountingService))
