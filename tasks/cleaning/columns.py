"""Which column of a source is the body, the title and so on: given, or guessed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from tasks.cleaning.column_guesses import Guess, guess_all
from tasks.cleaning.column_names import ORDER, is_known, plain
from tasks.cleaning.column_options import (
    TARGETS,
    Given,
    given_for,
    parse_column_options,
    patterns_of_nothing,
)
from tasks.cleaning.column_profiles import Profile, columns_of
from tasks.cleaning.dates_order import day_first, is_open
from tasks.cleaning.templates import Template, is_template
from tasks.errors import UserError

__all__ = [
    "TARGETS",
    "ColumnMap",
    "Given",
    "given_for",
    "guess_columns",
    "is_known",
    "parse_column_options",
    "patterns_of_nothing",
]


@dataclass(frozen=True)
class ColumnMap:
    """What each canonical column comes from; those that come from nothing are absent.

    Attributes:
        columns: canonical column to source's column; ``article.text`` is a field of a nested one.
        templates: canonical column to what several source columns are filled into.
        reasons: why, by canonical column, in words.
        notes: by source's column, why it is not what its name says, or what is in doubt.
        day_first: whether 01/02/2020 is the first of February in the column of dates; None: its
            values do not tell.
        order_open: there are such dates in the sample, and nothing in it tells.
    """

    columns: Mapping[str, str]
    templates: Mapping[str, Template] = field(default_factory=dict)
    reasons: Mapping[str, str] = field(default_factory=dict, compare=False)
    notes: Mapping[str, str] = field(default_factory=dict, compare=False)
    day_first: bool | None = None
    order_open: bool = False

    @cached_property
    def used(self) -> frozenset[str]:
        """All source columns that are taken, those of templates included."""
        filled = (column for each in self.templates.values() for column in each.columns)
        return frozenset((*self.columns.values(), *filled))

    def get(self, target: str) -> str | None:
        """Return the source column of a canonical column, or None."""
        return self.columns.get(target)


def guess_columns(
    names: Sequence[str],
    sample: Sequence[Mapping[str, Any]],
    given: Mapping[str, str],
    file: str = "the source",
) -> ColumnMap:
    """Map canonical columns to a source's: what is given first, then by names and contents.

    A column is used once, but for those in templates.

    Args:
        names: the source's columns in order.
        sample: some of its records, up to about 1,000.
        given: canonical column to source's column or template, or to nothing, see `given_for`.
        file: the source's name, for messages.

    Raises:
        UserError: a given column is not there, or no column can be the body.
    """
    profiles = {name: Profile(name, values) for name, values in columns_of(names, sample).items()}
    guess = Guess(profiles)
    templates = _take_given(guess, given, names, file)
    guess_all(guess)
    if "body" not in guess.chosen and "body" not in templates:
        raise UserError(_no_text(guess, names, file))
    date_column = guess.chosen.get("published_at")
    dates = profiles[date_column].values if date_column is not None else []
    return ColumnMap(
        {target: guess.chosen[target] for target in ORDER if target in guess.chosen},
        templates,
        guess.reasons,
        guess.notes,
        day_first(dates),
        is_open(dates),
    )


def _take_given(
    guess: Guess, given: Mapping[str, str], names: Sequence[str], file: str
) -> dict[str, Template]:
    """Settle what the user has said; give its templates."""
    templates = {}
    for target, value in given.items():
        guess.closed.add(target)
        if is_template(value) and value not in guess.profiles:
            template = Template(value)
            found = {
                each: _existing(guess.profiles, each, f"{target}={value}", names, file)
                for each in template.columns
            }
            templates[target] = template.renamed(found)
            guess.filled.update(found.values())
            guess.reasons[target] = "given with --column"
        elif value:
            column = _existing(guess.profiles, value, f"{target}={value}", names, file)
            if column in guess.chosen.values():
                raise UserError(f"{file}: --column gives one column two meanings; name each once")
            guess.take(target, column, "given with --column")
    return templates


def _existing(
    profiles: Iterable[str], column: str, option: str, names: Sequence[str], file: str
) -> str:
    columns = list(profiles)
    if column in columns:
        return column
    alike = [name for name in columns if plain(name) == plain(column)]
    if len(alike) == 1 and plain(column):
        return alike[0]
    raise UserError(
        f"{file} has no column {column} (--column {option}); it has: {_listed(names)}; "
        f"for some of several files write --column 'PATTERN:{option}'"
    )


def _no_text(guess: Guess, names: Sequence[str], file: str) -> str:
    texts = [each for each in guess.profiles.values() if each.is_text and each.values]
    longest = max(texts, key=lambda each: each.weight, default=None)
    told = f"; the longest, {longest.name}, has {longest.chars} characters" if longest else ""
    urls = next((name for name in names if guess.profiles[name].is_web), None)
    fetched = ""
    if urls is not None:
        fetched = (
            f"; or have the pages of {urls[:40]} fetched: load a text file of these URLs, one a "
            "line and no other column"
        )
    return (
        f"{file}: no column looks like the article's text (columns: {_listed(names)}{told}); "
        f"say which one is with --column body=NAME{fetched}"
    )


def _listed(names: Sequence[str], most: int = 20) -> str:
    shown = ", ".join(name[:40] for name in names[:most]) or "none"
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown
