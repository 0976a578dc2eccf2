"""What a call costs, in US dollars."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import genai_prices
from genai_prices.types import Tier, TieredPrices

from tasks.llm.chat import Usage

_MILLION = 1_000_000


@dataclass(frozen=True, slots=True)
class Rates:
    """US dollars a token, for calls whose prompt has more than ``above`` tokens."""

    above: int
    prompt: float
    cached: float
    completion: float


@dataclass(frozen=True, slots=True)
class Price:
    """A model's price; tiers by prompt length, as some providers have them, lowest first."""

    tiers: tuple[Rates, ...]

    @classmethod
    def per_million(cls, prompt: float, completion: float, cached: float | None = None) -> Price:
        """From US dollars for a million tokens; cached tokens cost as the others unless told."""
        cached = prompt if cached is None else cached
        return cls((Rates(0, prompt / _MILLION, cached / _MILLION, completion / _MILLION),))

    @classmethod
    def of_model(cls, model: str, base_url: str = "") -> Price | None:
        """The list price from the offline table of genai-prices; None if it has no such model."""
        try:
            found = genai_prices.calc_price(
                genai_prices.Usage(input_tokens=1, output_tokens=1),
                model_ref=model,
                provider_api_url=base_url or None,
            )
        except LookupError:
            return cls.of_model(model) if base_url else None
        price = found.model_price
        columns = (price.input_mtok, price.cache_read_mtok or price.input_mtok, price.output_mtok)
        starts = {0} | {tier.start for column in columns for tier in _tiers(column)}
        return cls(tuple(_rates(start, columns) for start in sorted(starts)))

    def cost(self, usage: Usage) -> float:
        """US dollars for the tokens of one call."""
        rates = self.tiers[0]
        for tier in self.tiers[1:]:
            if usage.prompt > tier.above:
                rates = tier
        fresh = usage.prompt - usage.cached
        return (
            fresh * rates.prompt + usage.cached * rates.cached + usage.completion * rates.completion
        )


FREE = Price.per_million(0.0, 0.0)


def _tiers(column: object) -> Sequence[Tier]:
    return column.tiers if isinstance(column, TieredPrices) else ()


def _rates(start: int, columns: Sequence[object]) -> Rates:
    return Rates(start, *(_price_at(start, column) / _MILLION for column in columns))


def _price_at(start: int, column: object) -> float:
    """The price of one column in the tier that begins at ``start`` prompt tokens."""
    if not isinstance(column, TieredPrices):
        return float(column or 0)  # type: ignore[arg-type]  # Decimal, or None where it is free
    price = column.base
    for tier in column.tiers:
        if tier.start <= start:
            price = tier.price
    return float(price)
