from pathlib import Path

import pytest

from article_flows.tasks.common.errors import UserError
from article_flows.tasks.reading.sources.find import find_sources


def test_a_missing_source_does_not_stop_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.jsonl").write_text('{"body": "Some text"}\n')
    Path("empty").mkdir()
    Path("docs").mkdir()
    Path("docs/README.md").write_text("About it.")
    absent = ["nope.csv", "empty", "docs", "*.tsv", "ftp://user:hidden@host/a"]
    sources = find_sources([*absent[:2], "a.jsonl", *absent[2:]])
    assert [each.name for each in sources] == ["a.jsonl"]
    assert [each.name for each in sources.broken] == [*absent[:4], "ftp://host/a"]
    reasons = " ".join(each.reason for each in sources.broken)
    assert "nope.csv does not exist" in reasons
    assert "empty is an empty folder" in reasons
    assert "docs contains no file that can be read" in reasons
    assert "hidden" not in reasons
    with pytest.raises(UserError, match=r"^nope.csv does not exist"):
        find_sources(absent)
