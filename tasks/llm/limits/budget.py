"""Money: no call is sent whose worst case does not fit what is left of the budget."""

from __future__ import annotations

from article_flows.tasks.llm.protocol.chat import ChatTemplate, Usage
from article_flows.tasks.llm.protocol.errors import LLMError, Transient
from article_flows.tasks.llm.protocol.prices import Price
from article_flows.tasks.llm.protocol.request import Request

_MESSAGE_TOKENS = 64
"""More than any chat format adds to two messages: roles, separators, the start of the answer."""


class Budget:
    """A sum in US dollars that the calls of a run together never exceed.

    Before a call its worst case is held: all tokens that the prompt can possibly have and the
    whole cap on the answer. After it, what it was billed is spent and the rest is free again.
    A call whose answer was lost on the way may have been billed unseen: its worst case stays held.

    A prompt has no more tokens than bytes, as a token of a byte-level vocabulary is one byte or
    more; and its constant part has no more than the shortest whole prompt billed so far.

    Attributes:
        spent_usd, lost_usd: billed so far, and held for good; ``under_way`` counts the calls
            that something is held for.
        holds_back: whether the last article that was looked at did not fit.
    """

    def __init__(self, limit_usd: float, price: Price) -> None:
        self.limit_usd = limit_usd
        self.spent_usd = 0.0
        self.lost_usd = 0.0
        self.under_way = 0
        self.holds_back = False
        self._held_usd = 0.0
        self._price = price
        self._shortest_prompt: int | None = None

    def worst_case(self, template: ChatTemplate, user: str) -> float:
        """The most that a request can cost, in US dollars."""
        constant = template.head_bytes + _MESSAGE_TOKENS
        if self._shortest_prompt is not None:
            constant = min(constant, self._shortest_prompt)
        prompt = constant + len(user.encode(errors="replace"))
        return self._price.cost(Usage(prompt, 0, template.max_output_tokens))

    def fits(self, asking: Request) -> bool:
        """Whether the article's next request could be paid for whatever happens."""
        worst = self.worst_case(asking.template, asking.user)
        fits = self.spent_usd + self.lost_usd + self._held_usd + worst <= self.limit_usd
        self.holds_back = not fits
        return fits

    def hold(self, asking: Request) -> float:
        """Reserve the worst case of the article's next request; give it back with ``settle``."""
        worst = self.worst_case(asking.template, asking.user)
        self._held_usd += worst
        self.under_way += worst > 0
        return worst

    def settle(self, held_usd: float, spent_usd: float, usage: Usage) -> None:
        """A request has ended and was billed this."""
        self._release(held_usd)
        self.spent_usd += spent_usd
        if usage.prompt and (self._shortest_prompt is None or usage.prompt < self._shortest_prompt):
            self._shortest_prompt = usage.prompt

    def lose(self, held_usd: float) -> None:
        """A request has ended without an answer that says what it was billed."""
        self._release(held_usd)
        self.lost_usd += held_usd

    def _release(self, held_usd: float) -> None:
        self.under_way -= held_usd > 0
        # Sums of floats leave a residue, which must not pile up over millions of calls.
        self._held_usd = self._held_usd - held_usd if self.under_way else 0.0

    def spent_words(self, cheapest_usd: float) -> str:
        """For the user: why the run ends; the cheapest article left may cost so much."""
        if not self.spent_usd and not self.lost_usd:
            return (
                f"the budget of ${self.limit_usd:,.4f} is too small for one article: the cheapest "
                f"may cost up to ${cheapest_usd:,.4f}; give more"
            )
        lost = f", ${self.lost_usd:,.4f} held for answers that were lost" if self.lost_usd else ""
        return (
            f"the budget of ${self.limit_usd:,.4f} is spent (${self.spent_usd:,.4f} billed{lost}; "
            f"the cheapest article left may cost up to ${cheapest_usd:,.4f}); run again, with a "
            "budget for the articles left"
        )


def may_be_billed(error: LLMError) -> bool:
    """Whether an error leaves open if the endpoint did the work and bills it."""
    return isinstance(error, Transient) and error.error_class != "server_error"
