"""Map a source's columns to canonical columns: as the user says, else by names, else by values.

A column with a matching name is used only if its values fit.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from article_flows.tasks.cleaning.columns.evidence import (
    LONG_TEXT,
    find_column,
    longest_text,
    rejection_reason,
)
from article_flows.tasks.cleaning.columns.profiles import ColumnProfile, columns_of
from article_flows.tasks.cleaning.columns.templates import Template, is_template
from article_flows.tasks.cleaning.dates.to_utc import day_first, is_order_ambiguous
from article_flows.tasks.common.column_names import (
    AMBIGUOUS_BODY_NAMES,
    CANONICAL_COLUMNS,
    FALLBACK_BODY_NAMES,
    NAME_ALIASES,
    NON_ARTICLE_COLUMNS,
    PERSON_COLUMNS,
    WRAPPER_COLUMNS,
    columns_named,
    is_known,
    normalized_name,
)
from article_flows.tasks.common.errors import UserError

MIN_FALLBACK_CHARS = 40
"""The minimum median length of a summary or description that is used as the body, in characters."""
_FAR_LONGER = 5
# Publishers, people and pictures have these as well, so the column that holds them is checked.
_NEEDS_OWNER_CHECK = ("title", "url", "published_at", "language", "article_id")
_GIVEN = "given with --column"


@dataclass(frozen=True)
class ColumnMap:
    """The source of each canonical column; canonical columns without one are absent.

    Attributes:
        columns: Maps canonical columns to source columns; ``article.text`` is a nested field.
        templates: Maps canonical columns to templates of several source columns.
        reasons: Why each canonical column was mapped, as text for the user.
        notes: For source columns, why the name does not match the values, or what is uncertain.
        day_first: Whether 01/02/2020 is the first of February in the date column; None if the
            sample does not show it.
        order_ambiguous: Whether the sample has such dates and none of them shows the order.
    """

    columns: Mapping[str, str]
    templates: Mapping[str, Template] = field(default_factory=dict)
    reasons: Mapping[str, str] = field(default_factory=dict, compare=False)
    notes: Mapping[str, str] = field(default_factory=dict, compare=False)
    day_first: bool | None = None
    order_ambiguous: bool = False

    @cached_property
    def used(self) -> frozenset[str]:
        """All mapped source columns, including those of templates."""
        of_templates = (column for each in self.templates.values() for column in each.columns)
        return frozenset((*self.columns.values(), *of_templates))

    def get(self, target: str) -> str | None:
        """Return the source column of a canonical column, or None."""
        return self.columns.get(target)


def guess_columns(
    names: Sequence[str],
    sample: Sequence[Mapping[str, Any]],
    given: Mapping[str, str],
    file: str = "the source",
) -> ColumnMap:
    """Map canonical columns to source columns: those given first, then by names, then by values.

    Each column is used once, except in templates.

    Args:
        names: The source's columns in order.
        sample: Some of its records, up to about 1,000.
        given: The mapping requested by the user (``--column``).
        file: The source's name, for messages.

    Raises:
        UserError: A given column does not exist, or no column can be the body.

    Example:
        >>> rows = [{"headline": "A bridge opens", "text": "The bridge opened on Monday."}]
        >>> guess_columns(["headline", "text"], rows, {}).columns
        {'body': 'text', 'title': 'headline'}
    """
    profiles = {
        name: ColumnProfile(name, values) for name, values in columns_of(names, sample).items()
    }
    guess = _Guess(profiles)
    for target, value in given.items():
        _apply_given(guess, target, value, names, file)
    if "body" not in guess.settled:
        _guess_body(guess)
    for target in guess.unsettled:
        _guess_by_name(guess, target)
    _guess_name_column(guess)
    for target in guess.unsettled:
        _guess_by_values(guess, target)
    if "body" not in guess.chosen and "body" not in guess.templates:
        raise UserError(_no_body_message(guess, names, file))
    date_column = guess.chosen.get("published_at")
    dates = profiles[date_column].values if date_column is not None else []
    return ColumnMap(
        {target: guess.chosen[target] for target in CANONICAL_COLUMNS if target in guess.chosen},
        guess.templates,
        guess.reasons,
        guess.notes,
        day_first(dates),
        is_order_ambiguous(dates),
    )


@dataclass
class _Guess:
    """The state of a mapping in progress, see `ColumnMap`.

    Attributes:
        profiles: The source's columns by name, nested fields included.
        settled: The canonical columns that are decided, including those that get no column.
    """

    profiles: Mapping[str, ColumnProfile]
    chosen: dict[str, str] = field(default_factory=dict)
    templates: dict[str, Template] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)
    settled: set[str] = field(default_factory=set)

    def choose(self, target: str, column: str, reason: str) -> None:
        self.chosen[target] = column
        self.reasons[target] = reason
        self.settled.add(target)
        self.notes.pop(column, None)

    @property
    def unsettled(self) -> list[str]:
        """The canonical columns that are not decided; the body is always decided first."""
        return [target for target in CANONICAL_COLUMNS[1:] if target not in self.settled]

    @property
    def in_templates(self) -> set[str]:
        """The columns that are used in templates."""
        return {column for each in self.templates.values() for column in each.columns}

    @property
    def body(self) -> ColumnProfile | None:
        """The body's column; the longest one if the body is a template."""
        columns = [self.chosen["body"]] if "body" in self.chosen else self.in_templates
        profiles = [self.profiles[name] for name in columns]
        return max(profiles, key=lambda each: each.chars, default=None)

    def is_free(self, name: str) -> bool:
        """Return whether no chosen column is this one, contains it, or is contained in it."""
        return not any(
            name == each or name.startswith(f"{each}.") or each.startswith(f"{name}.")
            for each in self.chosen.values()
        )

    def free_named(self, target: str | Iterable[str]) -> list[str]:
        """Return the free columns whose names stand for a canonical column, best first."""
        return [name for name in columns_named(list(self.profiles), target) if self.is_free(name)]

    def is_of_article(self, name: str, target: str) -> bool:
        """Return whether a nested field can describe the article itself.

        ``article.id`` and fields next to the body can; ``source.id`` is the id of a publisher,
        which is the same for all of its articles.
        """
        parent = name.rpartition(".")[0]
        if not parent or self.chosen.get("body", "").startswith(f"{parent}."):
            return True
        parents = parent.casefold().split(".")
        if target == "article_id":
            return all(each in WRAPPER_COLUMNS for each in parents)
        others = NON_ARTICLE_COLUMNS - (PERSON_COLUMNS if target == "author" else frozenset())
        return others.isdisjoint(parents)


def _apply_given(guess: _Guess, target: str, value: str, names: Sequence[str], file: str) -> None:
    """Apply the user's mapping of a canonical column."""
    guess.settled.add(target)
    if is_template(value) and value not in guess.profiles:
        template = Template(value)
        found = {
            each: _existing(guess.profiles, each, f"{target}={value}", names, file)
            for each in template.columns
        }
        guess.templates[target] = template.renamed(found)
        guess.reasons[target] = _GIVEN
    elif value:
        column = _existing(guess.profiles, value, f"{target}={value}", names, file)
        if column in guess.chosen.values():
            raise UserError(f"{file}: --column maps {column} twice; use each column once")
        guess.choose(target, column, _GIVEN)


def _existing(
    columns: Mapping[str, ColumnProfile], column: str, option: str, names: Sequence[str], file: str
) -> str:
    similar = [name for name in columns if normalized_name(name) == normalized_name(column)]
    if column in columns:
        return column
    if len(similar) == 1 and normalized_name(column):
        return similar[0]
    raise UserError(
        f"{file} has no column {column} (--column {option}); its columns are: {_listed(names)}; "
        f"to apply the option to certain files only, write --column 'PATTERN:{option}'"
    )


def _guess_body(guess: _Guess) -> None:
    fitting = [name for name in guess.free_named("body") if _fits_body(guess, name)]
    if fitting:
        _choose_named_body(guess, fitting)
        return
    named = [guess.profiles[name] for name in guess.free_named(FALLBACK_BODY_NAMES)]
    fallbacks = [
        each for each in named if each.is_prose and each.weighted_chars >= MIN_FALLBACK_CHARS
    ]
    longest = longest_text(each for each in guess.profiles.values() if guess.is_free(each.name))
    if fallbacks and (longest is None or longest in fallbacks):
        best = max(fallbacks, key=lambda each: each.weighted_chars)
        guess.choose("body", best.name, f"named {best.name}, and there is no longer text")
    elif longest is not None:
        guess.choose("body", longest.name, f"the longest text: median {longest.chars:,} characters")


def _fits_body(guess: _Guess, name: str) -> bool:
    profile = guess.profiles[name]
    problem = rejection_reason("body", profile, None)
    is_short = profile.type != "list" and profile.weighted_chars < LONG_TEXT
    is_ambiguous = normalized_name(name.rpartition(".")[2]) in AMBIGUOUS_BODY_NAMES
    if not problem and profile.values and is_short and is_ambiguous:
        problem = f"too short for a body: median {profile.chars:,} characters"
    if problem:
        guess.notes[name] = problem
    return not problem


def _choose_named_body(guess: _Guess, fitting: list[str]) -> None:
    profiles = [guess.profiles[name] for name in fitting]
    first, longest = profiles[0], max(profiles, key=lambda each: each.weighted_chars)
    is_far_longer = longest.weighted_chars > first.weighted_chars * _FAR_LONGER
    if longest.weighted_chars >= LONG_TEXT and is_far_longer:
        reason = f"named {longest.name}, and far longer than {first.name}"
        guess.choose("body", longest.name, reason)
        guess.notes[first.name] = f"far shorter than {longest.name}"
    else:
        guess.choose("body", first.name, f"named {first.name}")


def _guess_by_name(guess: _Guess, target: str) -> None:
    for name in guess.free_named(target):
        if target == "reference_summary" and name in guess.in_templates:
            continue
        if target in _NEEDS_OWNER_CHECK and not guess.is_of_article(name, target):
            guess.notes.setdefault(name, "describes something other than the article")
            continue
        problem = rejection_reason(target, guess.profiles[name], guess.body)
        if not problem:
            addition = ", and there is a longer text" if target == "reference_summary" else ""
            guess.choose(target, name, f"named {name}{addition}")
            return
        guess.notes.setdefault(name, problem)


def _guess_name_column(guess: _Guess) -> None:
    """Map a column called `name` to the title or the author, depending on its values."""
    for name in guess.free_named(NAME_ALIASES):
        profile = guess.profiles[name]
        target = "author" if profile.is_people else "title"
        if not guess.is_of_article(name, target):
            continue
        if target in guess.settled or rejection_reason(target, profile, guess.body):
            continue
        like = "like names of people" if target == "author" else "unlike names of people"
        guess.choose(target, name, f"named {name}, and its values look {like}")


def _guess_by_values(guess: _Guess, target: str) -> None:
    candidates = [
        each
        for each in guess.profiles.values()
        if guess.is_free(each.name)
        and each.name not in guess.in_templates
        and not is_known(each.name)
        and (target not in _NEEDS_OWNER_CHECK or guess.is_of_article(each.name, target))
    ]
    if found := find_column(target, candidates, guess.body):
        guess.choose(target, found[0].name, found[1])


def _no_body_message(guess: _Guess, names: Sequence[str], file: str) -> str:
    texts = [each for each in guess.profiles.values() if each.is_text and each.values]
    longest = max(texts, key=lambda each: each.weighted_chars, default=None)
    length = f"; the longest, {longest.name}, has {longest.chars} characters" if longest else ""
    urls = next((name for name in names if guess.profiles[name].is_web), None)
    or_fetch = ""
    if urls is not None:
        or_fetch = (
            f"; or, to fetch the pages of {urls[:40]}, load a text file with one of these URLs per "
            "line and no other column"
        )
    return (
        f"{file}: no column looks like the article's text (columns: {_listed(names)}{length}); "
        f"name it with --column body=NAME{or_fetch}"
    )


def _listed(names: Sequence[str], limit: int = 20) -> str:
    shown = ", ".join(name[:40] for name in names[:limit]) or "none"
    return f"{shown} and {len(names) - limit} more" if len(names) > limit else shown
