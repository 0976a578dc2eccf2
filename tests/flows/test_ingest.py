import os
from pathlib import Path
from typing import Any

import pytest

from article_flows.flows.ingest import ingest_articles
from article_flows.tasks.common.errors import UserError
from article_flows.tasks.settings import IngestSettings
from tests.support import DEMO, read_rows, write_articles

pytestmark = pytest.mark.usefixtures("prefect_server")


def settings(lake: Path, *sources: Path, **others: Any) -> IngestSettings:
    return IngestSettings(lake=str(lake), sources=[str(source) for source in sources], **others)


def test_demo_articles_are_loaded_into_the_articles_table(tmp_path: Path) -> None:
    report = ingest_articles(settings(tmp_path / "lake", DEMO))

    table = read_rows(tmp_path / "lake" / "articles")
    assert (report.rows_in, report.stored, report.rejected) == (100, 100, 0)
    assert table["article_id"].nunique() == 100
    assert table["language"].value_counts().to_dict() == {"en": 81, "zh": 19}
    assert table["published_at"].notna().all()
    assert table["extra"].str.contains("licence").all()
    assert table["reference_summary"].notna().sum() == 61


def test_a_second_load_adds_only_what_is_new(tmp_path: Path) -> None:
    source = write_articles(tmp_path / "articles.jsonl", 10)
    ingest_articles(settings(tmp_path / "lake", source))
    write_articles(source, 15)

    report = ingest_articles(settings(tmp_path / "lake", source))

    assert (report.rows_in, report.already_there, report.stored) == (15, 10, 5)
    assert len(read_rows(tmp_path / "lake" / "articles")) == 15


def test_a_broken_file_does_not_stop_the_others(tmp_path: Path) -> None:
    good = write_articles(tmp_path / "good.jsonl", 5)
    broken = tmp_path / "broken.parquet"
    broken.write_bytes(b"PAR1 this is no Parquet PAR1")

    report = ingest_articles(settings(tmp_path / "lake", good, broken))

    assert report.stored == 5
    assert [source.source for source in report.broken] == [str(broken)]
    assert "broken.parquet" in str(report.broken[0].error)


def test_a_broken_line_is_rejected_with_its_reason(tmp_path: Path) -> None:
    source = write_articles(tmp_path / "articles.jsonl", 3)
    source.write_bytes(source.read_bytes() + b'{"id": "a4", "body"\n')

    report = ingest_articles(settings(tmp_path / "lake", source))

    rejects = read_rows(report.rejects)
    assert (report.rows_in, report.stored, report.rejected) == (4, 3, 1)
    assert rejects["row"].tolist() == [4]
    assert rejects["source"].tolist() == [str(source)]


def test_a_load_without_readable_sources_fails_in_one_line(tmp_path: Path) -> None:
    broken = tmp_path / "broken.parquet"
    broken.write_bytes(b"PAR1 this is no Parquet PAR1")

    state = ingest_articles(settings(tmp_path / "lake", broken), return_state=True)

    assert state.is_failed()
    assert "broken.parquet" in str(state.message)
    assert "\n" not in str(state.message)


def test_no_body_column_names_the_columns_and_the_remedy(tmp_path: Path) -> None:
    source = tmp_path / "odd.csv"
    source.write_text("nr,words\n1,This is the text of it.\n")

    with pytest.raises(UserError, match=r"words.*--column body="):
        ingest_articles(settings(tmp_path / "lake", source))

    report = ingest_articles(settings(tmp_path / "lake", source, columns=["body=words"]))
    assert report.stored == 1


def test_an_unreadable_data_file_in_a_folder_is_reported(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    write_articles(folder / "good.jsonl", 2)
    (folder / "bad.parquet").write_bytes(b"no Parquet at all")
    (folder / "LICENSE").write_text("CC BY")

    report = ingest_articles(settings(tmp_path / "lake", folder))

    assert report.stored == 2
    assert [Path(source.source).name for source in report.broken] == ["bad.parquet"]
    assert [Path(skipped.name).name for skipped in report.skipped] == ["LICENSE"]


def test_a_file_name_that_is_not_valid_utf8_is_loaded(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    write_articles(folder / os.fsdecode(b"odd\xff.jsonl"), 2)

    report = ingest_articles(settings(tmp_path / "lake", folder))

    assert report.stored == 2
    assert "odd" in read_rows(report.articles)["source"][0]
