"""Which part of a line in a list of URLs is the URL, where the list is a table."""

from __future__ import annotations

import csv
from collections.abc import Callable

_WEB = ("http://", "https://")
_MARKS = ("\t", ",", ";", "|")
_LINES = 50

FindUrl = Callable[[str], str | None]
"""Gives the URL of a line, the line itself if it has none; None for the line with the names."""


def url_finder(head: str) -> FindUrl:
    """Tell by a list's first lines what finds the URL in each of them.

    Commas and semicolons are in URLs too: they part fields only where a line with the columns'
    names is above, or where what is behind the URL can be no part of one.
    """
    lines = [line.strip() for line in head.splitlines()]
    lines = [line for line in lines if line and not line.startswith("#")][:_LINES]
    for mark in _MARKS:
        if len(lines) > 1 and _are_names(lines[0], lines[1:], mark):
            names = lines[0]
            return lambda line: None if line == names else _url_of(line, mark)
        if lines and all(map(_is_table_line(mark), lines)):
            return lambda line: _url_of(line, mark)
    return str


def _are_names(first: str, others: list[str], mark: str) -> bool:
    """Tell the names above a table: as many as the lines below have fields, and no URL."""
    width = len(_fields(first, mark))
    return (
        width > 1
        and not any(field.lower().startswith(_WEB) for field in _fields(first, mark))
        and all(len(_fields(line, mark)) == width for line in others)
        and any(_url_of(line, mark) != line for line in others)
    )


def _is_table_line(mark: str) -> Callable[[str], bool]:
    def tell(line: str) -> bool:
        fields = _fields(line, mark)
        urls = [field for field in fields if field.lower().startswith(_WEB)]
        others = [field for field in fields if field not in urls]
        # A part of a URL has no space, no quotes around it, and is hardly ever letters alone.
        apart = mark == "\t" or any(" " in field or f'"{field}"' in line for field in others)
        words = bool(others) and all(field.replace(" ", "").isalpha() for field in others)
        return len(fields) > 1 and bool(urls) and (apart or words)

    return tell


def _fields(line: str, mark: str) -> list[str]:
    try:
        row = next(csv.reader([line], delimiter=mark, skipinitialspace=True), [])
    except csv.Error:
        return [line]
    return [field.strip() for field in row]


def _url_of(line: str, mark: str) -> str:
    urls = (field for field in _fields(line, mark) if field.lower().startswith(_WEB))
    return next(urls, line)
