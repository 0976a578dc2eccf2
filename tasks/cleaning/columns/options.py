"""The option ``--column``, with which the user maps a source's columns: ``--column body=text``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import PurePosixPath

from article_flows.tasks.cleaning.columns.templates import Template, is_template
from article_flows.tasks.common.column_names import CANONICAL_COLUMNS
from article_flows.tasks.common.errors import UsageError

_PATTERN = re.compile(
    rf"(?P<pattern>.+?):\s*(?P<target>{'|'.join(CANONICAL_COLUMNS)})\s*=(?P<value>.*)", re.S
)


@dataclass(frozen=True)
class ColumnOption:
    """One ``--column`` option.

    Attributes:
        target: The canonical column.
        value: A source column or a `Template`; empty to leave the canonical column out.
        pattern: A glob for the names of the sources to apply it to; empty for all sources.
    """

    target: str
    value: str
    pattern: str = ""

    def is_for(self, source: str) -> bool:
        """Return whether the option applies to a source: its name or its file name matches."""
        if not self.pattern:
            return True
        path = PurePosixPath(source)
        return (
            fnmatchcase(source, self.pattern)
            or fnmatchcase(path.name, self.pattern)
            or path.match(self.pattern)
        )


def parse_column_options(options: Sequence[str]) -> tuple[ColumnOption, ...]:
    r"""Parse options such as ``body=text``, ``body={lead}\n\n{text}`` and ``*.csv:body=text``.

    Raises:
        UsageError: An option has another form, or two options contradict each other.

    Example:
        >>> parse_column_options(["*.csv:body=text"])
        (ColumnOption(target='body', value='text', pattern='*.csv'),)
    """
    parsed: dict[tuple[str, str], ColumnOption] = {}
    for option in options:
        given = _parsed(option)
        before = parsed.setdefault((given.pattern, given.target), given)
        if before != given:
            raise UsageError(
                f"--column {option}: {given.target} is already given as {before.value or 'none'}"
            )
    return tuple(parsed.values())


def columns_for_source(given: Iterable[ColumnOption], source_name: str) -> Mapping[str, str]:
    """Return the mapping that the user requests for one source.

    Options with a pattern take precedence over those without, later ones over earlier ones.

    Returns:
        Maps canonical columns to a source column, a template, or an empty string for none.
    """
    matching = [each for each in given if each.is_for(source_name)]
    by_precedence = sorted(matching, key=lambda each: bool(each.pattern))
    return {each.target: each.value for each in by_precedence}


def unmatched_patterns(given: Iterable[ColumnOption], source_names: Iterable[str]) -> list[str]:
    """Return the patterns that match no source, which are probably typing errors."""
    names = list(source_names)
    by_pattern = {each.pattern: each for each in given if each.pattern}
    return [pattern for pattern, option in by_pattern.items() if not any(map(option.is_for, names))]


def _parsed(option: str) -> ColumnOption:
    target, equals, value = (part.strip() for part in option.partition("="))
    pattern = ""
    if target not in CANONICAL_COLUMNS and (found := _PATTERN.fullmatch(option.strip())):
        pattern, target, value = (part.strip() for part in found.groups())
    if not (target and equals) or (target == "body" and not value):
        raise UsageError(f"--column {option}: write it as TARGET=NAME, such as body=text")
    if target not in CANONICAL_COLUMNS:
        known = ", ".join(CANONICAL_COLUMNS)
        raise UsageError(f"--column {option}: {target} is not one of {known}")
    if is_template(value):
        Template(value)
    return ColumnOption(target, value, pattern)
