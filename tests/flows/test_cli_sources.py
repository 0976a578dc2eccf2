import io
import json
import subprocess
import sys
from pathlib import Path

import pytest

from flows import cli_sources
from tasks.errors import UserError
from tasks.load_settings import IngestSettings
from tests.support import ROOT, write_articles


def inspect(*sources: Path | str, columns: list[str] | None = None, as_json: bool = False) -> int:
    settings = IngestSettings(sources=list(map(str, sources)), columns=columns or [])
    return cli_sources.inspect(settings, as_json=as_json)


def speeches(folder: Path, count: int) -> Path:
    folder.mkdir()
    for number in range(count):
        row = {"year": 1900 + number, "text": f"Speech {number} says this. " * 20}
        (folder / f"{number}.json").write_text(json.dumps(row))
    return folder


def test_what_a_person_sees(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_articles(tmp_path / "news articles.jsonl", 20)
    assert inspect(path, columns=["title="]) == 0
    shown = capsys.readouterr().out
    assert max(map(len, shown[: shown.index("load it with")].splitlines()[1:])) <= 80
    assert "\x1b" not in shown
    assert "body from body: named body" in shown
    assert "20 (20 of them articles)" in shown
    assert f"article-flows ingest '{path}' --column title=" in shown


def test_a_narrow_terminal_keeps_the_names(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "50")
    assert inspect(write_articles(tmp_path / "a.jsonl", 2)) == 0
    shown = capsys.readouterr().out
    assert " title " in shown
    assert "article_id" in shown


def test_files_of_one_kind_are_shown_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = speeches(tmp_path / "speeches", 40)
    assert inspect(folder) == 0
    shown = capsys.readouterr().out
    assert "and 39 more files like it (5 of 40 were looked at)" in shown
    assert "in all 40 files, about 40 rows" in shown
    assert "year is kept in extra: a year alone is no date" in shown


def test_files_of_other_kinds_are_told_apart(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = speeches(tmp_path / "speeches", 3)
    (folder / "z.json").write_text(json.dumps({"story": "Another story. " * 30}))
    assert inspect(folder, as_json=True) == 0
    found = json.loads(capsys.readouterr().out)
    assert [each["more_like_it"] for each in found["sources"]] == [2, 0]
    assert [each["columns"][-1]["name"] for each in found["sources"]] == ["text", "story"]
    assert found["command"] == f"article-flows ingest {folder}"


def test_the_command_has_the_options_that_were_given(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_articles(tmp_path / "a.jsonl", 2)
    settings = IngestSettings(
        sources=[str(path)],
        columns=["body={title} {body}"],
        min_chars=5,
        encoding="utf-8",
        allow_hosts=["a.example", "b.example"],
        detect_language=False,
        keep_boilerplate=True,
    )
    assert cli_sources.inspect(settings, as_json=True) == 0
    assert json.loads(capsys.readouterr().out)["command"] == (
        f"article-flows ingest {path} --column 'body={{title}} {{body}}' --encoding utf-8 "
        "--allow-host a.example --allow-host b.example --min-chars 5 --keep-boilerplate "
        "--no-detect-language"
    )


def test_what_cannot_be_loaded_is_told_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "a.csv"
    path.write_text("a,b\n1,2\n3,4\n5,6\n")
    assert inspect(path) == 1
    printed = capsys.readouterr()
    (line,) = printed.err.splitlines()
    assert line.startswith("article-flows: ")
    assert "--column body=NAME" in line
    assert "load it with" not in printed.out


def test_a_pattern_that_matches_no_source_is_told(tmp_path: Path) -> None:
    path = write_articles(tmp_path / "a.jsonl", 2)
    with pytest.raises(UserError, match=r"\*\.cvs: matches none of the sources"):
        inspect(path, columns=["*.cvs:body=text"])


def test_looking_does_not_wait_for_prefect() -> None:
    code = "import flows.cli_sources, sys; print('prefect' in sys.modules)"
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True
    )
    assert ran.stdout.strip() == "False"


def test_odd_names_do_not_break_the_output(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "[red]a[bold].jsonl"
    path.write_text(json.dumps({"[bold]": "x", "text": "[/] is no markup. " * 20}))
    with path.open("a") as file:
        file.write('\n{"text": "Lone \\ud800 half. Lone half.", "\\udc00": "\\ud800"}')
    out = io.StringIO()
    monkeypatch.setattr(sys, "stdout", out)
    assert inspect(path) == 0
    assert "[bold]" in out.getvalue()
    assert "[/] is no markup." in out.getvalue()
    assert inspect(path, as_json=True) == 0
