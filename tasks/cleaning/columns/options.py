"""What a user says of a source's columns: ``--column body=text``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import PurePosixPath

from article_flows.tasks.cleaning.columns.templates import Template, is_template
from article_flows.tasks.common.column_names import CANONICAL_COLUMNS
from article_flows.tasks.common.errors import UsageError

TARGETS = CANONICAL_COLUMNS
"""The canonical columns that a source's column can be."""
_PATTERN = re.compile(
    rf"(?P<pattern>.+?):\s*(?P<target>{'|'.join(TARGETS)})\s*=(?P<value>.*)", re.S
)


@dataclass(frozen=True)
class ColumnOption:
    """What one canonical column is to be taken from.

    Attributes:
        target: the canonical column.
        value: a source's column, a template (see `templates.py`), or empty: from none.
        pattern: a glob for the names of the sources that this is said of; empty: of all.
    """

    target: str
    value: str
    pattern: str = ""

    def is_for(self, source: str) -> bool:
        """Tell whether this is said of a source: its name or its file's name matches."""
        if not self.pattern:
            return True
        path = PurePosixPath(source)
        return (
            fnmatchcase(source, self.pattern)
            or fnmatchcase(path.name, self.pattern)
            or path.match(self.pattern)
        )


def parse_column_options(options: Sequence[str]) -> tuple[ColumnOption, ...]:
    """Parse options such as ``body=text``, ``body={lead}\\n\\n{text}`` and ``*.csv:body=text``.

    Raises:
        UsageError: an option is none of these forms, or two say different things of one column.
    """
    said: dict[tuple[str, str], ColumnOption] = {}
    for option in options:
        given = _parsed(option)
        before = said.setdefault((given.pattern, given.target), given)
        if before != given:
            raise UsageError(
                f"--column {option}: {given.target} is given already as {before.value or 'none'}"
            )
    return tuple(said.values())


def given_for(given: Iterable[ColumnOption], source_name: str) -> Mapping[str, str]:
    """Return what is said of one source: canonical column to source's column or template.

    What is said of a pattern goes before what is said of all, the later one before the earlier.
    """
    meant = [each for each in given if each.is_for(source_name)]
    return {each.target: each.value for each in sorted(meant, key=lambda each: bool(each.pattern))}


def unmatched_patterns(given: Iterable[ColumnOption], source_names: Iterable[str]) -> list[str]:
    """Return the patterns that no source matches: a slip of the pen that would go unnoticed."""
    names = list(source_names)
    patterns = dict.fromkeys(each.pattern for each in given if each.pattern)
    said = {each.pattern: each for each in given}
    return [each for each in patterns if not any(map(said[each].is_for, names))]


def _parsed(option: str) -> ColumnOption:
    target, equals, value = (part.strip() for part in option.partition("="))
    pattern = ""
    if target not in TARGETS and (found := _PATTERN.fullmatch(option.strip())):
        pattern, target, value = (part.strip() for part in found.groups())
    if not (target and equals) or (target == "body" and not value):
        raise UsageError(f"--column {option}: write it as TARGET=NAME, such as body=text")
    if target not in TARGETS:
        raise UsageError(f"--column {option}: {target} is none of {', '.join(TARGETS)}")
    if is_template(value):
        Template(value)
    return ColumnOption(target, value, pattern)
