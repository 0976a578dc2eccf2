"""What a user can set: one described model for each flow; Prefect's UI draws its form from it."""

from __future__ import annotations

import re
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, TypeAlias

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    PrivateAttr,
    model_validator,
)
from pydantic.config import JsonDict

from article_flows.tasks.common import frames
from article_flows.tasks.common.article_schema import MAX_CHARS

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

    SourceSpecs: TypeAlias = Sequence[str | pd.DataFrame]
else:
    # DataFrames are spooled before validation; Prefect's form knows names only.
    SourceSpecs = list[str]

LIST_PRICE = -1.0
MOCK = "mock"

DateOrder: TypeAlias = Literal["auto", "day-first", "month-first"]
"""What a user can say of dates such as 01/02/2024."""

_ORDER = (
    "lake sources columns recipe base_url model api_key_secret max_in_flight rpm tpm "
    "budget_usd hedge limit batch_size timeout_s price_in price_out retry_failed client "
    "mirror keep_versions wait_s encoding format references allow_hosts min_chars max_chars "
    "keep_boilerplate near_duplicates similarity detect_language date_order"
).split()
"""The settings in the order in which Prefect's form shows them."""


def _place(schema: JsonDict) -> None:
    """Say in a model's schema where the form shows each setting."""
    properties = schema["properties"]
    assert isinstance(properties, dict)
    for name, setting in properties.items():
        assert isinstance(setting, dict)
        setting["position"] = _ORDER.index(name)


class _Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", validate_default=True, json_schema_extra=_place)


class LakeSettings(_Settings):
    """Where the tables are."""

    lake: Annotated[str, Field(min_length=1)] = Field(
        default="~/article-flows/lake",
        description=(
            "Where the tables are: a folder of the machine that runs the flow, or "
            "s3://bucket/prefix, gs://bucket/prefix, abfs://container@account/prefix."
        ),
    )
    wait_s: float = Field(
        default=3_600.0,
        ge=0,
        description="Seconds to wait while another run writes the same table; 0: end at once.",
    )


class LoadRules(_Settings):
    """How to read sources, and which of their rows to take."""

    encoding: str = Field(
        default="",
        description="Encoding of text sources, such as gb18030; empty: found out for each.",
    )
    format: str = Field(
        default="",
        description="Format of the sources, such as csv, jsonl, document; empty: by their content.",
    )
    references: str = Field(
        default="",
        description=(
            "Folder with a human summary for each document, in files of the same names; they go "
            "into reference_summary."
        ),
    )
    allow_hosts: list[str] = Field(
        default=[],
        description=(
            "Hosts in private networks, or this machine, that may be fetched from where a list of "
            "URLs, a sitemap or a redirect leads there: intranet.example, localhost:8000"
        ),
    )
    min_chars: int = Field(
        default=1,
        ge=1,
        description="Characters that a body has at least; shorter ones are rejected.",
    )
    max_chars: int = Field(
        default=MAX_CHARS,
        ge=0,
        description="Characters that a body has at most; longer ones are rejected. 0: no bound.",
    )
    keep_boilerplate: bool = Field(
        default=False,
        description=(
            "Take pages that are nothing but a notice too: page not found, cookies, test page."
        ),
    )
    near_duplicates: bool = Field(
        default=False,
        description=("Reject articles that say nearly the same as another one; the first is kept."),
    )
    similarity: float = Field(
        default=0.8,
        ge=0.5,
        le=1,
        description="Share of five-word sequences in common from which near duplicates are.",
    )
    detect_language: bool = Field(
        default=True,
        description="Tell the language by the text where the source does not say it.",
    )
    date_order: DateOrder = Field(
        default="auto",
        description=(
            "What 01/02/2024 is: day-first the 1st of February, month-first January 2nd; auto: "
            "told by other dates of the source, and unread if none tells."
        ),
    )


class IngestSettings(LakeSettings, LoadRules):
    """What to load. In Python, ``sources`` may hold pandas DataFrames beside names."""

    _spooled: TemporaryDirectory[str] | None = PrivateAttr(default=None)
    """Where DataFrames among the sources are; removed with this object."""

    sources: Annotated[SourceSpecs, Field(min_length=1)] = Field(
        default=["demo"],
        description=(
            "Files, folders or globs on the machine that runs the flow, s3:// or https:// "
            "addresses: tables, documents, feeds, sitemaps, lists of URLs, plain or packed; demo "
            "is the 100 articles that come with article-flows."
        ),
    )
    columns: list[str] = Field(
        default=[],
        description="Which source column is what, where the guess is wrong: body=text",
    )
    mirror: bool = Field(
        default=False,
        description=(
            "The sources are all the articles there are: those that are not in them any more "
            "leave the tables, and are kept in superseded/."
        ),
    )
    keep_versions: bool = Field(
        default=False,
        description=(
            "Keep an article whose id comes again with other content, beside the new one; "
            "otherwise the new one replaces it, and the old one is kept in superseded/."
        ),
    )

    @property
    def source_names(self) -> list[str]:
        """The sources as strings: a DataFrame is the file that it was spooled to."""
        return [str(source) for source in self.sources]

    @model_validator(mode="wrap")
    @classmethod
    def _spool_frames(cls, data: Any, validate: ModelWrapValidatorHandler[Self]) -> Self:
        spooled = None
        if isinstance(data, dict) and isinstance(data.get("sources"), (list, tuple)):
            sources, spooled = frames.spool_frames(data["sources"])
            data = {**data, "sources": sources}
        settings = validate(data)
        if spooled is not None:
            settings._spooled = spooled
        return settings


class SummarizeSettings(LakeSettings):
    """What to ask, whom, and how hard."""

    recipe: Annotated[str, Field(min_length=1)] = Field(
        default="summary",
        description="Name of a shipped recipe (summary, digest, headline_zh) or path of a .yaml.",
    )
    base_url: Annotated[str, Field(min_length=1)] = Field(
        default=MOCK,
        description=(
            "OpenAI-compatible endpoint, up to and including /v1. 'mock' starts one on this "
            "machine that picks sentences out of the article: free, and not a language model."
        ),
    )
    model: str = Field(
        default="",
        description="Model to ask; empty only with the mock endpoint.",
    )
    api_key_secret: str = Field(
        default="",
        description=(
            "Name of the Prefect Secret block that holds the API key. "
            "Empty: the environment variable OPENAI_API_KEY of the machine that runs the flow."
        ),
    )
    max_in_flight: int = Field(
        default=256,
        ge=1,
        le=10_000,
        description=(
            "Requests under way at once, at most. Fewer are sent where the endpoint shows that it "
            "has no room for more, by 429 or by answers that take longer without being more."
        ),
    )
    rpm: int = Field(
        default=0,
        ge=0,
        description=(
            "Requests a minute that your quota allows; 0: learned from the endpoint's x-ratelimit "
            "headers, where it sends them."
        ),
    )
    tpm: int = Field(
        default=0,
        ge=0,
        description=(
            "Tokens a minute that your quota allows, prompt and answer together; 0: learned from "
            "the endpoint's x-ratelimit headers, where it sends them."
        ),
    )
    budget_usd: float = Field(
        default=0.0,
        ge=0,
        description=(
            "US dollars that the run may cost; it ends before it would cost more, and the rest is "
            "left for another run. 0: no bound."
        ),
    )
    hedge: bool = Field(
        default=False,
        description=(
            "At the end of the run, send a second copy of requests that take over three times the "
            "usual time: at most 1 % more requests, counted in the cost."
        ),
    )
    limit: int = Field(
        default=0,
        ge=0,
        description="Ask about this many articles at most, the rest another time; 0: all.",
    )
    batch_size: int = Field(
        default=0,
        ge=0,
        le=5_000,
        description="Articles in a batch, which is one task run and one Parquet part; 0: chosen.",
    )
    timeout_s: float = Field(
        default=60.0,
        gt=0,
        le=3_600,
        description="Seconds to wait for one answer before the call is tried again.",
    )
    price_in: float = Field(
        default=LIST_PRICE,
        ge=-1,
        description="US dollars for a million prompt tokens; -1: the model's list price.",
    )
    price_out: float = Field(
        default=LIST_PRICE,
        ge=-1,
        description="US dollars for a million completion tokens; -1: the model's list price.",
    )
    retry_failed: bool = Field(
        default=False,
        description="Ask again about articles that the endpoint has refused for good.",
    )
    client: Literal["built-in", "openai"] = Field(
        default="built-in",
        description="built-in: a fast HTTP client of our own; openai: the official client, slower.",
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
        names = (
            frames.NAME if source.startswith(frames.PREFIX) else source
            for source in settings.source_names[:3]
        )
        words.append(", ".join(names))
    return " · ".join(words)[:120]
