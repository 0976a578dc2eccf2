"""What a way is told, what it tells, and what the naive ones share."""

import time
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import pandas as pd

MODEL = "m"
KEY = "any"
MAX_TOKENS = 400
RECIPE = "summary"


@dataclass(frozen=True)
class Work:
    """One measurement's work.

    Attributes:
        articles: Parquet with id, title and body.
        output: where a naive way writes its Parquet.
        lake: where the articles are loaded already; for this project alone.
        base_url: the endpoint.
        in_flight: requests under way at once.
        options: more of the command line of this project.
    """

    articles: str
    output: str
    lake: str
    base_url: str
    in_flight: int
    options: list[str] = field(default_factory=list)


@dataclass
class Done:
    """What a way has done.

    Attributes:
        seconds: from the first request to the last row on disk.
        answered: rows with an answer on disk.
        status: exit status; 0 for all well.
        error: what it crashed with, in one line; "" if it did not.
        told: what it reports of itself.
    """

    seconds: float
    answered: int
    status: int = 0
    error: str = ""
    told: dict[str, Any] = field(default_factory=dict)


@cache
def instructions() -> str:
    """The system message, which is the same for all ways."""
    from article_flows.tasks.enriched.recipes import load_recipe

    return load_recipe(RECIPE).instructions.strip()


def user_message(title: str, body: str) -> str:
    """The user message of an article, as the recipe writes it."""
    return f"<article>\nTitle: {title}\n\n{body}\n</article>"


def messages(user: str) -> list[dict[str, str]]:
    """The messages of one request."""
    return [{"role": "system", "content": instructions()}, {"role": "user", "content": user}]


def read_prompts(work: Work) -> tuple[pd.DataFrame, list[str]]:
    """Read the articles, and make their user messages."""
    frame = pd.read_parquet(work.articles)
    titles, bodies = frame["title"].tolist(), frame["body"].tolist()
    return frame, [user_message(*pair) for pair in zip(titles, bodies, strict=True)]


def write_answers(
    work: Work, frame: pd.DataFrame, answers: list[str | None], started: float
) -> Done:
    """Write the articles with their answers, as a naive way does in the end."""
    enriched = frame.assign(summary=pd.Series(answers, index=frame.index, dtype=object))
    enriched.to_parquet(work.output)
    return Done(time.perf_counter() - started, int(enriched["summary"].notna().sum()))
