"""Support for tests of whole flows: small data sets, the command line, tables."""

import io
import os
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import orjson
import pandas as pd
import pytest
from prefect.settings import PREFECT_API_URL

from article_flows.flows.cli.app import main

ROOT = Path(__file__).parents[1]
DEMO = ROOT / "data" / "articles.jsonl"


def write_articles(path: Path, count: int, start: int = 0) -> Path:
    """Write distinct, short articles of real sentences."""
    rows = [
        {
            "id": f"a{number}",
            "title": f"Report {number}",
            "body": f"The council met on day {number}. It voted to build bridge {number}. "
            f"Residents of district {number} had asked for it for {number + 2} years.",
        }
        for number in range(start, start + count)
    ]
    path.write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))
    return path


def read_rows(folder: str | Path) -> pd.DataFrame:
    """Read a table of the lake as a user would; empty if the folder does not exist."""
    return pd.read_parquet(folder) if Path(folder).is_dir() else pd.DataFrame()


def cli_environment(**changes: str) -> dict[str, str]:
    """Return the environment of the command line: the session's Prefect server, and no key."""
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("OPENAI_")
    }
    environment["PREFECT_API_URL"] = str(PREFECT_API_URL.value())
    return {**environment, **changes}


def start_cli(*arguments: str | Path, **changes: str) -> "subprocess.Popen[str]":
    """Start `article-flows` in its own process."""
    command = [str(Path(sys.executable).with_name("article-flows")), *map(str, arguments)]
    return subprocess.Popen(
        command,
        env=cli_environment(**changes),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )


def run_cli(*arguments: str | Path, **changes: str) -> "subprocess.CompletedProcess[str]":
    """Run `article-flows` in its own process, to the end."""
    with start_cli(*arguments, **changes) as process:
        out, err = process.communicate(timeout=180)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def call_cli(*arguments: str | Path) -> "subprocess.CompletedProcess[str]":
    """Run `article-flows` in this process, for commands that end before Prefect is needed."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    status = ended.value.code
    assert isinstance(status, int)
    return subprocess.CompletedProcess(arguments, status, out.getvalue(), err.getvalue())


def only_json(completed: "subprocess.CompletedProcess[str]") -> dict[str, Any]:
    """Parse standard output, which must be one line of JSON."""
    lines = completed.stdout.splitlines()
    assert len(lines) == 1, completed.stdout + completed.stderr
    document: dict[str, Any] = orjson.loads(lines[0])
    return document
