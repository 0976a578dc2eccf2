"""A lone dash is standard input, as everywhere."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from article_flows.flows.cli import app, run_commands

ROWS = b"title,body\n" + b'The bridge,"The council met, and voted for it. It was Monday."\n' * 3


@pytest.mark.parametrize("dash", [["-"], ["--", "-"], ["--column", "title=", "-", "--json"]])
def test_inspect_reads_standard_input(tmp_path: Path, dash: list[str]) -> None:
    script = "from article_flows.flows.cli.app import main; main()"
    ran = subprocess.run(
        [sys.executable, "-c", script, "inspect", *dash],
        input=ROWS,
        capture_output=True,
        cwd=tmp_path,
        check=False,
    )
    assert (ran.returncode, ran.stderr) == (0, b"")
    told = ran.stdout.decode()
    command = json.loads(told)["command"] if "--json" in dash else told
    assert "article-flows ingest -" in command
    assert "standard input" in told


@pytest.mark.parametrize("command", ["ingest", "run"])
def test_a_dash_among_the_sources_of_a_load(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[list[str]] = []

    def load(settings: Any, *_: object, **__: object) -> int:
        given.append(settings.sources)
        return 0

    monkeypatch.setattr(run_commands, command, load)
    assert app.run_app([command, "-", "demo", "--lake", "x"]) == 0
    assert given == [["-", "demo"]]
