"""The formats that articles come in: how each is recognised, and what reads it.

To add a format, write a `Reader` in its own `readers_*.py` and add a `Format` to `FORMATS`.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tasks.errors import UserError
from tasks.readers_base import BATCH_ROWS, Chunk, Reader, Source
from tasks.readers_csv import read_csv
from tasks.readers_jsonl import read_jsonl
from tasks.readers_parquet import read_parquet
from tasks.readers_sniff import (
    foreign_kind,
    looks_binary,
    looks_like_csv,
    looks_like_jsonl,
    looks_like_parquet,
)

HEAD_BYTES = 64 << 10
"""How much of a file is looked at to tell its format."""


@dataclass(frozen=True)
class Format:
    """One format: its name, its files' suffixes, its reader, and how its content starts."""

    name: str
    suffixes: tuple[str, ...]
    read: Reader
    matches: Callable[[bytes], bool]
    binary: bool = False


FORMATS: dict[str, Format] = {
    each.name: each
    for each in (
        Format("parquet", (".parquet", ".pq"), read_parquet, looks_like_parquet, binary=True),
        Format("jsonl", (".jsonl", ".ndjson", ".json-lines"), read_jsonl, looks_like_jsonl),
        Format("csv", (".csv", ".tsv"), read_csv, looks_like_csv),
    )
}
"""All formats by name; content that matches several is taken for the first."""


def read(source: Source, batch_rows: int = BATCH_ROWS) -> Iterator[Chunk]:
    """Stream a source's raw rows with the reader of its format."""
    return FORMATS[source.format].read(source, batch_rows)


def format_of_suffix(path: Path) -> Format | None:
    """Return the format that a file's name tells, if any."""
    suffix = path.suffix.lower()
    return next((each for each in FORMATS.values() if suffix in each.suffixes), None)


def format_of(path: Path, name: str) -> str:
    """Return the name of a file's format, by its content where the suffix does not tell or lies.

    Raises UserError if the file cannot be read or is in none of `FORMATS`.
    """
    try:
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES)
    except OSError as error:
        raise UserError(f"{name} cannot be read: {error.strerror or error}") from error
    named = format_of_suffix(path)
    if not head.strip():
        raise UserError(f"{name} is empty: there is no article in it")
    if kind := foreign_kind(head):
        raise UserError(f"{name} is {kind}")
    matching = [each for each in FORMATS.values() if each.matches(head)]
    if named in matching:
        return named.name
    if matching:
        return matching[0].name
    if named is None or named.binary or looks_binary(head):
        seems = f"is not {named.name} inside" if named else "is in a format that is not known"
        suffixes = " ".join(suffix for each in FORMATS.values() for suffix in each.suffixes)
        raise UserError(f"{name} {seems}; these can be read: {suffixes}")
    return named.name
