"""What requests cost, in US dollars."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import genai_prices
from genai_prices.types import Tier, TieredPrices

from article_flows.tasks.llm.protocol.chat import Usage

_MILLION = 1_000_000


@dataclass(frozen=True, slots=True)
class Rates:
    """US dollars per token, for requests whose prompt has more than ``above`` tokens."""

    above: int
    prompt: float
    cached: float
    completion: float


@dataclass(frozen=True, slots=True)
class Price:
    """A model's price.

    Attributes:
        tiers: Rates by prompt length, lowest first; most providers have one tier.
        per_call: US dollars per request, as for models that search the web.

    Example:
        >>> price = Price.per_million(prompt=1.0, completion=2.0)
        >>> round(price.cost(Usage(prompt=1000, completion=500)), 6)
        0.002
    """

    tiers: tuple[Rates, ...]
    per_call: float = 0.0

    @classmethod
    def per_million(cls, prompt: float, completion: float, cached: float | None = None) -> Price:
        """Return a price in US dollars per million tokens; ``cached`` defaults to ``prompt``."""
        cached = prompt if cached is None else cached
        return cls((Rates(0, prompt / _MILLION, cached / _MILLION, completion / _MILLION),))

    @classmethod
    def for_model(cls, model: str, base_url: str = "") -> Price | None:
        """Return the list price from genai-prices' offline table; None for unknown models."""
        try:
            found = genai_prices.calc_price(
                genai_prices.Usage(input_tokens=1, output_tokens=1),
                model_ref=model,
                provider_api_url=base_url or None,
            )
        except LookupError:
            return cls.for_model(model) if base_url else None
        price = found.model_price
        cached = price.input_mtok if price.cache_read_mtok is None else price.cache_read_mtok
        columns = (price.input_mtok, cached, price.output_mtok)
        starts = {0} | {tier.start for column in columns for tier in _tiers(column)}
        rates = tuple(_rates(start, columns) for start in sorted(starts))
        return cls(rates, per_call=_price_at(0, price.requests_kcount) / 1000)

    def cost(self, usage: Usage) -> float:
        """Return US dollars for one request; the prompt's length selects the tier."""
        rates = self.tiers[0]
        for tier in self.tiers[1:]:
            if usage.prompt > tier.above:
                rates = tier
        uncached = usage.prompt - usage.cached
        prompt = uncached * rates.prompt + usage.cached * rates.cached
        return self.per_call + prompt + usage.completion * rates.completion


FREE = Price.per_million(0.0, 0.0)


def _tiers(column: object) -> Sequence[Tier]:
    return column.tiers if isinstance(column, TieredPrices) else ()


def _rates(start: int, columns: Sequence[object]) -> Rates:
    return Rates(start, *(_price_at(start, column) / _MILLION for column in columns))


def _price_at(start: int, column: object) -> float:
    """Return the price of one column in the tier that begins at ``start`` prompt tokens."""
    if not isinstance(column, TieredPrices):
        return float(column or 0)  # type: ignore[arg-type]  # a Decimal, or None if free
    price = column.base
    for tier in column.tiers:
        if tier.start <= start:
            price = tier.price
    return float(price)
