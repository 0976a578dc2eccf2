"""A Prefect flow of your own that calls article-flows as one of its steps."""

import pandas as pd
from prefect import flow, task

from article_flows import PipelineReport, PipelineSettings, article_pipeline, current_table

LAKE = "lake-own-flow"


@task
def export_articles() -> pd.DataFrame:
    """Return the articles of the day; here they are made up."""
    return pd.DataFrame(
        {
            "id": [f"a{number}" for number in range(5)],
            "title": [f"Report {number}" for number in range(5)],
            "body": [
                f"The council met on day {number}. It voted to build bridge {number}."
                for number in range(5)
            ],
        }
    )


@task
def publish(report: PipelineReport) -> int:
    """Publish the enriched rows; here they are only counted."""
    if report.summarize.failures_total:
        raise RuntimeError(f"{report.summarize.failures_total} articles have no answer")
    return len(pd.read_parquet(current_table(LAKE, "digest")))


@flow(log_prints=True)
def daily_digest() -> int:
    """Export, enrich, publish. A DataFrame is a source like files and URLs."""
    settings = PipelineSettings(
        sources=[export_articles()],
        lake=LAKE,
        recipe="digest",
        base_url="mock",
        budget_usd=5.0,
    )
    rows = publish(article_pipeline(settings))
    print(f"published {rows} rows")
    return rows


if __name__ == "__main__":
    daily_digest()
