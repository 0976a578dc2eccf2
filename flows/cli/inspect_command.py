"""`article-flows inspect SOURCE…`: show how sources would be loaded, without loading them."""

from __future__ import annotations

import shlex

import orjson

from article_flows.flows.cli.exit_status import RUN_FAILED, SUCCESS
from article_flows.flows.cli.inspect_view import show
from article_flows.tasks.checks.source_groups import inspect_sources
from article_flows.tasks.cleaning.columns.options import parse_column_options
from article_flows.tasks.ingest.options import LoadOptions, day_first_of, rules_of, sources_of
from article_flows.tasks.settings import IngestSettings, LoadRules


def inspect(settings: IngestSettings, *, as_json: bool) -> int:
    """Inspect sources and print the result.

    Returns:
        Exit status 1 if a source cannot be loaded or no article would be stored.

    Raises:
        UserError: No source can be read, or an option is invalid.
    """
    sources = sources_of(settings)
    columns = parse_column_options(settings.columns)
    loading = LoadOptions(columns, rules_of(settings), day_first=day_first_of(settings))
    groups = inspect_sources(sources, loading)
    private_hosts = [host for group in groups for host in group.first.private_hosts]
    allow_hosts = list(dict.fromkeys([*settings.allow_hosts, *private_hosts]))
    next_settings = settings.model_copy(update={"allow_hosts": allow_hosts})
    has_articles = any(group.articles for group in groups)
    failed = bool(sources.broken) or any(group.first.error for group in groups)
    command = _command("ingest", next_settings) if has_articles else ""
    if as_json:
        document = {
            "sources": [group.as_json() for group in groups],
            "not_read": [source.reason for source in sources.broken],
            "skipped_count": len(sources.skipped),
            "skipped": [f"{file.name}: {file.reason}" for file in sources.skipped],
            "command": command or None,
        }
        print(orjson.dumps(document, default=str).decode())
    else:
        next_step = f"Load with:\n  {command}" if command and not failed else ""
        if private_hosts and not has_articles:
            next_step = f"Allow private hosts with:\n  {_command('inspect', next_settings)}"
        show(groups, sources, next_step)
    return RUN_FAILED if failed or not has_articles else SUCCESS


def _command(name: str, settings: IngestSettings) -> str:
    """Return a command line for the inspected sources, with the options of `settings`."""
    words = ["article-flows", name, *settings.source_names]
    for column in settings.columns:
        words += ["--column", column]
    for name, field in LoadRules.model_fields.items():
        value, option = getattr(settings, name), name.replace("_", "-")
        if value == field.default:
            continue
        if isinstance(value, bool):
            words.append(f"--{option}" if value else f"--no-{option}")
        elif isinstance(value, list):
            words += [word for item in value for word in (f"--{option.removesuffix('s')}", item)]
        else:
            words += [f"--{option}", str(value)]
    return shlex.join(words)
