"""What a user can set: one described model for each flow; Prefect's UI draws its form from it."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import Field

from tasks.load_settings import IngestSettings, LakeSettings, LoadRules, shown_at

__all__ = [
    "EMBEDDED",
    "LIST_PRICE",
    "IngestSettings",
    "LakeSettings",
    "LoadRules",
    "PipelineSettings",
    "SummarizeSettings",
    "run_label",
]

LIST_PRICE = -1.0
EMBEDDED = "embedded"


class SummarizeSettings(LakeSettings):
    """What to ask, whom, and how hard."""

    recipe: Annotated[str, Field(min_length=1)] = Field(
        default="summary",
        description="Name of a shipped recipe (summary, digest, headline_zh) or path of a .yaml.",
        json_schema_extra=shown_at(3),
    )
    base_url: Annotated[str, Field(min_length=1)] = Field(
        default=EMBEDDED,
        description=(
            "OpenAI-compatible endpoint, up to and including /v1. 'embedded' starts one on this "
            "machine that picks sentences out of the article: free, and not a language model."
        ),
        json_schema_extra=shown_at(4),
    )
    model: str = Field(
        default="",
        description="Model to ask; empty only with the embedded endpoint.",
        json_schema_extra=shown_at(5),
    )
    api_key_secret: str = Field(
        default="",
        description=(
            "Name of the Prefect Secret block that holds the API key. "
            "Empty: the environment variable OPENAI_API_KEY of the machine that runs the flow."
        ),
        json_schema_extra=shown_at(6),
    )
    max_in_flight: int = Field(
        default=256,
        ge=1,
        le=10_000,
        description=(
            "Requests under way at once, at most. Fewer are sent where the endpoint shows that it "
            "has no room for more, by 429 or by answers that take longer without being more."
        ),
        json_schema_extra=shown_at(7),
    )
    rpm: int = Field(
        default=0,
        ge=0,
        description=(
            "Requests a minute that your quota allows; 0: learned from the endpoint's x-ratelimit "
            "headers, where it sends them."
        ),
        json_schema_extra=shown_at(8),
    )
    tpm: int = Field(
        default=0,
        ge=0,
        description=(
            "Tokens a minute that your quota allows, prompt and answer together; 0: learned from "
            "the endpoint's x-ratelimit headers, where it sends them."
        ),
        json_schema_extra=shown_at(9),
    )
    budget_usd: float = Field(
        default=0.0,
        ge=0,
        description=(
            "US dollars that the run may cost; it ends before it would cost more, and the rest is "
            "left for another run. 0: no bound."
        ),
        json_schema_extra=shown_at(10),
    )
    hedge: bool = Field(
        default=False,
        description=(
            "At the end of the run, send a second copy of requests that take over three times the "
            "usual time: at most 1 % more requests, counted in the cost."
        ),
        json_schema_extra=shown_at(11),
    )
    limit: int = Field(
        default=0,
        ge=0,
        description="Ask about this many articles at most, the rest another time; 0: all.",
        json_schema_extra=shown_at(12),
    )
    batch_size: int = Field(
        default=0,
        ge=0,
        le=5_000,
        description="Articles in a batch, which is one task run and one Parquet part; 0: chosen.",
        json_schema_extra=shown_at(13),
    )
    timeout_s: float = Field(
        default=60.0,
        gt=0,
        le=3_600,
        description="Seconds to wait for one answer before the call is tried again.",
        json_schema_extra=shown_at(14),
    )
    price_in: float = Field(
        default=LIST_PRICE,
        ge=-1,
        description="US dollars for a million prompt tokens; -1: the model's list price.",
        json_schema_extra=shown_at(15),
    )
    price_out: float = Field(
        default=LIST_PRICE,
        ge=-1,
        description="US dollars for a million completion tokens; -1: the model's list price.",
        json_schema_extra=shown_at(16),
    )
    retry_failed: bool = Field(
        default=False,
        description="Ask again about articles that the endpoint has refused for good.",
        json_schema_extra=shown_at(17),
    )
    client: Literal["aiohttp", "openai"] = Field(
        default="aiohttp",
        description="aiohttp: our own HTTP client, the fast way; openai: the official client.",
        json_schema_extra=shown_at(18),
    )


class PipelineSettings(IngestSettings, SummarizeSettings):
    """What to load, then what to ask."""

    def for_ingest(self) -> IngestSettings:
        """The part that ingest needs."""
        return IngestSettings(**self.model_dump(include=set(IngestSettings.model_fields)))

    def for_summarize(self) -> SummarizeSettings:
        """The part that summarise needs."""
        return SummarizeSettings(**self.model_dump(include=set(SummarizeSettings.model_fields)))


def run_label(settings: LakeSettings) -> str:
    """A few words for the name of a flow run: what is asked, or loaded."""
    words = []
    if isinstance(settings, SummarizeSettings):
        words.append(re.sub(r"^.*/|\.ya?ml$", "", settings.recipe))
    if isinstance(settings, IngestSettings):
        words.append(", ".join(settings.sources[:3]))
    return " · ".join(words)[:120]
