"""Call Prefect's functions synchronously, even in a thread whose event loop is running.

A sync flow runs in the thread of its caller. In Jupyter and inside async flows that thread has a
running event loop, so these functions would return coroutines.
"""

from __future__ import annotations

from typing import Any, TypeVar, cast

from prefect.artifacts import create_markdown_artifact
from prefect.blocks.system import Secret
from prefect.client.schemas.objects import State

R = TypeVar("R")


def result_of(state: State[R]) -> R:
    """Return the result of a state; raise its exception if it has failed."""
    return cast(R, cast(Any, state).result(_sync=True))


def result_or_error(state: State[R]) -> R | Exception:
    """Return the result of a state, or its exception if it has failed."""
    return cast("R | Exception", cast(Any, state).result(raise_on_failure=False, _sync=True))


def publish_markdown(markdown: str, key: str) -> None:
    """Create a Markdown artifact of the current run."""
    cast(Any, create_markdown_artifact)(markdown, key=key, _sync=True)


def load_secret(name: str) -> str:
    """Return the value of a Secret block; raise ValueError if it does not exist."""
    block = cast(Any, Secret).load(name, _sync=True)
    return str(block.get())
