"""A lone dash reads standard input."""

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
    output = ran.stdout.decode()
    command = json.loads(output)["command"] if "--json" in dash else output
    assert "article-flows ingest -" in command
    assert "standard input" in output


@pytest.mark.parametrize("command", ["ingest", "run"])
def test_a_dash_can_be_one_of_several_sources(
    command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[list[str]] = []

    def load(settings: Any, *_: object, **__: object) -> int:
        given.append(settings.sources)
        return 0

    monkeypatch.setattr(run_commands, command, load)
    assert app.run_app([command, "-", "demo", "--lake", "x"]) == 0
    assert given == [["-", "demo"]]
