r"""Templates that combine several columns into one text: ``{title}\n\n{abstract}``."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

from article_flows.tasks.common.errors import UsageError

_TOKEN = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]|\\[nt\\]|[^{}\\]+|\\")
_ESCAPES = {"{{": "{", "}}": "}", r"\n": "\n", r"\t": "\t", "\\\\": "\\"}
_LABELLED = re.compile(r"[\w()\[\]{}<>«»“”\"'（）「」【】《》]")
_LINE_BREAKS = re.compile(r"[^\S\n]*\n\s*")
_SPACES = re.compile(r"\s+")
_CLOSING = re.compile(r"[)\]}>»”）」】》]*")


@dataclass(frozen=True)
class _Slot:
    """A column in a template: the separator before it, and the label around its value."""

    separator: str
    before: str
    column: str
    after: str


@dataclass(frozen=True)
class Template:
    r"""A text with placeholders for columns: ``{title}\n\n{abstract}``.

    ``{name}`` stands for a column, ``{{`` and ``}}`` for literal braces. ``\n``, ``\t`` and ``\\``
    may be written as escape sequences, since shells do not interpret them.

    Args:
        text: The template.
        names: Maps column names in the template to the source's spelling, where they differ.

    Raises:
        UsageError: The template contains no column, or an unmatched brace.

    Example:
        >>> Template("{title}: {text}").fill({"title": "Bridge", "text": "It opened."})
        'Bridge: It opened.'
    """

    text: str
    names: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self._slots:
            raise UsageError(
                f"the template {self.text} contains no column; write columns as {{column}}"
            )

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """The distinct columns of the template, in order."""
        return tuple(dict.fromkeys(slot.column for slot in self._slots))

    def fill(self, values: Mapping[str, str]) -> str | None:
        """Return the template with values filled in; None if all are missing or blank.

        A missing value is left out together with its label and one separator.
        """
        filled = ""
        separators: list[str] = []
        for slot in self._slots:
            separators.append(slot.separator)
            value = (values.get(slot.column) or "").strip()
            if not value:
                continue
            if filled:
                # Around missing values, the separator with the most line breaks is used.
                filled += max(separators, key=lambda each: each.count("\n"))
            filled += slot.before + value + slot.after
            separators = []
        return filled or None

    def renamed(self, columns: Mapping[str, str]) -> "Template":
        """Return the template for a source that spells column names differently."""
        if all(name == other for name, other in columns.items()):
            return self
        return replace(self, names=columns)

    @cached_property
    def _slots(self) -> tuple[_Slot, ...]:
        literals, columns = _parts(self.text)
        slots: list[_Slot] = []
        separator, before = "", literals[0]
        for index, column in enumerate(columns):
            following = literals[index + 1]
            is_last = index + 1 == len(columns)
            after, gap, label = (following, "", "") if is_last else _divided(following)
            slots.append(_Slot(separator, before, self.names.get(column, column), after))
            separator, before = gap, label
        return tuple(slots)


def is_template(text: str) -> bool:
    """Return whether a text is a template rather than the name of a column."""
    return any(match[1] is not None for match in _TOKEN.finditer(text))


def _parts(text: str) -> tuple[list[str], list[str]]:
    """Return the literal texts around and between the columns, and the columns."""
    literals, columns = [""], []
    for match in _TOKEN.finditer(text):
        token, column = match[0], match[1]
        if column is not None and column.strip():
            columns.append(column.strip())
            literals.append("")
        elif token in ("{", "}") or column is not None:
            raise UsageError(
                f"the template {text} has a brace without a column name; "
                "write {column}, and {{ or }} for a literal brace"
            )
        else:
            literals[-1] += _ESCAPES.get(token, token)
    return literals, columns


def _divided(literal: str) -> tuple[str, str, str]:
    """Split a literal between two columns: end of the first, separator, label of the second."""
    if not _LABELLED.search(literal):
        return "", literal, ""
    breaks = list(_LINE_BREAKS.finditer(literal))
    gap = breaks[-1] if breaks else _SPACES.search(literal)
    if gap:
        return literal[: gap.start()], gap[0], literal[gap.end() :]
    closing = _CLOSING.match(literal)
    end = closing.end() if closing else 0
    return literal[:end], "", literal[end:]
