"""The output and exit status of `article-flows status` and `article-flows verify`."""

import subprocess
import sys
from pathlib import Path

import pytest

from article_flows.tasks.lake.lake import Lake
from tests.object_store import ObjectStoreServer
from tests.support import ROOT, call_cli, only_json
from tests.tasks.lake.lake_support import ANSWERS, ARTICLES, copy_full_lake, copy_to_store
from tests.tasks.summarize.job_support import at, fill


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return copy_full_lake(tmp_path / "lake")


def test_status_prints_counts_of_each_table(lake: Lake) -> None:
    completed = call_cli("status", "--lake", str(lake))

    assert completed.returncode == 0
    assert completed.stderr == ""
    first, blank, title, *lines = completed.stdout.splitlines()
    assert first.startswith(f"{lake}: {ARTICLES} articles in ")
    assert (blank, title) == ("", "digest by extractive-v1 (newest table of this recipe)")
    values = {line[2:13].strip(): line[15:] for line in lines}
    assert values["answered"] == f"{ANSWERS}"
    assert values["failed"] == "1 retried only with --retry-failed (content_filter 1)"
    assert values["remaining"] == "1"
    assert values["cost so far"].startswith("$0.0")
    assert Path(values["table"]).is_dir()


def test_status_as_json(lake: Lake) -> None:
    document = only_json(call_cli("status", "--lake", str(lake), "--json"))

    assert (document["lake"], document["articles"], document["superseded"]) == (
        str(lake),
        ARTICLES,
        1,
    )
    (table,) = document["tables"]
    assert (table["answered"], table["failed"], table["left"]) == (ANSWERS, 1, 1)
    assert table["failed_for_good"] == {"content_filter": 1}
    assert table["newest"] is True
    assert table["held_by"] is None
    assert table["last_answered_at"].startswith("20")


def test_status_of_a_lake_without_answers(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")
    fill(lake, [{"id": "a", "body": "A text. It is short."}])
    completed = call_cli("status", "--lake", str(lake))

    assert completed.returncode == 0
    assert "1 article in 1 part" in completed.stdout
    assert "no enriched tables yet" in completed.stdout


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_status_names_an_unreadable_table(lake: Lake, options: list[str]) -> None:
    (about,) = at(lake, "summaries").rglob("_recipe.json")
    about.unlink()
    completed = call_cli("status", "--lake", str(lake), *options)

    assert completed.returncode == 1
    assert f"{ARTICLES} articles" in completed.stdout or options
    assert completed.stderr.startswith(f"article-flows: {about}: is missing")


def test_verify_of_an_intact_lake(lake: Lake) -> None:
    completed = call_cli("verify", "--lake", str(lake))

    assert completed.returncode == 0
    note, last = completed.stdout.splitlines()
    assert note.startswith("note: digest/")
    assert last.startswith(f"no problems: checked {ARTICLES} articles, {ANSWERS} answers, ")
    assert last.endswith(" parts")


def test_verify_of_a_damaged_lake(lake: Lake) -> None:
    part = at(lake, lake.parts("summaries")[0].name)
    part.write_bytes(b"")
    completed = call_cli("verify", "--lake", str(lake))

    assert completed.returncode == 1
    lines = completed.stdout.splitlines()
    assert lines[0] == (
        f"problem: {part}: is empty (0 bytes); "
        "put it back from a backup, or remove it and run again"
    )
    assert lines[-1].startswith("1 problem: ")
    completed = call_cli("verify", "--lake", str(lake), "--json")
    assert completed.returncode == 1
    document = only_json(completed)
    assert document["well"] is False
    assert [f"problem: {line}" for line in document["problems"]] == lines[:1]


@pytest.mark.parametrize("command", ["status", "verify"])
def test_a_missing_lake_is_reported_in_one_line(command: str, tmp_path: Path) -> None:
    completed = call_cli(command, "--lake", tmp_path / "none", "--json")

    assert completed.returncode == 1
    assert "does not exist" in only_json(completed)["error"]
    assert len(completed.stderr.splitlines()) == 1


def test_commands_without_a_flow_do_not_import_prefect(lake: Lake) -> None:
    """Importing Prefect takes longer than these commands."""
    code = (
        "import sys; from article_flows.flows.cli.app import run_app;"
        "lake = ['--lake', sys.argv[1]];"
        "done = [run_app(each) for each in (['recipes'], ['inspect', 'demo'],"
        " ['status', *lake], ['verify', *lake])];"
        "sys.exit(any(done) or any(name.split('.')[0] == 'prefect' for name in sys.modules))"
    )
    command = [sys.executable, "-c", code, str(lake)]
    assert subprocess.run(command, cwd=ROOT, check=False).returncode == 0


@pytest.mark.slow
def test_status_and_verify_work_on_an_object_store(
    lake: Lake, object_store: ObjectStoreServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ARTICLE_FLOWS_SPOOL", str(tmp_path / "spool"))
    there = copy_to_store(lake, object_store.uri("inspect"))

    status = only_json(call_cli("status", "--lake", str(there), "--json"))
    verified = only_json(call_cli("verify", "--lake", str(there), "--json"))
    assert status["tables"][0]["answered"] == ANSWERS
    assert verified["problems"] == []
    there.storage.write("articles/part-z.parquet", b"PAR1")
    assert "part-z.parquet" in call_cli("verify", "--lake", str(there)).stdout
