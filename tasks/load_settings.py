"""What a user can set of a load; Prefect's UI draws its form from it."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field
from pydantic.config import JsonDict

from tasks.cleaning.limits import MAX_CHARS

DateOrder: TypeAlias = Literal["auto", "day-first", "month-first"]
"""What a user can say of dates such as 01/02/2024."""


def shown_at(position: int) -> JsonDict:
    """Where Prefect's form shows a setting."""
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
        json_schema_extra=shown_at(0),
    )
    wait_s: float = Field(
        default=3_600.0,
        ge=0,
        description="Seconds to wait while another run writes the same table; 0: end at once.",
        json_schema_extra=shown_at(21),
    )


class LoadRules(BaseModel):
    """How to read sources, and which of their rows to take."""

    model_config = ConfigDict(extra="forbid", validate_default=True)

    encoding: str = Field(
        default="",
        description="Encoding of text sources, such as gb18030; empty: found out for each.",
        json_schema_extra=shown_at(22),
    )
    format: str = Field(
        default="",
        description="Format of the sources, such as csv, jsonl, document; empty: by their content.",
        json_schema_extra=shown_at(23),
    )
    references: str = Field(
        default="",
        description=(
            "Folder with a human summary for each document, in files of the same names; they go "
            "into reference_summary."
        ),
        json_schema_extra=shown_at(24),
    )
    allow_hosts: list[str] = Field(
        default=[],
        description=(
            "Hosts in private networks, or this machine, that may be fetched from where a list of "
            "URLs, a sitemap or a redirect leads there: intranet.example, localhost:8000"
        ),
        json_schema_extra=shown_at(25),
    )
    min_chars: int = Field(
        default=1,
        ge=1,
        description="Characters that a body has at least; shorter ones are rejected.",
        json_schema_extra=shown_at(26),
    )
    max_chars: int = Field(
        default=MAX_CHARS,
        ge=0,
        description="Characters that a body has at most; longer ones are rejected. 0: no bound.",
        json_schema_extra=shown_at(27),
    )
    keep_boilerplate: bool = Field(
        default=False,
        description=(
            "Take pages that are nothing but a notice too: page not found, cookies, test page."
        ),
        json_schema_extra=shown_at(28),
    )
    near_duplicates: bool = Field(
        default=False,
        description=("Reject articles that say nearly the same as another one; the first is kept."),
        json_schema_extra=shown_at(29),
    )
    similarity: float = Field(
        default=0.8,
        ge=0.5,
        le=1,
        description="Share of five-word sequences in common from which near duplicates are.",
        json_schema_extra=shown_at(30),
    )
    detect_language: bool = Field(
        default=True,
        description="Tell the language by the text where the source does not say it.",
        json_schema_extra=shown_at(31),
    )
    date_order: DateOrder = Field(
        default="auto",
        description=(
            "What 01/02/2024 is: day-first the 1st of February, month-first January 2nd; auto: "
            "told by other dates of the source, and unread if none tells."
        ),
        json_schema_extra=shown_at(32),
    )


class IngestSettings(LakeSettings, LoadRules):
    """What to load."""

    sources: Annotated[list[str], Field(min_length=1)] = Field(
        default=["demo"],
        description=(
            "Files, folders or globs on the machine that runs the flow, s3:// or https:// "
            "addresses: tables, documents, feeds, sitemaps, lists of URLs, plain or packed; demo "
            "is the 100 articles that come with article-flows."
        ),
        json_schema_extra=shown_at(1),
    )
    columns: list[str] = Field(
        default=[],
        description="Which source column is what, where the guess is wrong: body=text",
        json_schema_extra=shown_at(2),
    )
    mirror: bool = Field(
        default=False,
        description=(
            "The sources are all the articles there are: those that are not in them any more "
            "leave the tables, and are kept in superseded/."
        ),
        json_schema_extra=shown_at(19),
    )
    keep_versions: bool = Field(
        default=False,
        description=(
            "Keep an article whose id comes again with other content, beside the new one; "
            "otherwise the new one replaces it, and the old one is kept in superseded/."
        ),
        json_schema_extra=shown_at(20),
    )
