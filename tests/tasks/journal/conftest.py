"""The object store of the journal tests."""

from pathlib import Path

import pytest

from article_flows.tasks.journal.spool import SPOOL_VARIABLE
from tests.tasks.journal.journal_support import FolderAsObjects


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FolderAsObjects:
    monkeypatch.setenv(SPOOL_VARIABLE, str(tmp_path / "spool"))
    # Short intervals, so that tests need not wait.
    monkeypatch.setattr("article_flows.tasks.journal.object_journal.SYNC_EVERY_S", 0.02)
    monkeypatch.setattr("article_flows.tasks.journal.object_journal._RETRY_S", 0.02)
    return FolderAsObjects(tmp_path / "lake")
