"""What a user can set: one described model for each flow; Prefect's UI draws its form from it."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.config import JsonDict

LIST_PRICE = -1.0
EMBEDDED = "embedded"


def _shown(position: int) -> JsonDict:
    """Where Prefect's form shows the setting."""
    return {"position": position}


class LakeSettings(BaseModel):
    """Where the tables are."""

    model_config = ConfigDict(extra="forbid", validate_default=True)

    lake: Annotated[str, Field(min_length=1)] = Field(
        default="~/article-flows/lake",
        description=(
            "Where the tables are: a folder of the machine that runs the flow, or "
            "s3://bucket/prefix, gs://bucket/prefix, abfs://container@account/prefix."
        ),
        json_schema_extra=_shown(0),
    )
    wait_s: float = Field(
        default=3_600.0,
        ge=0,
        description="Seconds to wait while another run writes the same table; 0: end at once.",
        json_schema_extra=_shown(21),
    )


class IngestSettings(LakeSettings):
    """What to load."""

    sources: Annotated[list[str], Field(min_length=1)] = Field(
        default=["demo"],
        description=(
            "Files, folders or globs of JSONL, CSV or Parquet on the machine that runs the flow; "
            "demo is the 100 articles that come with article-flows."
        ),
        json_schema_extra=_shown(1),
    )
    columns: list[str] = Field(
        default=[],
        description="Which source column is what, where the usual names do not tell: body=text",
        json_schema_extra=_shown(2),
    )
    mirror: bool = Field(
        default=False,
        description=(
            "The sources are all the articles there are: those that are not in them any more "
            "leave the tables, and are kept in superseded/."
        ),
        json_schema_extra=_shown(19),
    )
    keep_versions: bool = Field(
        default=False,
        description=(
            "Keep an article whose id comes again with other content, beside the new one; "
            "otherwise the new one replaces it, and the old one is kept in superseded/."
        ),
        json_schema_extra=_shown(20),
    )


class SummarizeSettings(LakeSettings):
    """What to ask, whom, and how hard."""

    recipe: Annotated[str, Field(min_length=1)] = Field(
        default="summary",
        description="Name of a shipped recipe (summary, digest, headline_zh) or path of a .yaml.",
        json_schema_extra=_shown(3),
    )
    base_url: Annotated[str, Field(min_length=1)] = Field(
        default=EMBEDDED,
        description=(
            "OpenAI-compatible endpoint, up to and including /v1. 'embedded' starts one on this "
            "machine that picks sentences out of the article: free, and not a language model."
        ),
        json_schema_extra=_shown(4),
    )
    model: str = Field(
        default="",
        description="Model to ask; empty only with the embedded endpoint.",
        json_schema_extra=_shown(5),
    )
    api_key_secret: str = Field(
        default="",
        description=(
            "Name of the Prefect Secret block that holds the API key. "
            "Empty: the environment variable OPENAI_API_KEY of the machine that runs the flow."
        ),
        json_schema_extra=_shown(6),
    )
    max_in_flight: int = Field(
        default=256,
        ge=1,
        le=10_000,
        description=(
            "Requests under way at once, at most. Fewer are sent where the endpoint shows that it "
            "has no room for more, by 429 or by answers that take longer without being more."
        ),
        json_schema_extra=_shown(7),
    )
    rpm: int = Field(
        default=0,
        ge=0,
        description=(
            "Requests a minute that your quota allows; 0: learned from the endpoint's x-ratelimit "
            "headers, where it sends them."
        ),
        json_schema_extra=_shown(8),
    )
    tpm: int = Field(
        default=0,
        ge=0,
        description=(
            "Tokens a minute that your quota allows, prompt and answer together; 0: learned from "
            "the endpoint's x-ratelimit headers, where it sends them."
        ),
        json_schema_extra=_shown(9),
    )
    budget_usd: float = Field(
        default=0.0,
        ge=0,
        description=(
            "US dollars that the run may cost; it ends before it would cost more, and the rest is "
            "left for another run. 0: no bound."
        ),
        json_schema_extra=_shown(10),
    )
    hedge: bool = Field(
        default=False,
        description=(
            "At the end of the run, send a second copy of requests that take over three times the "
            "usual time: at most 1 % more requests, counted in the cost."
        ),
        json_schema_extra=_shown(11),
    )
    limit: int = Field(
        default=0,
        ge=0,
        description="Ask about this many articles at most, the rest another time; 0: all.",
        json_schema_extra=_shown(12),
    )
    batch_size: int = Field(
        default=0,
        ge=0,
        le=5_000,
        description="Articles in a batch, which is one task run and one Parquet part; 0: chosen.",
        json_schema_extra=_shown(13),
    )
    timeout_s: float = Field(
        default=60.0,
        gt=0,
        le=3_600,
        description="Seconds to wait for one answer before the call is tried again.",
        json_schema_extra=_shown(14),
    )
    price_in: float = Field(
        default=LIST_PRICE,
        ge=-1,
        description="US dollars for a million prompt tokens; -1: the model's list price.",
        json_schema_extra=_shown(15),
    )
    price_out: float = Field(
        default=LIST_PRICE,
        ge=-1,
        description="US dollars for a million completion tokens; -1: the model's list price.",
        json_schema_extra=_shown(16),
    )
    retry_failed: bool = Field(
        default=False,
        description="Ask again about articles that the endpoint has refused for good.",
        json_schema_extra=_shown(17),
    )
    client: Literal["aiohttp", "openai"] = Field(
        default="aiohttp",
        description="aiohttp is the fast way; openai goes through the official client.",
        json_schema_extra=_shown(18),
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
