"""The command line as a process: its output and its exit status."""

import sqlite3
from contextlib import closing
from pathlib import Path

import orjson
import pytest

from article_flows.tasks.mock_endpoint.faults import Faults
from benchmarks.servers.endpoints import MockEndpoint
from tests.prefect_database import with_database
from tests.support import call_cli, only_json, read_rows, run_cli, write_articles

KEYS = (
    "rows_in articles answered reused failed calls attempts prompt_tokens completion_tokens "
    "cost_usd seconds articles_per_second table failures"
).split()


@pytest.fixture
def lake(tmp_path: Path) -> str:
    return str(tmp_path / "lake")


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["run"], 2, "no source given"),
        (["run", "demo", "--max-in-flight", "0"], 2, "--max-in-flight '0'"),
        (["run", "demo", "--max-in-flight", "0"], 2, "must be greater than or equal to 1"),
        (["ingest", "demo", "--wait-s", "-1"], 2, "--wait-s -1.0: must be"),
        (["ingest", "demo", "--lake", ""], 2, "--lake ''"),
        (["run", "demo", "--no-such-option"], 2, "--no-such-option"),
        (["frobnicate"], 2, "frobnicate"),
        (["run", "demo", "--recipe", "nope"], 2, "digest, headline_zh, summary"),
        (["run", "demo", "--base-url", "htp://x", "--model", "m"], 2, "not a URL"),
        (["run", "demo", "--base-url", "http://127.0.0.1:9/v1"], 2, "--model"),
        (["run", "demo", "--column", "boddy=text"], 2, "boddy"),
        (["run", "no-such-file.csv"], 1, "no-such-file.csv does not exist"),
        (["summarize", "--lake", "no-such-lake"], 1, "no articles"),
        (["run", "demo", "--lake", "ftp://bucket/lake"], 1, "s3://, gs:// or abfs://"),
        (["run", "demo", "--lake", "s3://id:key@bucket/lake"], 1, "the address contains a key"),
    ],
)
def test_a_usage_error_is_one_clear_line(arguments: list[str], status: int, words: str) -> None:
    completed = call_cli(*arguments)

    assert completed.returncode == status, completed.stderr
    assert completed.stdout == ""
    assert len(completed.stderr.splitlines()) == 1
    assert words in completed.stderr


def test_an_empty_folder_is_one_clear_line(tmp_path: Path) -> None:
    completed = call_cli("run", tmp_path, "--json")

    assert completed.returncode == 1
    assert "empty folder" in only_json(completed)["error"]
    assert "empty folder" in completed.stderr
    assert len(completed.stderr.splitlines()) == 1


@pytest.mark.slow
def test_a_database_of_a_newer_prefect_is_one_clear_line(
    tmp_path: Path, lake: str, database: Path
) -> None:
    home = with_database(tmp_path / "prefect", database)
    with closing(sqlite3.connect(home / "prefect.db")) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = 'ffffffffffff'")
    changes = {"PREFECT_API_URL": "", "PREFECT_HOME": str(home)}

    completed = run_cli("run", "demo", "--lake", lake, "--base-url", "mock", **changes)

    assert completed.returncode == 1, completed.stderr
    (line,) = completed.stderr.splitlines()
    assert f"{home / 'prefect.db'} belongs to a newer version of Prefect" in line
    assert "upgrade" in line
    assert "PREFECT_HOME" in line


@pytest.mark.slow
def test_a_second_run_of_the_demo_makes_no_calls(prefect_server: None, lake: str) -> None:
    first = run_cli("run", "demo", "--lake", lake, "--recipe", "digest", "--json")
    second = run_cli("run", "demo", "--lake", lake, "--recipe", "digest", "--json")

    document = only_json(first)
    assert first.returncode == second.returncode == 0
    assert set(KEYS) <= set(document)
    assert (document["rows_in"], document["articles"], document["answered"]) == (100, 100, 100)
    assert document["cost_usd"] == 0
    assert len(read_rows(document["table"])) == 100
    again = only_json(second)
    assert (again["answered"], again["reused"], again["calls"]) == (0, 100, 0)


@pytest.mark.slow
def test_a_run_prints_its_report(prefect_server: None, lake: str) -> None:
    completed = run_cli("run", "demo", "--lake", lake)

    assert completed.returncode == 0
    assert "not a language model" in completed.stdout
    assert "answered in this run" in completed.stdout
    assert "summary" in completed.stdout
    assert completed.stderr == ""


@pytest.mark.slow
def test_an_unreachable_endpoint_is_one_clear_line(
    prefect_server: None, lake: str, tmp_path: Path
) -> None:
    source = write_articles(tmp_path / "articles.jsonl", 3)
    completed = run_cli(
        "run", source, "--lake", lake, "--base-url", "http://127.0.0.1:9/v1", "--model", "m"
    )

    assert completed.returncode == 1
    assert completed.stdout == ""
    assert len(completed.stderr.splitlines()) == 1
    assert "cannot connect to 127.0.0.1:9 (Connection refused)" in completed.stderr


@pytest.mark.slow
def test_bad_key_is_one_clear_line_and_the_key_is_nowhere(
    prefect_server: None, lake: str, tmp_path: Path
) -> None:
    source = write_articles(tmp_path / "articles.jsonl", 3)
    key = "sk-a-key-that-nobody-may-see"
    with MockEndpoint(api_key="right") as endpoint:
        completed = run_cli(
            *("run", source, "--lake", lake, "--base-url", endpoint.base_url, "--model", "m"),
            OPENAI_API_KEY=key,
            PREFECT_LOGGING_LEVEL="DEBUG",
        )

    assert completed.returncode == 1
    assert "HTTP 401" in completed.stderr
    assert "Traceback" not in completed.stderr
    written = [path.read_bytes() for path in Path(lake).rglob("*") if path.is_file()]
    assert not any(key.encode() in content for content in written)
    assert key not in completed.stdout + completed.stderr


@pytest.mark.slow
def test_endpoint_and_key_are_read_from_the_environment(
    prefect_server: None, lake: str, tmp_path: Path
) -> None:
    source = write_articles(tmp_path / "articles.jsonl", 3)
    with MockEndpoint(api_key="right") as endpoint:
        completed = run_cli(
            *("run", source, "--lake", lake, "--model", "m", "--json"),
            OPENAI_API_KEY="right",
            OPENAI_BASE_URL=endpoint.base_url,
        )
        assert endpoint.stats()["answered"] == 3
    assert completed.returncode == 0


@pytest.mark.slow
def test_failed_articles_are_status_3(prefect_server: None, lake: str, tmp_path: Path) -> None:
    source = write_articles(tmp_path / "articles.jsonl", 4)
    source.write_text(source.read_text().replace("bridge 2", "POISON"))
    with MockEndpoint(Faults(poison="POISON")) as endpoint:
        completed = run_cli(
            *("run", source, "--lake", lake, "--base-url", endpoint.base_url, "--model", "m"),
            "--json",
        )
    document = only_json(completed)
    assert completed.returncode == 3
    assert (document["answered"], document["failed"]) == (3, 1)
    assert read_rows(document["failures"])["article_id"].tolist() == ["a2"]


@pytest.mark.slow
def test_a_spent_budget_is_status_4(prefect_server: None, lake: str, tmp_path: Path) -> None:
    source = write_articles(tmp_path / "articles.jsonl", 60)
    with MockEndpoint() as endpoint:
        asked = ("run", source, "--lake", lake, "--base-url", endpoint.base_url, "--model", "m")
        completed = run_cli(
            *asked, "--price-in", "1", "--price-out", "2", "--budget-usd", "0.005", "--json"
        )
        billed = endpoint.stats()
        unknown = run_cli(*asked, "--budget-usd", "1")
    document = only_json(completed)
    assert completed.returncode == 4
    assert 0 < document["answered"] < 60
    assert document["answered"] + document["left"] == 60
    assert document["cost_usd"] <= 0.005
    assert billed["billed_prompt_tokens"] + 2 * billed["billed_completion_tokens"] <= 5_000
    assert "budget of $0.0050 is spent" in completed.stderr
    assert unknown.returncode == 2
    assert "--price-in" in unknown.stderr


def test_dry_run_makes_no_call_and_stores_nothing(lake: str, tmp_path: Path) -> None:
    source = write_articles(tmp_path / "articles.jsonl", 20)
    with MockEndpoint() as endpoint:
        completed = call_cli(
            *("run", source, "--lake", lake, "--base-url", endpoint.base_url, "--json"),
            *("--model", "gpt-4o-mini", "--dry-run", "--price-in", "1", "--price-out", "2"),
        )
        assert endpoint.stats()["calls"] == 0
    document = only_json(completed)
    assert completed.returncode == 0
    assert document["calls"] == 20
    cost = document["prompt_tokens"] / 1e6 + 2 * document["completion_tokens"] / 1e6
    assert document["cost_usd"] == pytest.approx(cost)
    assert not Path(lake).exists()


def test_recipes_are_listed_and_shown() -> None:
    assert "headline_zh" in call_cli("recipes").stdout
    assert "max_output_tokens" in call_cli("recipes", "digest").stdout


def test_the_endpoint_command_has_its_own_help() -> None:
    completed = call_cli("endpoint", "--help")
    assert completed.returncode == 0
    assert "--fault" in completed.stdout


@pytest.mark.slow
def test_an_ingest_prints_its_counts_as_json(
    prefect_server: None, lake: str, tmp_path: Path
) -> None:
    source = write_articles(tmp_path / "articles.jsonl", 5)
    source.write_bytes(source.read_bytes() + b"not JSON\n")
    document = orjson.loads(run_cli("ingest", source, "--lake", lake, "--json").stdout)
    assert (document["rows_in"], document["stored"], document["rejected"]) == (6, 5, 1)
