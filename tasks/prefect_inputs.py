"""Inputs of task runs that Prefect is to hand over as they are."""

from __future__ import annotations

from typing import TypeVar, cast

from prefect.utilities.annotations import quote

T = TypeVar("T")


def untraced(value: T) -> T:
    """Keep Prefect from walking into a value in search of futures; the task gets the value."""
    return cast(T, quote(value))
