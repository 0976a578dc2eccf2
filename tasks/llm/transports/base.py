"""What the gateway asks of a way to reach a model."""

from __future__ import annotations

from typing import Protocol

from article_flows.tasks.llm.protocol.chat import ChatTemplate, Completion


class Transport(Protocol):
    """One way to reach an endpoint.

    Attributes:
        stall_s: seconds without a byte after which a call is given up; None for no such limit.
            May be set at any time. A request with ``patience`` waits so many times as long: one
            that was given up before is perhaps just slow.
    """

    stall_s: float | None

    async def complete(
        self, template: ChatTemplate, user: str, *, patience: float = 1.0
    ) -> Completion:
        """Send one request once; raises LLMError."""
        ...

    async def probe(self) -> None:
        """Make one free call that shows whether the endpoint is there; raises LLMError."""
        ...

    async def close(self) -> None:
        """Give the connections back."""
        ...
