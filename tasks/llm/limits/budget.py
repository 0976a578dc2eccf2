"""The budget: no request is sent whose worst-case cost exceeds what is left."""

from __future__ import annotations

from article_flows.tasks.llm.protocol.chat import ChatTemplate, Usage
from article_flows.tasks.llm.protocol.errors import LLMError, Transient
from article_flows.tasks.llm.protocol.prices import Price
from article_flows.tasks.llm.protocol.request import Request

_CHAT_FORMAT_TOKENS = 64
"""More than any chat format adds to two messages: roles, separators, the start of the answer."""


class Budget:
    """A sum in US dollars that the requests of a run never exceed.

    Before a request is sent, its worst case is reserved: as many tokens as its prompt can possibly
    have, plus the full output limit. When it ends, the billed cost is spent and the rest is free
    again. A request whose response was lost may have been billed, so its worst case is written off.

    A prompt has at most as many tokens as bytes, as each token of a byte-level vocabulary is at
    least one byte. Its constant part has at most as many as the shortest prompt billed so far.

    Args:
        limit_usd: US dollars.
        price: The model's price.

    Attributes:
        spent_usd: US dollars billed so far.
        written_off_usd: US dollars that requests without a known bill may have cost.
        in_flight: Requests with a reservation.
        is_blocking: Whether the last request checked by `fits` did not fit.
    """

    def __init__(self, limit_usd: float, price: Price) -> None:
        self.limit_usd = limit_usd
        self.spent_usd = 0.0
        self.written_off_usd = 0.0
        self.in_flight = 0
        self.is_blocking = False
        self._reserved_usd = 0.0
        self._price = price
        self._shortest_prompt: int | None = None

    def worst_case_usd(self, template: ChatTemplate, user: str) -> float:
        """Return the most that a request can cost, in US dollars."""
        constant = template.head_bytes + _CHAT_FORMAT_TOKENS
        if self._shortest_prompt is not None:
            constant = min(constant, self._shortest_prompt)
        prompt = constant + len(user.encode(errors="replace"))
        return self._price.cost(Usage(prompt, 0, template.max_output_tokens))

    def fits(self, request: Request) -> bool:
        """Return whether the rest of the budget covers the worst case of a request."""
        worst_case = self.worst_case_usd(request.template, request.user)
        committed = self.spent_usd + self.written_off_usd + self._reserved_usd
        fits = committed + worst_case <= self.limit_usd
        self.is_blocking = not fits
        return fits

    def reserve(self, request: Request) -> float:
        """Reserve the worst case of a request and return it, for `settle` or `write_off`."""
        worst_case = self.worst_case_usd(request.template, request.user)
        self._reserved_usd += worst_case
        self.in_flight += worst_case > 0
        return worst_case

    def settle(self, reserved_usd: float, billed_usd: float, usage: Usage) -> None:
        """Replace a reservation by what the request was billed."""
        self._release(reserved_usd)
        self.spent_usd += billed_usd
        if usage.prompt and (self._shortest_prompt is None or usage.prompt < self._shortest_prompt):
            self._shortest_prompt = usage.prompt

    def write_off(self, reserved_usd: float) -> None:
        """Count a reservation as spent because the bill of its request is unknown."""
        self._release(reserved_usd)
        self.written_off_usd += reserved_usd

    def _release(self, reserved_usd: float) -> None:
        self.in_flight -= reserved_usd > 0
        # Rounding errors must not add up over millions of requests.
        self._reserved_usd = self._reserved_usd - reserved_usd if self.in_flight else 0.0

    def exhausted_message(self, cheapest_usd: float) -> str:
        """Return why the run ends, given the worst case of the cheapest article left."""
        if not self.spent_usd and not self.written_off_usd:
            return (
                f"the budget of ${self.limit_usd:,.4f} is too small for one article: the cheapest "
                f"may cost up to ${cheapest_usd:,.4f}; increase the budget"
            )
        lost = (
            f", ${self.written_off_usd:,.4f} reserved for answers that were lost"
            if self.written_off_usd
            else ""
        )
        return (
            f"the budget of ${self.limit_usd:,.4f} is spent (${self.spent_usd:,.4f} billed{lost}; "
            f"the cheapest article left may cost up to ${cheapest_usd:,.4f}); run again with a "
            "budget for the articles left"
        )


def may_be_billed(error: LLMError) -> bool:
    """Return whether the endpoint may have done the work, and bill it, in spite of the error."""
    return isinstance(error, Transient) and error.error_class != "server_error"
