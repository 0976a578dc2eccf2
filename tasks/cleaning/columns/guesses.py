"""Which column of a source is the body, the title and so on: given, or guessed.

By their names if their values agree, else by their values.
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
"""Characters from which a summary or description is the body, where there is no other text."""
_FAR_LONGER = 5
_NEEDS_OWNER_CHECK = ("title", "url", "published_at", "language", "article_id")
"""What publishers, people and pictures have too: an id, a name, an address."""
_GIVEN = "given with --column"


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
    profiles = {
        name: ColumnProfile(name, values) for name, values in columns_of(names, sample).items()
    }
    guess = _Guess(profiles)
    for target, value in given.items():
        _take_given(guess, target, value, names, file)
    if "body" not in guess.closed:
        _guess_body(guess)
    for target in guess.open:
        _guess_by_name(guess, target)
    _guess_name(guess)
    for target in guess.open:
        _guess_by_contents(guess, target)
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
    """A mapping under way: see `ColumnMap`.

    Attributes:
        profiles: the source's columns by name, fields of nested ones included.
        closed: canonical columns that are settled, those that shall have no column too.
    """

    profiles: Mapping[str, ColumnProfile]
    chosen: dict[str, str] = field(default_factory=dict)
    templates: dict[str, Template] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)
    closed: set[str] = field(default_factory=set)

    def take(self, target: str, column: str, reason: str) -> None:
        """Choose a column."""
        self.chosen[target] = column
        self.reasons[target] = reason
        self.closed.add(target)
        self.notes.pop(column, None)

    @property
    def open(self) -> list[str]:
        """The canonical columns that are not settled; the body is told before all others."""
        return [target for target in CANONICAL_COLUMNS[1:] if target not in self.closed]

    @property
    def filled(self) -> set[str]:
        """The columns that go into templates."""
        return {column for each in self.templates.values() for column in each.columns}

    @property
    def body(self) -> ColumnProfile | None:
        """The body's column; of a template the longest."""
        columns = [self.chosen["body"]] if "body" in self.chosen else self.filled
        profiles = [self.profiles[name] for name in columns]
        return max(profiles, key=lambda each: each.chars, default=None)

    def is_free(self, name: str) -> bool:
        """Tell whether neither a column, nor what holds it, nor what is in it, is chosen."""
        return not any(
            name == each or name.startswith(f"{each}.") or each.startswith(f"{name}.")
            for each in self.chosen.values()
        )

    def free(self, target: str | Iterable[str]) -> list[str]:
        """The free columns that are called so."""
        return [name for name in columns_named(list(self.profiles), target) if self.is_free(name)]

    def is_of_article(self, name: str, target: str) -> bool:
        """Tell whether a field of a nested column can say this of the article itself.

        ``article.id`` does, and what stands beside the body; ``source.id`` is that of a publisher,
        which all of its articles have in common.
        """
        holder = name.rpartition(".")[0]
        if not holder or self.chosen.get("body", "").startswith(f"{holder}."):
            return True
        holders = holder.casefold().split(".")
        if target == "article_id":
            return all(each in WRAPPER_COLUMNS for each in holders)
        return (
            NON_ARTICLE_COLUMNS - PERSON_COLUMNS if target == "author" else NON_ARTICLE_COLUMNS
        ).isdisjoint(holders)


def _take_given(guess: _Guess, target: str, value: str, names: Sequence[str], file: str) -> None:
    """Settle what the user has said of a canonical column."""
    guess.closed.add(target)
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
            raise UserError(f"{file}: --column gives one column two meanings; name each once")
        guess.take(target, column, _GIVEN)


def _existing(
    columns: Mapping[str, ColumnProfile], column: str, option: str, names: Sequence[str], file: str
) -> str:
    alike = [name for name in columns if normalized_name(name) == normalized_name(column)]
    if column in columns:
        return column
    if len(alike) == 1 and normalized_name(column):
        return alike[0]
    raise UserError(
        f"{file} has no column {column} (--column {option}); it has: {_listed(names)}; "
        f"for some of several files write --column 'PATTERN:{option}'"
    )


def _guess_body(guess: _Guess) -> None:
    fitting = [name for name in guess.free("body") if _fits_body(guess, name)]
    if fitting:
        _take_named_body(guess, fitting)
        return
    alone = [
        guess.profiles[name]
        for name in guess.free(FALLBACK_BODY_NAMES)
        if guess.profiles[name].is_prose and guess.profiles[name].weight >= MIN_FALLBACK_CHARS
    ]
    longest = longest_text(each for each in guess.profiles.values() if guess.is_free(each.name))
    if alone and (longest is None or longest in alone):
        best = max(alone, key=lambda each: each.weight)
        guess.take("body", best.name, f"named {best.name}, and there is no longer text")
    elif longest is not None:
        guess.take("body", longest.name, f"the longest text: median {longest.chars:,} characters")


def _fits_body(guess: _Guess, name: str) -> bool:
    profile = guess.profiles[name]
    problem = rejection_reason("body", profile, None)
    is_short = profile.type != "list" and profile.weight < LONG_TEXT
    is_ambiguous = normalized_name(name.rpartition(".")[2]) in AMBIGUOUS_BODY_NAMES
    if not problem and profile.values and is_short and is_ambiguous:
        problem = f"too short for a body: median {profile.chars:,} characters"
    if problem:
        guess.notes[name] = problem
    return not problem


def _take_named_body(guess: _Guess, fitting: list[str]) -> None:
    first = guess.profiles[fitting[0]]
    longest = max((guess.profiles[name] for name in fitting), key=lambda each: each.weight)
    if longest.weight >= LONG_TEXT and longest.weight > first.weight * _FAR_LONGER:
        guess.take("body", longest.name, f"named {longest.name}, and far longer than {first.name}")
        guess.notes[first.name] = f"far shorter than {longest.name}"
    else:
        guess.take("body", first.name, f"named {first.name}")


def _guess_by_name(guess: _Guess, target: str) -> None:
    for name in guess.free(target):
        if target == "reference_summary" and name in guess.filled:
            continue
        if target in _NEEDS_OWNER_CHECK and not guess.is_of_article(name, target):
            guess.notes.setdefault(name, "says it of something else than the article")
            continue
        problem = rejection_reason(target, guess.profiles[name], guess.body)
        if not problem:
            beside = ", beside a longer text" if target == "reference_summary" else ""
            guess.take(target, name, f"named {name}{beside}")
            return
        guess.notes.setdefault(name, problem)


def _guess_name(guess: _Guess) -> None:
    """`name` is the title, or who wrote or spoke it: its values tell."""
    for name in guess.free(NAME_ALIASES):
        profile = guess.profiles[name]
        target = "author" if profile.is_people else "title"
        if not guess.is_of_article(name, target):
            continue
        if target in guess.closed or rejection_reason(target, profile, guess.body):
            continue
        like = "like names of people" if target == "author" else "unlike names of people"
        guess.take(target, name, f"named {name}, and its values look {like}")


def _guess_by_contents(guess: _Guess, target: str) -> None:
    candidates = [
        each
        for each in guess.profiles.values()
        if guess.is_free(each.name)
        and each.name not in guess.filled
        and not is_known(each.name)
        and (target not in _NEEDS_OWNER_CHECK or guess.is_of_article(each.name, target))
    ]
    if found := find_column(target, candidates, guess.body):
        guess.take(target, found[0].name, found[1])


def _no_body_message(guess: _Guess, names: Sequence[str], file: str) -> str:
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
