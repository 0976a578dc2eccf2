"""The command line's options: names, defaults and help where they differ from the settings."""

from __future__ import annotations

from typing import Annotated, Any

from cyclopts import Group, Parameter
from pydantic import Field

from article_flows.tasks.settings import LoadRules, SummarizeSettings

_LOADING = Group("Loading", sort_key=1)
_ENRICHING = Group("Enriching", sort_key=2)
_GENERAL = Group("General", sort_key=3)


def default_in_help(value: Any) -> str | None:
    """Return a default value as `--help` shows it; None for defaults that say nothing."""
    if value is False or value in ("", []):
        return None
    return f"{value:g}" if isinstance(value, float) else str(value)


Lake = Annotated[
    str, Parameter(group=_GENERAL, help="Folder of the lake, or a URI such as s3://bucket/prefix.")
]
Wait = Annotated[
    float,
    Parameter(
        group=_GENERAL,
        help="Seconds to wait while another run is writing to the same table. 0: fail immediately.",
    ),
]
DryRun = Annotated[
    bool,
    Parameter(
        group=_GENERAL,
        help="Estimate calls, tokens and cost. Makes no call and stores nothing.",
        negative=(),
    ),
]
Json = Annotated[
    bool,
    Parameter(
        name="--json",
        group=_GENERAL,
        help="Print one line of JSON to stdout instead of the report.",
        negative=(),
    ),
]


class EnrichOptions(SummarizeSettings):
    """The settings of a summarize run, with defaults for a terminal."""

    lake: Lake = Field(default="lake", min_length=1)
    wait_s: Wait = Field(default=3_600.0, ge=0)
    base_url: str = Field(
        default="",
        description=(
            "URL of an OpenAI-compatible endpoint, up to and including /v1. Default: "
            "OPENAI_BASE_URL if set, OpenAI if OPENAI_API_KEY is set, otherwise mock: a free local "
            "endpoint that extracts sentences from the article; it is not a language model."
        ),
    )


class ReadOptions(LoadRules):
    """How to read sources, with singular names for options that can be repeated."""

    columns: Annotated[list[str], Parameter("--column", negative=())] = Field(
        default=[],
        description=(
            "Correct the inferred column mapping: body=text, 'body={lead}\\n\\n{text}', "
            "'news*.csv:body=text', or category= to leave a column empty. Repeatable."
        ),
    )
    allow_hosts: Annotated[list[str], Parameter(name="--allow-host", negative=())] = Field(
        default=[],
        description=(
            "Private host, or this machine, that lists of URLs, sitemaps and redirects may lead "
            "to, such as intranet.example or localhost:8000. Repeatable."
        ),
    )
    near_duplicates: Annotated[bool, Parameter(negative=())] = Field(
        default=False,
        description="Reject articles that are nearly identical to another one. The first is kept.",
    )
    keep_boilerplate: Annotated[bool, Parameter(negative=())] = Field(
        default=False,
        description="Keep pages that contain only a notice: page not found, cookies, test page.",
    )


class StoreOptions(ReadOptions):
    """How to load sources into a lake."""

    mirror: Annotated[bool, Parameter(negative=())] = Field(
        default=False,
        description=(
            "Treat the sources as the complete collection: articles that are no longer in them "
            "are moved to superseded/."
        ),
    )
    keep_versions: Annotated[bool, Parameter(negative=())] = Field(
        default=False,
        description=(
            "If an article_id appears again with different content, keep both articles instead of "
            "replacing the old one."
        ),
    )


Sources = Annotated[
    str,
    Parameter(
        help="Files, folders, globs, s3:// or https:// addresses, or - for standard input: CSV, "
        "JSON, Parquet, Arrow, Excel, documents, feeds, sitemaps, lists of URLs, also compressed. "
        "demo: the 100 articles that ship with article-flows."
    ),
]
Reading = Annotated[ReadOptions, Parameter(name="*", group=_LOADING)]
Storing = Annotated[StoreOptions, Parameter(name="*", group=_LOADING)]
Enriching = Annotated[EnrichOptions, Parameter(name="*", group=_ENRICHING)]
