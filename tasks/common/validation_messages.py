"""Describe pydantic's validation errors in the words of an option, a parameter or a recipe key."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any, NamedTuple

from pydantic import ValidationError


class InvalidValue(NamedTuple):
    """The first problem of a validation error.

    ``name`` is empty if the problem concerns the whole model. ``message`` follows the value.
    """

    name: str
    value: Any
    message: str
    is_unknown: bool


def first_problem(error: ValidationError) -> InvalidValue:
    """Return the first problem of a validation error of settings."""
    problem = error.errors()[0]
    name = str(problem["loc"][0]) if problem["loc"] else ""
    message = problem["msg"].replace("Input should", "must")
    return InvalidValue(name, problem["input"], message, problem["type"] == "extra_forbidden")


def suggestion(name: str, known: Iterable[str]) -> str:
    """Return a hint to the most similar known name, or an empty string.

    Example:
        >>> suggestion("budget", ["budget_usd", "rpm"])
        '; did you mean budget_usd?'
    """
    similar = get_close_matches(name, known, 1)
    return f"; did you mean {similar[0]}?" if similar else ""
