"""The options of the command line: their names, their defaults in a terminal, their help."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter
from pydantic import Field

from article_flows.tasks.settings import LoadRules, SummarizeSettings


class AskOptions(SummarizeSettings):
    """The settings of a summarise run, with the defaults of a terminal."""

    lake: str = Field(
        default="lake", min_length=1, description="Folder of the lake, or s3://bucket/prefix."
    )
    base_url: str = Field(
        default="",
        description=(
            "OpenAI-compatible endpoint, up to and including /v1. Default: OPENAI_BASE_URL, else "
            "OpenAI where OPENAI_API_KEY is set, else 'mock', a free stand-in on this machine "
            "that picks sentences out of the article and is no language model."
        ),
    )


class LoadOptions(LoadRules):
    """How to read sources, with names for single values."""

    columns: Annotated[list[str], Parameter("--column", negative=(), show_default=False)] = Field(
        default=[],
        description=(
            "Which source column is what, if the guess is wrong: body=text, "
            "'body={lead}\\n\\n{text}', 'news*.csv:body=text', category= for none."
        ),
    )
    allow_hosts: Annotated[list[str], Parameter(name="--allow-host", negative=())] = Field(
        default=[],
        description=(
            "Host in a private network, or on this machine, that may be fetched from where a list "
            "of URLs, a sitemap or a redirect leads there: intranet.example, localhost:8000"
        ),
    )
    near_duplicates: Annotated[bool, Parameter(negative=())] = Field(
        default=False,
        description="Reject articles that say nearly the same as another one; the first is kept.",
    )
    keep_boilerplate: Annotated[bool, Parameter(negative=())] = Field(
        default=False,
        description="Take pages that are nothing but a notice too: not found, cookies, test page.",
    )


class StoreOptions(LoadOptions):
    """How to load sources into a lake."""

    mirror: Annotated[bool, Parameter(negative=())] = Field(
        default=False,
        description=(
            "The sources are all the articles there are: others leave the tables, and are kept in "
            "superseded/."
        ),
    )
    keep_versions: Annotated[bool, Parameter(negative=())] = Field(
        default=False,
        description="Keep an article whose id comes again with other content, beside the new one.",
    )


Sources = Annotated[
    str,
    Parameter(
        help="Files, folders, globs, s3:// or https:// addresses, or -: CSV, JSON, Parquet, Arrow, "
        "Excel, documents, feeds, sitemaps, lists of URLs, plain or packed; or demo, 100 articles."
    ),
]
Lake = Annotated[str, Parameter(help="Folder of the lake, or s3://bucket/prefix.")]
Reading = Annotated[LoadOptions, Parameter(name="*")]
Storing = Annotated[StoreOptions, Parameter(name="*")]
Options = Annotated[AskOptions, Parameter(name="*")]
DryRun = Annotated[bool, Parameter(help="Say what it would take; make no call.", negative=())]
Json = Annotated[
    bool, Parameter(name="--json", help="End with one line of JSON on stdout.", negative=())
]
Wait = Annotated[
    float, Parameter(help="Seconds to wait while another run writes the same table; 0: end.")
]
