"""`article-flows inspect SOURCE…`: what a load would make of sources, before it is made."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import PurePosixPath
from typing import Any

import orjson

from flows.cli_sources_shown import Commands, show
from flows.exit_status import ANSWERED, RUN_FAILED
from tasks.cleaning.columns import Given, given_for, parse_column_options
from tasks.inspection import Inspection, inspect_source
from tasks.inspection_sizes import size_of
from tasks.load_settings import IngestSettings, LoadRules
from tasks.loading import day_first_of, rules_of, sources_of
from tasks.reading.readers_base import Source

LOOKED_AT = 5
"""Files of one folder and format that are looked at; the others are taken to be like them."""


@dataclass
class Group:
    """Sources of one kind: one in detail, and how many more there are.

    Attributes:
        first: the one that was looked at first.
        more: how many others are like it, or are taken to be.
        looked_at: how many of all were looked at, the first included.
        articles: rows of those that would be stored.
        rows: of all, as far as it is known.
        tokens: likewise.
    """

    first: Inspection
    more: int = 0
    looked_at: int = 1
    articles: int = 0
    rows: int | None = None
    tokens: int | None = None

    @property
    def problem(self) -> str:
        """Why they cannot be loaded, or would give no article, in one line; empty if they do."""
        return self.first.error or ("" if self.articles else self.first.nothing)


def inspect(settings: IngestSettings, *, as_json: bool) -> int:
    """Show what loading would make of sources.

    The status is 1 where one cannot be loaded, or no article would be stored.

    Raises:
        UserError: there is no source to be read, or an option is wrong.
    """
    given = parse_column_options(settings.columns)
    sources = sources_of(settings)
    groups = [group for alike in _by_folder(sources) for group in _groups(alike, given, settings)]
    hosts = [host for group in groups for host in group.first.private_hosts]
    allowed = list(dict.fromkeys([*settings.allow_hosts, *hosts]))
    next_settings = settings.model_copy(update={"allow_hosts": allowed})
    has_articles = any(group.articles for group in groups)
    command = _command("ingest", next_settings) if has_articles else ""
    again = _command("inspect", next_settings) if hosts and not has_articles else ""
    broken = [each.reason for each in sources.broken]
    skipped = [f"{each.name}: {each.reason}" for each in sources.skipped]
    if as_json:
        print(orjson.dumps(_as_json(groups, broken, skipped, command), default=str).decode())
    else:
        show(groups, broken, skipped, Commands(command, again))
    failed = broken or not has_articles or any(group.first.error for group in groups)
    return RUN_FAILED if failed else ANSWERED


def _by_folder(sources: Iterable[Source]) -> list[list[Source]]:
    folders: dict[tuple[str, str, str], list[Source]] = {}
    for source in sources:
        path = PurePosixPath(source.name)
        folders.setdefault((str(path.parent), source.format, path.suffix), []).append(source)
    return list(folders.values())


def _groups(sources: list[Source], given: Sequence[Given], settings: IngestSettings) -> list[Group]:
    """Look at some of a folder's sources, and sort them by kind."""
    last = len(sources) - 1
    chosen = sorted({round(last * step / (LOOKED_AT - 1)) for step in range(LOOKED_AT)})
    wanted = rules_of(settings), day_first_of(settings)
    groups: dict[object, Group] = {}
    looked: dict[object, list[Inspection]] = {}
    for place in chosen:
        source = sources[place]
        seen = inspect_source(source, given_for(given, source.name), *wanted)
        groups.setdefault(seen.kind, Group(seen))
        looked.setdefault(seen.kind, []).append(seen)
    for kind, group in groups.items():
        group.looked_at = len(looked[kind])
        group.articles = sum(each.articles for each in looked[kind])
        group.more = group.looked_at - 1
    main = max(groups, key=lambda kind: groups[kind].looked_at)
    rest = [source for place, source in enumerate(sources) if place not in chosen]
    groups[main].more += len(rest)
    for kind, group in groups.items():
        _extrapolate(group, looked[kind], rest if kind == main else [])
    return list(groups.values())


def _extrapolate(group: Group, looked: list[Inspection], rest: list[Source]) -> None:
    """Estimate rows and tokens of a group: of those not looked at by their sizes, or by number."""
    rows = [each.total_rows for each in looked if each.total_rows is not None]
    tokens = [each.tokens for each in looked if each.tokens is not None]
    if len(rows) < len(looked):
        return
    times = 1.0
    if rest:
        known = sum(each.size.stored or 0 for each in looked)
        more = [size_of(source.place).stored for source in rest]
        sizes = [size for size in more if size is not None]
        by_size = len(sizes) == len(rest) and known
        times += sum(sizes) / known if by_size else len(rest) / len(looked)
    one_each = all(count <= 1 for count in rows)
    group.rows = len(looked) + len(rest) if one_each else round(sum(rows) * times)
    group.tokens = round(sum(tokens) * times) if len(tokens) == len(looked) else None


def _command(name: str, settings: IngestSettings) -> str:
    """A command for what was looked at, with its options."""
    words = ["article-flows", name, *settings.sources]
    for column in settings.columns:
        words += ["--column", column]
    for name, field in LoadRules.model_fields.items():
        value, option = getattr(settings, name), name.replace("_", "-")
        if value == field.default:
            continue
        if isinstance(value, bool):
            words.append(f"--{option}" if value else f"--no-{option}")
        elif isinstance(value, list):
            words += [word for each in value for word in (f"--{option.removesuffix('s')}", each)]
        else:
            words += [f"--{option}", str(value)]
    return shlex.join(words)


def _as_json(
    groups: list[Group], broken: list[str], skipped: list[str], command: str
) -> dict[str, Any]:
    sources = [
        {
            **asdict(group.first),
            "more_like_it": group.more,
            "looked_at": group.looked_at,
            "rows_of_all": group.rows,
            "tokens_of_all": group.tokens,
            "problem": group.problem or None,
        }
        for group in groups
    ]
    return {"sources": sources, "not_read": broken, "skipped": skipped, "command": command or None}
