"""The command line: `article-flows run|inspect|ingest|summarize|status|verify|recipes|…`.

Prefect is imported only where a flow runs, so that help, wrong use and dry runs come at once.
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

from article_flows.flows.cli.exit_status import ANSWERED, RUN_FAILED, WRONG_USE, status_of
from article_flows.flows.cli.options import (
    AskOptions,
    DryRun,
    Json,
    Lake,
    LoadOptions,
    Options,
    Reading,
    Sources,
    StoreOptions,
    Storing,
    Wait,
)
from article_flows.tasks.common.errors import InterruptedRun, StoppedRun, UsageError, UserError
from article_flows.tasks.common.signals import Interrupted, interrupted_by, interruptible
from article_flows.tasks.common.text_safety import printable
from article_flows.tasks.orchestration.api_outage import absence
from article_flows.tasks.settings import IngestSettings

_DASH, _INPUT_WORD = "-", "/dev/stdin"
"""Standard input as people say it, and what stands for that while arguments are parsed."""

app = App(
    name="article-flows",
    suppress_keyboard_interrupt=False,
    help="Enrich tables of articles with columns that only a language model can write.",
    version=lambda: version("article-flows"),
    help_epilogue=(
        "Exit status: 0 all is done, 3 some articles failed or a source could not be read, 4 the "
        "budget is spent, 1 the run failed, "
        "2 wrong use, 130 interrupted (Ctrl-C), 143 terminated."
    ),
)


@app.command
def run(
    *source: Sources,
    options: Options = AskOptions(),  # noqa: B008
    storing: Storing = StoreOptions(),  # noqa: B008
    dry_run: DryRun = False,
    as_json: Json = False,
) -> int:
    """Load articles, then ask about every one that has no answer yet."""
    from article_flows.flows.cli import run_commands

    load = _load(source, storing, lake=options.lake, wait_s=options.wait_s)
    return run_commands.run(load, options, dry_run=dry_run, as_json=as_json)


@app.command
def ingest(
    *source: Sources,
    lake: Lake = "lake",
    storing: Storing = StoreOptions(),  # noqa: B008
    wait_s: Wait = 3_600.0,
    as_json: Json = False,
) -> int:
    """Load articles into the lake; what is there already is not stored again."""
    from article_flows.flows.cli import run_commands

    return run_commands.ingest(_load(source, storing, lake=lake, wait_s=wait_s), as_json=as_json)


@app.command
def inspect(
    *source: Sources,
    reading: Reading = LoadOptions(),  # noqa: B008
    as_json: Json = False,
) -> int:
    """Show what sources would be taken for, before anything is loaded; it only reads.

    Format, encoding, columns and why each was taken for what, sample rows, counts, tokens.
    """
    from article_flows.flows.cli import inspect_command

    return inspect_command.inspect(_load(source, reading), as_json=as_json)


@app.command
def summarize(
    *,
    options: Options = AskOptions(),  # noqa: B008
    dry_run: DryRun = False,
    as_json: Json = False,
) -> int:
    """Ask about every article of the lake that has no answer yet."""
    from article_flows.flows.cli import run_commands

    return run_commands.summarize(options, dry_run=dry_run, as_json=as_json)


@app.command
def status(*, lake: Lake = "lake", as_json: Json = False) -> int:
    """Say what a lake holds: articles, answers, what is left, what was paid; it only reads."""
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
    """Check everything that must hold of a lake, and say what does not; it only reads.

    Exit status: 0 all is well, 1 there are problems.
    """
    from article_flows.flows.cli import lake_commands

    return lake_commands.verify(lake, as_json=as_json)


@app.command
def recipes(name: str = "") -> int:
    """List the shipped recipes, or show one: a start for your own.

    Parameters
    ----------
    name
        The recipe to show.
    """
    from article_flows.tasks.enriched.recipes import list_recipes, recipe_text

    if name:
        print(recipe_text(name), end="")
        return ANSWERED
    for recipe in list_recipes():
        print(f"{recipe.name:12} {', '.join(recipe.fields)}\n{'':12} {recipe.description}")
    return ANSWERED


@app.command
def endpoint(
    *arguments: Annotated[str, Parameter(allow_leading_hyphen=True, show=False)],
) -> int:
    """Serve the mock endpoint: OpenAI-compatible, extractive, not a language model.

    See `article-flows endpoint --help` for its port and the faults that it can show on request.
    """
    from article_flows.tasks.mock_endpoint.__main__ import main as serve

    return serve(list(arguments))


@app.command
def bootstrap() -> int:
    """Create the work pool and the concurrency limits on the Prefect server that is set."""
    from article_flows.flows.cli import bootstrap as server

    return server.main()


def _load(sources: tuple[str, ...], options: LoadOptions, **where: Any) -> IngestSettings:
    if not sources:
        raise UsageError("no source given; name files, folders or globs, or the word demo")
    named = [_DASH if each == _INPUT_WORD else each for each in sources]
    return IngestSettings(sources=named, **options.model_dump(), **where)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit with its status."""
    absence.leave(_status(sys.argv[1:] if arguments is None else arguments))


def _status(arguments: list[str]) -> int:
    if arguments[:1] == ["endpoint"]:
        # Its options are its own, --help too.
        return endpoint(*arguments[1:])
    try:
        with interruptible():
            status = app(
                # The parser takes a dash for an option without a name.
                [_INPUT_WORD if each == _DASH else each for each in arguments],
                exit_on_error=False,
                print_error=False,
                result_action="return_value",
            )
            sys.stdout.flush()
    except CycloptsError as error:
        return _print_error(_wrong_use(error), WRONG_USE, arguments)
    except StoppedRun as stopped:
        return _print_error(stopped, _status_of_failure(stopped), arguments)
    except BrokenPipeError:
        return _handle_broken_pipe()
    except (Exception, Interrupted) as error:
        # Libraries wrap, or lose, what a signal's handler has raised.
        if (by := interrupted_by()) is not None:
            return _print_error(InterruptedRun.early(by), status_of(by), arguments)
        if isinstance(error, UserError):
            return _print_error(error, _status_of_failure(error), arguments)
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EIO):
            unwritten = UserError(f"standard output cannot be written ({error.strerror})")
            return _print_error(unwritten, RUN_FAILED, [])
        raise
    return status or ANSWERED


def _status_of_failure(error: UserError) -> int:
    """The exit status of a run that has nothing but this error to report."""
    match error:
        case UsageError():
            return WRONG_USE
        case InterruptedRun():
            return status_of(error.signal)
        case _:
            return RUN_FAILED


def _handle_broken_pipe() -> int:
    """End quietly when what reads our output has ended, as `head` does."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return status_of(signal.SIGPIPE)


def _wrong_use(error: CycloptsError) -> UsageError:
    """In one line what was wrong with the command line."""
    if not isinstance(invalid := error.__cause__, ValidationError):
        return UsageError(f"{' '.join(str(error).split())} See article-flows --help")
    problem = invalid.errors()[0]
    option = str(problem["loc"][0]).replace("_", "-") if problem["loc"] else "options"
    return UsageError(f"--{option} {problem['input']!r}: {problem['msg']}")


def _print_error(error: UserError, status: int, arguments: list[str]) -> int:
    """One line for people; with --json one for programs as well."""
    if "--json" in arguments:
        print(json.dumps({"error": str(error)}, ensure_ascii=False))
    print(f"article-flows: {printable(str(error))}", file=sys.stderr)
    return status
