"""What columns are taken for: by their names if their values agree, else by their values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from tasks.cleaning.column_evidence import LONG_TEXT, find, longest_text, objection
from tasks.cleaning.column_names import (
    ALONE,
    AMBIGUOUS,
    NAME,
    ORDER,
    OTHERS,
    PEOPLE,
    WRAPPERS,
    is_known,
    named,
    plain,
)
from tasks.cleaning.column_profiles import Profile

SOME_TEXT = 40
"""Characters from which a summary or description is the body, where there is no other text."""
_FAR_LONGER = 5
_OF_ARTICLE = ("title", "url", "published_at", "language", "article_id")
"""What publishers, people and pictures have too: an id, a name, an address."""


@dataclass
class Guess:
    """A mapping under way.

    Attributes:
        profiles: the source's columns by name, fields of nested ones included.
        chosen: canonical column to source's column.
        reasons: why, by canonical column.
        notes: why a column is not what its name says, by source's column.
        closed: canonical columns that are settled, those that shall have no column too.
        filled: source columns that go into templates.
    """

    profiles: Mapping[str, Profile]
    chosen: dict[str, str] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)
    closed: set[str] = field(default_factory=set)
    filled: set[str] = field(default_factory=set)

    def take(self, target: str, column: str, reason: str) -> None:
        """Choose a column."""
        self.chosen[target] = column
        self.reasons[target] = reason
        self.closed.add(target)
        self.notes.pop(column, None)

    @property
    def body(self) -> Profile | None:
        """The body's column; of a template the longest."""
        if (name := self.chosen.get("body")) is not None:
            return self.profiles[name]
        return max(
            (self.profiles[name] for name in self.filled), key=lambda each: each.chars, default=None
        )

    def is_free(self, name: str) -> bool:
        """Tell whether neither a column, nor what holds it, nor what is in it, is chosen."""
        return not any(
            name == each or name.startswith(f"{each}.") or each.startswith(f"{name}.")
            for each in self.chosen.values()
        )

    def free(self, target: str | Iterable[str]) -> list[str]:
        """The free columns that are called so."""
        return [name for name in named(list(self.profiles), target) if self.is_free(name)]

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
            return all(each in WRAPPERS for each in holders)
        return (OTHERS - PEOPLE if target == "author" else OTHERS).isdisjoint(holders)


def guess_all(guess: Guess) -> None:
    """Choose a column for every canonical one that is open and that has one."""
    if "body" not in guess.closed:
        _guess_body(guess)
    for target in ORDER[1:]:
        if target not in guess.closed:
            _guess_by_name(guess, target)
    _guess_name(guess)
    _guess_by_contents(guess)


def _guess_body(guess: Guess) -> None:
    fitting = [name for name in guess.free("body") if _fits_body(guess, name)]
    if fitting:
        _take_named_body(guess, fitting)
        return
    alone = [
        guess.profiles[name]
        for name in guess.free(ALONE)
        if guess.profiles[name].is_prose and guess.profiles[name].weight >= SOME_TEXT
    ]
    longest = longest_text(each for each in guess.profiles.values() if guess.is_free(each.name))
    if alone and (longest is None or longest in alone):
        best = max(alone, key=lambda each: each.weight)
        guess.take("body", best.name, f"named {best.name}, and there is no longer text")
    elif longest is not None:
        guess.take("body", longest.name, f"the longest text: median {longest.chars:,} characters")


def _fits_body(guess: Guess, name: str) -> bool:
    profile = guess.profiles[name]
    problem = objection("body", profile, None)
    is_short = profile.type != "list" and profile.weight < LONG_TEXT
    if not problem and profile.values and is_short and _is_ambiguous(name):
        problem = f"too short for a body: median {profile.chars:,} characters"
    if problem:
        guess.notes[name] = problem
    return not problem


def _is_ambiguous(name: str) -> bool:
    return plain(name.rpartition(".")[2]) in AMBIGUOUS


def _take_named_body(guess: Guess, fitting: list[str]) -> None:
    first = guess.profiles[fitting[0]]
    longest = max((guess.profiles[name] for name in fitting), key=lambda each: each.weight)
    if longest.weight >= LONG_TEXT and longest.weight > first.weight * _FAR_LONGER:
        guess.take("body", longest.name, f"named {longest.name}, and far longer than {first.name}")
        guess.notes[first.name] = f"far shorter than {longest.name}"
    else:
        guess.take("body", first.name, f"named {first.name}")


def _guess_by_name(guess: Guess, target: str) -> None:
    for name in guess.free(target):
        if target == "reference_summary" and name in guess.filled:
            continue
        if target in _OF_ARTICLE and not guess.is_of_article(name, target):
            guess.notes.setdefault(name, "says it of something else than the article")
            continue
        problem = objection(target, guess.profiles[name], guess.body)
        if not problem:
            beside = ", beside a longer text" if target == "reference_summary" else ""
            guess.take(target, name, f"named {name}{beside}")
            return
        guess.notes.setdefault(name, problem)


def _guess_name(guess: Guess) -> None:
    """`name` is the title, or who wrote or spoke it: its values tell."""
    for name in guess.free(NAME):
        profile = guess.profiles[name]
        target = "author" if profile.is_people else "title"
        if not guess.is_of_article(name, target):
            continue
        if target in guess.closed or objection(target, profile, guess.body):
            continue
        like = "like names of people" if target == "author" else "unlike names of people"
        guess.take(target, name, f"named {name}, and its values look {like}")


def _guess_by_contents(guess: Guess) -> None:
    for target in ORDER[1:]:
        if target in guess.closed:
            continue
        candidates = [
            each
            for each in guess.profiles.values()
            if guess.is_free(each.name)
            and each.name not in guess.filled
            and not is_known(each.name)
            and (target not in _OF_ARTICLE or guess.is_of_article(each.name, target))
        ]
        if found := find(target, candidates, guess.body):
            guess.take(target, found[0].name, found[1])
