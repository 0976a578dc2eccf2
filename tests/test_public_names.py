"""The public interface: the names that users import, and how they are called."""

import inspect
import subprocess
import sys

import article_flows

NAMES = """
    BudgetSpent Estimate EventLoopTaskRunner IngestReport IngestSettings InterruptedRun OutputField
    PipelineReport PipelineSettings Recipe StoppedRun SummarizeReport SummarizeSettings UsageError
    UserError article_pipeline current_table estimate_run ingest_articles load_recipe
    summarize_articles summarize_frame
""".split()


def test_the_public_names_are_unchanged() -> None:
    """Removing a name breaks user code: announce it in CHANGELOG, then change this list."""
    assert article_flows.__all__ == NAMES
    assert set(NAMES) <= set(dir(article_flows))
    for name in NAMES:
        assert getattr(article_flows, name).__doc__, name


def test_summarize_frame_is_called_as_documented() -> None:
    parameters = inspect.signature(article_flows.summarize_frame).parameters
    assert list(parameters) == [
        "articles", "recipe", "model", "base_url", "lake", "columns", "settings",
    ]  # fmt: skip
    assert list(inspect.signature(article_flows.current_table).parameters) == ["lake", "recipe"]


def test_importing_the_package_imports_nothing_heavy() -> None:
    script = (
        "import sys, article_flows; print(*{'prefect', 'pandas', 'pyarrow'} & set(sys.modules))"
    )
    loaded = subprocess.check_output([sys.executable, "-c", script], text=True)
    assert loaded.split() == []


def test_an_unknown_name_is_an_error() -> None:
    assert not hasattr(article_flows, "no_such_name")
