"""The command line: `article-flows run|inspect|ingest|summarize|status|verify|recipes|…`.

Prefect is imported only by commands that run a flow, so help, usage errors and dry runs are fast.
"""

from __future__ import annotations

import errno
import json
import os
import signal
import sys
from importlib.metadata import version
from typing import Annotated, Any

from cyclopts import App, CycloptsError, Parameter
from pydantic import ValidationError

from article_flows.flows.cli.exit_status import RUN_FAILED, SUCCESS, USAGE_ERROR, status_of_signal
from article_flows.flows.cli.options import (
    DryRun,
    Enriching,
    EnrichOptions,
    Json,
    Lake,
    Reading,
    ReadOptions,
    Sources,
    StoreOptions,
    Storing,
    Wait,
    default_in_help,
)
from article_flows.tasks.common.errors import InterruptedRun, StoppedRun, UsageError, UserError
from article_flows.tasks.common.signals import Interrupted, interrupted_by, interruptible
from article_flows.tasks.common.text_safety import printable
from article_flows.tasks.common.validation_messages import first_problem
from article_flows.tasks.orchestration.prefect_api_monitor import api_monitor
from article_flows.tasks.settings import IngestSettings

_DASH, _STDIN = "-", "/dev/stdin"
"""Standard input as users write it, and its placeholder while the arguments are parsed."""

app = App(
    name="article-flows",
    suppress_keyboard_interrupt=False,
    help="Enrich tables of articles with columns written by a language model.",
    version=lambda: version("article-flows"),
    default_parameter=Parameter(show_default=default_in_help),
    help_epilogue=(
        "Exit status: 0 success, 1 the run failed, 2 usage error, 3 some articles failed or a "
        "source could not be read, 4 the budget is spent, 130 interrupted (Ctrl-C), 143 terminated."
    ),
)


@app.command
def run(
    *source: Sources,
    options: Enriching = EnrichOptions(),  # noqa: B008
    storing: Storing = StoreOptions(),  # noqa: B008
    dry_run: DryRun = False,
    as_json: Json = False,
) -> int:
    """Load articles, then enrich every article that has no answer yet."""
    from article_flows.flows.cli import run_commands

    ingest_settings = _ingest_settings(source, storing, lake=options.lake, wait_s=options.wait_s)
    return run_commands.run(ingest_settings, options, dry_run=dry_run, as_json=as_json)


@app.command
def ingest(
    *source: Sources,
    lake: Lake = "lake",
    storing: Storing = StoreOptions(),  # noqa: B008
    wait_s: Wait = 3_600.0,
    as_json: Json = False,
) -> int:
    """Load new and changed articles into the lake."""
    from article_flows.flows.cli import run_commands

    settings = _ingest_settings(source, storing, lake=lake, wait_s=wait_s)
    return run_commands.ingest(settings, as_json=as_json)


@app.command
def inspect(
    *source: Sources,
    reading: Reading = ReadOptions(),  # noqa: B008
    as_json: Json = False,
) -> int:
    """Show how sources would be loaded. Read-only.

    Shows the format, the encoding, the column mapping and the reason for it, sample articles, and
    the number of rows and tokens.
    """
    from article_flows.flows.cli import inspect_command

    return inspect_command.inspect(_ingest_settings(source, reading), as_json=as_json)


@app.command
def summarize(
    *,
    options: Enriching = EnrichOptions(),  # noqa: B008
    dry_run: DryRun = False,
    as_json: Json = False,
) -> int:
    """Enrich every article in the lake that has no answer yet."""
    from article_flows.flows.cli import run_commands

    return run_commands.summarize(options, dry_run=dry_run, as_json=as_json)


@app.command
def status(*, lake: Lake = "lake", as_json: Json = False) -> int:
    """Show what a lake contains: articles, answers, failures and costs. Read-only."""
    from article_flows.flows.cli import lake_commands

    return lake_commands.status(lake, as_json=as_json)


@app.command
def table(recipe: str = "summary", *, lake: Lake = "lake") -> int:
    """Print the path or URI of a recipe's current table, for pandas, DuckDB or a dashboard.

    It is the table that the latest run of the recipe filled completely.

    Parameters
    ----------
    recipe
        Name of the recipe.
    """
    from article_flows.flows.cli import lake_commands

    return lake_commands.table(recipe, lake)


@app.command
def verify(*, lake: Lake = "lake", as_json: Json = False) -> int:
    """Check the integrity of a lake and list the problems. Read-only.

    Reads every part completely: checksums, schemas, content hashes, unique keys, references
    between tables, and files left by killed runs. Exit status: 0 no problems, 1 problems found.
    """
    from article_flows.flows.cli import lake_commands

    return lake_commands.verify(lake, as_json=as_json)


@app.command
def recipes(name: str = "") -> int:
    """List the built-in recipes, or print one as a template for your own.

    Parameters
    ----------
    name
        The recipe to print.
    """
    from article_flows.tasks.enriched.recipes import list_recipes, recipe_text

    if name:
        print(recipe_text(name), end="")
        return SUCCESS
    for recipe in list_recipes():
        print(f"{recipe.name:12} {', '.join(recipe.fields)}\n{'':12} {recipe.description}")
    return SUCCESS


@app.command
def endpoint(
    *arguments: Annotated[str, Parameter(allow_leading_hyphen=True, show=False)],
) -> int:
    """Serve the mock endpoint: OpenAI-compatible and extractive, not a language model."""
    from article_flows.tasks.mock_endpoint.__main__ import main as serve

    return serve(list(arguments))


@app.command
def bootstrap() -> int:
    """Create the work pool and the concurrency limit on the current Prefect server."""
    from article_flows.flows.cli import bootstrap as bootstrap_command

    return bootstrap_command.main()


def _ingest_settings(
    sources: tuple[str, ...], options: ReadOptions, **lake_settings: Any
) -> IngestSettings:
    if not sources:
        raise UsageError("no source given; name files, folders or globs, or demo")
    restored = [_DASH if source == _STDIN else source for source in sources]
    try:
        return IngestSettings(sources=restored, **options.model_dump(), **lake_settings)
    except ValidationError as error:
        raise _invalid_option(error) from error


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit with its status."""
    api_monitor.exit(run_app(sys.argv[1:] if arguments is None else arguments))


def run_app(arguments: list[str]) -> int:
    """Run a command, print its errors and return its exit status."""
    if arguments[:1] == ["endpoint"]:
        # It parses its own options, including --help.
        return endpoint(*arguments[1:])
    try:
        with interruptible():
            status = app(
                # Cyclopts parses a lone dash as an option without a name.
                [_STDIN if each == _DASH else each for each in arguments],
                exit_on_error=False,
                print_error=False,
                result_action="return_value",
            )
            sys.stdout.flush()
    except CycloptsError as error:
        return _print_error(_usage_error(error), USAGE_ERROR, arguments)
    except StoppedRun as stopped:
        return _print_error(stopped, _status_of_failure(stopped), arguments)
    except BrokenPipeError:
        return _handle_broken_pipe()
    except (Exception, Interrupted) as error:
        # Libraries wrap or lose the exception that a signal handler raised.
        if (received := interrupted_by()) is not None:
            interrupted = InterruptedRun.early(received)
            return _print_error(interrupted, _status_of_failure(interrupted), arguments)
        if isinstance(error, UserError):
            return _print_error(error, _status_of_failure(error), arguments)
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EIO):
            unwritable = UserError(f"cannot write to standard output ({error.strerror})")
            return _print_error(unwritable, RUN_FAILED, [])
        raise
    return status or SUCCESS


def _status_of_failure(error: UserError) -> int:
    """Return the exit status of a command that ended with an error and without a report."""
    match error:
        case UsageError():
            return USAGE_ERROR
        case InterruptedRun():
            return status_of_signal(error.signal)
        case _:
            return RUN_FAILED


def _handle_broken_pipe() -> int:
    """End quietly when the reader of our output has exited, for example `head`."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return status_of_signal(signal.SIGPIPE)


def _usage_error(error: CycloptsError) -> UsageError:
    if isinstance(error.__cause__, ValidationError):
        return _invalid_option(error.__cause__)
    return UsageError(f"{' '.join(str(error).split())} See article-flows --help")


def _invalid_option(error: ValidationError) -> UsageError:
    problem = first_problem(error)
    option = problem.name.replace("_", "-") or "options"
    return UsageError(f"--{option} {problem.value!r}: {problem.message}")


def _print_error(error: UserError, status: int, arguments: list[str]) -> int:
    """Print an error as one line on stderr and, with --json, as JSON on stdout."""
    if "--json" in arguments:
        print(json.dumps({"error": str(error)}, ensure_ascii=False))
    print(f"article-flows: {printable(str(error))}", file=sys.stderr)
    return status
