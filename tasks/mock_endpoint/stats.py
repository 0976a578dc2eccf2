"""Counts of what the mock endpoint did, for tests and benchmarks to compare with a client's."""

import time
from collections import Counter
from dataclasses import dataclass, field, fields
from typing import Any


@dataclass(slots=True)
class Stats:
    """Counts since the start or the last reset.

    Attributes:
        calls: chat completion requests that came in, whatever became of them.
        prompts: by hash of the messages, how often a good answer was written in full. Good is
            200, unspoilt by a fault, and finish_reason "stop". Grows with the distinct prompts.
        billed_prompt_tokens, billed_completion_tokens: of every 200 written in full, good or not.
        by_fault: how often each fault struck, by the name of its option in Faults.
        max_concurrent_seen: the most calls that were in hand at once.
        calls_per_status: by HTTP status; "none" where no answer was sent.
        generated_not_delivered: answers that a reset, a stall, a truncation or a caller who hung
            up kept from arriving.
    """

    calls: int = 0
    prompts: Counter[str] = field(default_factory=Counter)
    billed_prompt_tokens: int = 0
    billed_completion_tokens: int = 0
    by_fault: Counter[str] = field(default_factory=Counter)
    max_concurrent_seen: int = 0
    calls_per_status: Counter[str] = field(default_factory=Counter)
    generated_not_delivered: int = 0

    def as_dict(self, active: int) -> dict[str, Any]:
        """Return all counts, with the prompts summed up.

        Args:
            active: calls in hand now. Returned together with `cpu_seconds` of this process since
                it started, so that a benchmark can tell how busy it was.
        """
        answered = self.prompts.total()
        counts = {entry.name: getattr(self, entry.name) for entry in fields(self)}
        del counts["prompts"]
        return {
            **counts,
            "answered": answered,
            "distinct": len(self.prompts),
            "answered_twice": answered - len(self.prompts),
            "active": active,
            "cpu_seconds": time.process_time(),
        }
