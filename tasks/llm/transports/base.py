"""The interface between the gateway and the ways to reach a model."""

from __future__ import annotations

from typing import Protocol

from article_flows.tasks.llm.protocol.chat import ChatTemplate, Completion


class Transport(Protocol):
    """A way to send requests to one endpoint.

    Attributes:
        stall_timeout_s: Seconds without a byte after which a request is cancelled; None for no
            limit. May be set at any time.
    """

    stall_timeout_s: float | None

    async def complete(
        self, template: ChatTemplate, user: str, *, stall_timeout_factor: float = 1.0
    ) -> Completion:
        """Send one request, without retries.

        Args:
            template: The part of the request that all articles share.
            user: The user message.
            stall_timeout_factor: Factor on ``stall_timeout_s``, as a request that stalled before
                may just be slow; infinity for no limit.

        Raises:
            LLMError: There is no usable completion.
        """
        ...

    async def probe(self) -> None:
        """Check with a free call that the endpoint is reachable and accepts the key.

        Raises:
            LLMError: The endpoint is unreachable or rejects the key.
        """
        ...

    async def close(self) -> None:
        """Close the connections."""
        ...
