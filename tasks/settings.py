"""The settings of each flow, as a Pydantic model from which Prefect's UI builds its form."""

from __future__ import annotations

import re
from collections.abc import Mapping
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, TypeAlias

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    PrivateAttr,
    field_validator,
    model_validator,
)
from pydantic.config import JsonDict

from article_flows.tasks.common import dataframe_files
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
"""How to read dates such as 01/02/2024."""

_FORM_ORDER = (
    "lake sources columns recipe base_url model api_key_secret max_in_flight rpm tpm "
    "budget_usd hedge limit batch_size timeout_s price_in price_out retry_failed client "
    "mirror keep_versions wait_s encoding format references allow_hosts min_chars max_chars "
    "keep_boilerplate near_duplicates similarity detect_language date_order"
).split()
"""The order of the settings in Prefect's form."""


def _set_positions(schema: JsonDict) -> None:
    """Add the position of each setting in the form to a model's JSON schema."""
    properties = schema["properties"]
    assert isinstance(properties, dict)
    for name, setting in properties.items():
        assert isinstance(setting, dict)
        setting["position"] = _FORM_ORDER.index(name)


class _Settings(BaseModel):
    model_config = ConfigDict(
        extra="forbid", validate_default=True, json_schema_extra=_set_positions
    )


class LakeSettings(_Settings):
    """Where the tables are stored."""

    lake: Annotated[str, Field(min_length=1)] = Field(
        default="~/article-flows/lake",
        description=(
            "Where the tables are stored: a folder on the machine that runs the flow, or "
            "s3://bucket/prefix, gs://bucket/prefix or abfs://container@account/prefix."
        ),
    )
    wait_s: float = Field(
        default=3_600.0,
        ge=0,
        description=(
            "Seconds to wait while another run is writing to the same table. 0: fail immediately."
        ),
    )


class LoadRules(_Settings):
    """How to read sources, and which rows to accept."""

    encoding: str = Field(
        default="",
        description="Encoding of text sources, such as gb18030. Empty: detected for each source.",
    )
    format: str = Field(
        default="",
        description=(
            "Format of the sources, such as csv, jsonl or document. Empty: detected from content."
        ),
    )
    references: str = Field(
        default="",
        description=(
            "Folder with a human-written summary of each document, in files of the same names. "
            "They are stored in the column reference_summary."
        ),
    )
    allow_hosts: list[str] = Field(
        default=[],
        description=(
            "Private hosts, or this machine, that lists of URLs, sitemaps and redirects may "
            "lead to. Examples: intranet.example, localhost:8000"
        ),
    )
    min_chars: int = Field(
        default=1,
        ge=1,
        description="Minimum length of a body, in characters. Shorter articles are rejected.",
    )
    max_chars: int = Field(
        default=MAX_CHARS,
        ge=0,
        description=(
            "Maximum length of a body, in characters. Longer articles are rejected. 0: no limit."
        ),
    )
    keep_boilerplate: bool = Field(
        default=False,
        description="Keep pages that contain only a notice: page not found, cookies, test page.",
    )
    near_duplicates: bool = Field(
        default=False,
        description="Reject articles that are nearly identical to another one. The first is kept.",
    )
    similarity: float = Field(
        default=0.8,
        ge=0.5,
        le=1,
        description=(
            "Minimum similarity of near duplicates: the share of five-word sequences that two "
            "articles have in common."
        ),
    )
    detect_language: bool = Field(
        default=True,
        description="Detect the language from the text if the source does not name it.",
    )
    date_order: DateOrder = Field(
        default="auto",
        description=(
            "How to read 01/02/2024. day-first: 1 February. month-first: January 2. auto: inferred "
            "from other dates in the source, or left empty if these are ambiguous."
        ),
    )


class IngestSettings(LakeSettings, LoadRules):
    """Which articles to load. In Python, ``sources`` may also contain pandas DataFrames."""

    _spooled: TemporaryDirectory[str] | None = PrivateAttr(default=None)
    """Where DataFrames among the sources are; removed with the last object that refers to it."""

    sources: Annotated[SourceSpecs, Field(min_length=1)] = Field(
        default=["demo"],
        description=(
            "Files, folders or globs on the machine that runs the flow, or s3:// and https:// "
            "addresses. Tables, documents, feeds, sitemaps and lists of URLs, also compressed. "
            "demo: the 100 articles that ship with article-flows."
        ),
    )
    columns: list[str] = Field(
        default=[],
        description="Corrections to the inferred column mapping. Example: body=text",
    )
    mirror: bool = Field(
        default=False,
        description=(
            "Treat the sources as the complete collection: articles that are no longer in them "
            "are moved to superseded/."
        ),
    )
    keep_versions: bool = Field(
        default=False,
        description=(
            "If an article_id appears again with different content, keep both articles. Otherwise "
            "the new article replaces the old one, which is moved to superseded/."
        ),
    )

    @property
    def source_names(self) -> list[str]:
        """The sources as strings: a DataFrame is the file that it was spooled to."""
        return [str(source) for source in self.sources]

    @field_validator("columns", mode="before")
    @classmethod
    def _list_columns(cls, columns: Any) -> Any:
        if isinstance(columns, Mapping):
            return [f"{target}={name}" for target, name in columns.items()]
        return columns

    @model_validator(mode="wrap")
    @classmethod
    def _spool_frames(cls, data: Any, validate: ModelWrapValidatorHandler[Self]) -> Self:
        spooled = None
        given = data.get("sources") if isinstance(data, dict) else None
        if dataframe_files.is_frame(given):
            # As a sequence, it would be the names of its columns.
            given = [given]
        if isinstance(given, (list, tuple)):
            sources, spooled = dataframe_files.spool_frames(given)
            data = {**data, "sources": sources}
        settings = validate(data)
        if spooled is not None:
            settings._spooled = spooled
        return settings


class SummarizeSettings(LakeSettings):
    """Which recipe to run, on which endpoint, within which limits."""

    recipe: Annotated[str, Field(min_length=1)] = Field(
        default="summary",
        description=(
            "Name of a built-in recipe (summary, digest, headline_zh) or path to a YAML file."
        ),
    )
    base_url: Annotated[str, Field(min_length=1)] = Field(
        default=MOCK,
        description=(
            "URL of an OpenAI-compatible endpoint, up to and including /v1. mock: a free local "
            "endpoint that extracts sentences from the article; it is not a language model."
        ),
    )
    model: str = Field(
        default="",
        description="Name of the model. Required unless the endpoint is mock.",
    )
    api_key_secret: str = Field(
        default="",
        description=(
            "Name of the Prefect Secret block that holds the API key. Empty: the environment "
            "variable OPENAI_API_KEY on the machine that runs the flow."
        ),
    )
    max_in_flight: int = Field(
        default=256,
        ge=1,
        le=10_000,
        description=(
            "Maximum number of concurrent requests. Fewer are sent when the endpoint answers 429, "
            "or when latency grows and throughput does not."
        ),
    )
    rpm: int = Field(
        default=0,
        ge=0,
        description=(
            "Requests per minute that your quota allows. 0: read from the endpoint's x-ratelimit "
            "headers, if it sends them."
        ),
    )
    tpm: int = Field(
        default=0,
        ge=0,
        description=(
            "Tokens per minute that your quota allows, prompt and completion together. 0: read "
            "from the endpoint's x-ratelimit headers, if it sends them."
        ),
    )
    budget_usd: float = Field(
        default=0.0,
        ge=0,
        description=(
            "Maximum cost of the run, in US dollars. The run ends before it would exceed this; "
            "the next run continues. 0: no limit."
        ),
    )
    hedge: bool = Field(
        default=False,
        description=(
            "At the end of the run, send a second copy of requests that take more than three times "
            "the median latency: at most 1 % more requests, included in the cost."
        ),
    )
    limit: int = Field(
        default=0,
        ge=0,
        description="Maximum number of articles to enrich in this run. 0: all.",
    )
    batch_size: int = Field(
        default=0,
        ge=0,
        le=5_000,
        description=(
            "Articles per batch: one task run and one Parquet part. 0: chosen automatically."
        ),
    )
    timeout_s: float = Field(
        default=60.0,
        gt=0,
        le=3_600,
        description="Seconds to wait for a response before the request is retried.",
    )
    price_in: float = Field(
        default=LIST_PRICE,
        ge=-1,
        description="US dollars per million prompt tokens. -1: the model's list price.",
    )
    price_out: float = Field(
        default=LIST_PRICE,
        ge=-1,
        description="US dollars per million completion tokens. -1: the model's list price.",
    )
    retry_failed: bool = Field(
        default=False,
        description="Retry articles that failed permanently, such as content-filtered ones.",
    )
    client: Literal["built-in", "openai"] = Field(
        default="built-in",
        description="HTTP client. built-in: fast. openai: the official OpenAI client, slower.",
    )


class PipelineSettings(IngestSettings, SummarizeSettings):
    """Which articles to load, and how to enrich them."""

    def for_ingest(self) -> IngestSettings:
        """Return the settings of the ingest flow."""
        settings = IngestSettings(**self.model_dump(include=set(IngestSettings.model_fields)))
        settings._spooled = self._spooled
        return settings

    def for_summarize(self) -> SummarizeSettings:
        """Return the settings of the summarize flow."""
        return SummarizeSettings(**self.model_dump(include=set(SummarizeSettings.model_fields)))


def run_label(settings: LakeSettings) -> str:
    """Return a short name for a flow run: its recipe and its first sources.

    Example:
        >>> run_label(PipelineSettings(recipe="recipes/digest.yaml", sources=["news.csv"]))
        'digest · news.csv'
    """
    words = []
    if isinstance(settings, SummarizeSettings):
        words.append(re.sub(r"^.*/|\.ya?ml$", "", settings.recipe))
    if isinstance(settings, IngestSettings):
        names = (
            dataframe_files.NAME if source.startswith(dataframe_files.PREFIX) else source
            for source in settings.source_names[:3]
        )
        words.append(", ".join(names))
    return " · ".join(words)[:120]
