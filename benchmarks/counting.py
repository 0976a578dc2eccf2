"""The mock endpoint with counts, for tests and benchmarks to compare with what a client says.

It serves GET /stats, GET /stats/prompts and POST /stats/reset as well.
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
        calls: chat completion requests that came in, whatever became of them.
        billed_prompt_tokens, billed_completion_tokens: of every 200 written in full, good or not.
        by_fault: how often each fault struck, by the name of its option in Faults.
        max_concurrent_seen: the most calls that were in hand at once.
        calls_per_status: by HTTP status; "none" where no answer was sent.
        generated_not_delivered: answers that a reset, a stall, a truncation or a caller who hung
            up kept from arriving.
    """

    calls: int = 0
    billed_prompt_tokens: int = 0
    billed_completion_tokens: int = 0
    by_fault: Counter[str] = field(default_factory=Counter)
    max_concurrent_seen: int = 0
    calls_per_status: Counter[str] = field(default_factory=Counter)
    generated_not_delivered: int = 0


class CountingService(Service):
    """A service that counts.

    Attributes:
        stats: the counts.
        prompts: by hash of the messages, how often a good answer was written in full. Good is
            200, unspoilt by a fault, and finish_reason "stop". Grows with the distinct prompts.
    """

    def __init__(
        self, faults: Faults | None = None, api_key: str | None = None, strict_model: bool = False
    ) -> None:
        super().__init__(faults, api_key, strict_model)
        self.stats = Stats()
        self.prompts: Counter[str] = Counter()

    def other(self, method: str, path: str, authorization: str) -> Reply:
        """Return the counts, or what else is found under a path."""
        match method, path:
            case "GET", "/stats":
                found: dict[str, Any] = self._counts()
            case "GET", "/stats/prompts":
                found = self.prompts
            case "POST", "/stats/reset":
                self.stats, self.prompts = Stats(max_concurrent_seen=self.active), Counter()
                found = self._counts()
            case _:
                return super().other(method, path, authorization)
        return Reply(200, orjson.dumps(found), self.headers())

    def chat(self, body: bytes, authorization: str) -> Reply:
        """Take a chat completion request, and count it."""
        reply = super().chat(body, authorization)
        self.stats.calls += 1
        self.stats.max_concurrent_seen = max(self.stats.max_concurrent_seen, self.active)
        if reply.fault:
            self.stats.by_fault[reply.fault] += 1
        return reply

    def ended(self, reply: Reply, *, sent: bool) -> None:
        """Count a request as done."""
        super().ended(reply, sent=sent)
        self.stats.generated_not_delivered += not sent
        arrived = sent or reply.fault == "truncated"
        self.stats.calls_per_status[str(reply.status) if arrived else "none"] += 1
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
            # Tells a benchmark how busy this process was.
            "cpu_seconds": time.process_time(),
        }


if __name__ == "__main__":
    sys.exit(main(make=CountingService))
