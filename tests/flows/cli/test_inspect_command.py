import io
import json
import subprocess
import sys
from pathlib import Path

import pytest

from article_flows.flows.cli import inspect_command
from article_flows.tasks.common.errors import UserError
from article_flows.tasks.settings import IngestSettings
from tests.support import ROOT, write_articles


def inspect(*sources: Path | str, columns: list[str] | None = None, as_json: bool = False) -> int:
    settings = IngestSettings(sources=list(map(str, sources)), columns=columns or [])
    return inspect_command.inspect(settings, as_json=as_json)


def speeches(folder: Path, count: int) -> Path:
    folder.mkdir()
    for number in range(count):
        row = {"year": 1900 + number, "text": f"Speech {number} says this. " * 20}
        (folder / f"{number}.json").write_text(json.dumps(row))
    return folder


def test_the_output_fits_a_terminal_and_ends_with_the_load_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_articles(tmp_path / "news articles.jsonl", 20)
    assert inspect(path, columns=["title="]) == 0
    shown = capsys.readouterr().out
    assert max(map(len, shown[: shown.index("Load with:")].splitlines()[1:])) <= 80
    assert "\x1b" not in shown
    assert "body from body: named body" in shown
    assert "20 (20 articles)" in shown
    assert f"article-flows ingest '{path}' --column title=" in shown


def test_a_narrow_terminal_keeps_column_names(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "50")
    assert inspect(write_articles(tmp_path / "a.jsonl", 2)) == 0
    shown = capsys.readouterr().out
    assert " title " in shown
    assert "article_id" in shown


def test_similar_files_are_shown_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = speeches(tmp_path / "speeches", 40)
    assert inspect(folder) == 0
    shown = capsys.readouterr().out
    assert "and 39 similar files (5 of 40 inspected)" in shown
    assert "total: 40 files, about 40 rows" in shown
    assert "year is kept in extra: a year alone is not a date" in shown


def test_different_files_are_shown_separately(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = speeches(tmp_path / "speeches", 3)
    (folder / "z.json").write_text(json.dumps({"story": "Another story. " * 30}))
    assert inspect(folder, as_json=True) == 0
    found = json.loads(capsys.readouterr().out)
    assert [each["more_like_it"] for each in found["sources"]] == [2, 0]
    assert [each["columns"][-1]["name"] for each in found["sources"]] == ["text", "story"]
    assert found["command"] == f"article-flows ingest {folder}"


def test_the_load_command_has_the_given_options(
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
    assert inspect_command.inspect(settings, as_json=True) == 0
    assert json.loads(capsys.readouterr().out)["command"] == (
        f"article-flows ingest {path} --column 'body={{title}} {{body}}' --encoding utf-8 "
        "--allow-host a.example --allow-host b.example --min-chars 5 --keep-boilerplate "
        "--no-detect-language"
    )


def test_a_source_that_cannot_be_loaded_is_reported_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "a.csv"
    path.write_text("a,b\n1,2\n3,4\n5,6\n")
    assert inspect(path) == 1
    printed = capsys.readouterr()
    (line,) = printed.err.splitlines()
    assert line.startswith("article-flows: ")
    assert "--column body=NAME" in line
    assert "Load with:" not in printed.out


def test_a_column_pattern_that_matches_no_source_is_an_error(tmp_path: Path) -> None:
    path = write_articles(tmp_path / "a.jsonl", 2)
    with pytest.raises(UserError, match=r"\*\.cvs: matches none of the sources"):
        inspect(path, columns=["*.cvs:body=text"])


def test_inspect_does_not_import_prefect() -> None:
    code = "import article_flows.flows.cli.inspect_command, sys; print('prefect' in sys.modules)"
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


def test_a_source_without_articles_is_a_problem(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "", "title": "A"}\n{"text": " ", "title": "B"}\n')
    assert inspect(path, columns=["body=text"]) == 1
    shown = capsys.readouterr()
    assert "Load with:" not in shown.out
    assert shown.err == (
        f"article-flows: {path}: none of the 2 inspected rows would be stored: empty body\n"
    )
    assert inspect(path, columns=["body=text"], as_json=True) == 1
    document = json.loads(capsys.readouterr().out)
    assert (
        document["command"],
        "none of the 2 inspected rows" in document["sources"][0]["problem"],
    ) == (None, True)


def test_a_source_without_articles_does_not_prevent_loading_the_others(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = write_articles(tmp_path / "a.jsonl", 3)
    (tmp_path / "b.jsonl").write_text('{"text": "", "title": "A"}\n')
    assert inspect(good, tmp_path / "b.jsonl", columns=["b.jsonl:body=text"]) == 0
    shown = capsys.readouterr()
    assert "Load with:" in shown.out
    assert shown.err.endswith("b.jsonl: its only row would not be stored: empty body\n")


def test_undecodable_text_suggests_the_encoding_option(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"id,text\n" + b"1,caf\xe9 au lait\n" * 9)
    settings = IngestSettings(sources=[str(path)], encoding="utf-8")
    assert inspect_command.inspect(settings, as_json=False) == 1
    shown = capsys.readouterr()
    assert "bytes that are not UTF-8; set the encoding with --encoding, for example" in shown.err
    assert "Load with:" not in shown.out


def test_private_hosts_are_suggested_as_an_option(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "a.urls"
    path.write_text("http://localhost:9/a\nhttp://localhost:9/b\n")
    assert inspect(path) == 1
    shown = capsys.readouterr()
    assert (
        f"Allow private hosts with:\n  article-flows inspect {path} --allow-host localhost"
        in shown.out
    )
    assert "Load with:" not in shown.out


def test_counts_of_a_sample_name_its_size(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "a.jsonl"
    rows = [{"text": f"It is number {n}." * (n % 2), "title": f"T {n}"} for n in range(2_500)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert inspect(path, columns=["body=text"]) == 0
    shown = capsys.readouterr().out
    assert "would be rejected (of 1,000 rows inspected)" in shown
    assert "flags (of 500 articles inspected)" in shown


def test_all_reject_reasons_are_shown_if_they_are_equally_frequent(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_articles(tmp_path / "a.jsonl", 3)
    with path.open("a") as file:
        file.write('{"id": "empty", "body": ""}\n{broken\n')
    assert inspect(path) == 0
    shown = capsys.readouterr().out
    assert "1  empty body" in shown
    assert "1  not JSON" in shown


def test_the_load_command_has_the_date_order(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_articles(tmp_path / "a.jsonl", 2)
    settings = IngestSettings(sources=[str(path)], date_order="day-first")
    assert inspect_command.inspect(settings, as_json=False) == 0
    assert f"ingest {path} --date-order day-first" in capsys.readouterr().out


def test_the_output_for_a_large_folder_is_short_but_complete_in_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(400):
        folder = tmp_path / f"f{number % 80}"
        folder.mkdir(exist_ok=True)
        row = {"text": f"Speech {number} says this. " * 20, "key": number}
        (folder / f"{number}.json").write_text(json.dumps(row))
        (folder / f"_{number}.json").write_text("{}")
        (folder / f"{number}.jsonl").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(50))
    for number in range(30):
        (tmp_path / f"{number}.csv").write_text(f"n,text{number}\n1,{'It is so. ' * 40}\n")
    assert inspect(tmp_path) == 1
    printed = capsys.readouterr()
    assert len(printed.out.splitlines()) < 400
    assert "and 399 similar files" in printed.out
    assert "skipped: and 390 more" in printed.out
    assert "total: 430 files" in printed.out
    assert len(printed.err.splitlines()) == 11
    assert printed.err.endswith("and 390 more problems; list all with --json\n")
    assert inspect(tmp_path, as_json=True) == 1
    document = json.loads(capsys.readouterr().out)
    assert (document["skipped_count"], len(document["skipped"]), len(document["not_read"])) == (
        400,
        400,
        400,
    )
    assert sum(each["more_like_it"] + 1 for each in document["sources"]) == 430
    names = {name for each in document["sources"] for name in each["files"]}
    assert len(names) == 430


def test_the_folder_of_a_document_is_its_category_unless_it_has_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("business", "sport"):
        for number in range(3):
            front = "---\ncategories: [own]\n---\n" if number == 2 else ""
            path = tmp_path / name / f"{number}.md"
            path.parent.mkdir(exist_ok=True)
            path.write_text(f"{front}# One\n\n{name} is what it is about. " * 9)
    assert inspect(tmp_path) == 0
    shown = capsys.readouterr().out
    assert "category from folder_category: named folder_category" in shown
    assert inspect(tmp_path, as_json=True) == 0
    found = json.loads(capsys.readouterr().out)["sources"]
    assert [each["samples"][0]["category"] for each in found] == ["business", "own"]
    assert inspect(tmp_path, columns=["category="], as_json=True) == 0
    found = json.loads(capsys.readouterr().out)["sources"]
    assert [each["samples"][0].get("category") for each in found] == [None, None]
