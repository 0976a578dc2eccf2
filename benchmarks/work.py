"""The input and the result of a way, and the code that the simple ways share."""

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
    """The input of a way.

    Attributes:
        articles: Path of a Parquet file with the string columns id, title and body.
        output: Path of the Parquet file that a simple way writes.
        lake: Path of a lake with the articles; used by article-flows only.
        base_url: URL of the endpoint.
        in_flight: Concurrent requests.
        options: More command-line options of article-flows.
    """

    articles: str
    output: str
    lake: str
    base_url: str
    in_flight: int
    options: list[str] = field(default_factory=list)


@dataclass
class Done:
    """The result of a way.

    Attributes:
        seconds: Time from the first request to the last row on disk.
        answered: Number of rows with an answer on disk.
        status: Exit status; 0 for success.
        error: The error of a crash in one line, or "".
        report: The JSON report of article-flows.
    """

    seconds: float
    answered: int
    status: int = 0
    error: str = ""
    report: dict[str, Any] = field(default_factory=dict)


@cache
def instructions() -> str:
    """Return the system message, which all ways share."""
    from article_flows.tasks.enriched.recipes import load_recipe

    return load_recipe(RECIPE).instructions.strip()


def user_message(title: str, body: str) -> str:
    """Return the user message of an article in the format of the recipe."""
    return f"<article>\nTitle: {title}\n\n{body}\n</article>"


def messages(user: str) -> list[dict[str, str]]:
    """Return the messages of a request."""
    return [{"role": "system", "content": instructions()}, {"role": "user", "content": user}]


def read_prompts(work: Work) -> tuple[pd.DataFrame, list[str]]:
    """Read the articles and return them with their user messages."""
    frame = pd.read_parquet(work.articles)
    titles, bodies = frame["title"].tolist(), frame["body"].tolist()
    return frame, [user_message(*pair) for pair in zip(titles, bodies, strict=True)]


def write_answers(
    work: Work, frame: pd.DataFrame, answers: list[str | None], started: float
) -> Done:
    """Write the articles with their answers and return the result; `started` is in seconds."""
    enriched = frame.assign(summary=pd.Series(answers, index=frame.index, dtype=object))
    enriched.to_parquet(work.output)
    return Done(time.perf_counter() - started, int(enriched["summary"].notna().sum()))
