"""Serve the pipeline from one process: every night, and whenever someone clicks Run in the UI.

Start a server with `prefect server start`, set PREFECT_API_URL, and run this file. Where a work
pool runs your flows, use `prefect deploy --all` with the project's `prefect.yaml` instead.
"""

from prefect.schedules import Cron

from article_flows import PipelineSettings, article_pipeline


def main() -> None:
    """Serve until Ctrl-C."""
    settings = PipelineSettings(
        sources=["demo"],
        lake="lake-nightly",
        recipe="digest",
        base_url="mock",
        budget_usd=5.0,
    )
    article_pipeline.serve(
        name="nightly-digest",
        schedule=Cron("0 3 * * *", timezone="UTC"),
        parameters={"settings": settings.model_dump()},
        tags=["article-flows"],
        # If a run takes longer than a day, the next one waits.
        global_limit=1,
    )


if __name__ == "__main__":
    main()
