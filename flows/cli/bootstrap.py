"""Create the server objects that prefect.yaml cannot: the work pool and the concurrency limit."""

from __future__ import annotations

import httpx
from prefect import get_client
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.exceptions import ObjectNotFound
from prefect.settings import PREFECT_API_URL, PREFECT_HOME

from article_flows.tasks.common.errors import UserError
from article_flows.tasks.summarize.tasks import LLM_TAG

WORK_POOL = "article-flows"
CONCURRENT_BATCHES = 64
"""Concurrent batches over all flow runs of the server: twice the maximum of one flow run, so that
the limit does not slow down a single run. Can be changed in the UI."""


def main() -> int:
    """Create what is missing; leave an existing work pool or limit unchanged."""
    try:
        with get_client(sync_client=True) as client:
            _create_work_pool(client)
            _create_concurrency_limit(client)
            if PREFECT_API_URL.value():
                print(f"Prefect server: {client.api_url}")
            else:
                print(f"PREFECT_API_URL is not set: created in {PREFECT_HOME.value()}")
    except (httpx.HTTPError, RuntimeError) as error:
        raise UserError(
            f"cannot reach the Prefect server: {' '.join(str(error).split())}; "
            "start one with `prefect server start` and set PREFECT_API_URL"
        ) from error
    return 0


def _create_work_pool(client: SyncPrefectClient) -> None:
    try:
        client.read_work_pool(WORK_POOL)
        print(f"work pool {WORK_POOL}: already exists")
    except ObjectNotFound:
        client.create_work_pool(WorkPoolCreate(name=WORK_POOL, type="process"))
        print(
            f"work pool {WORK_POOL}: created; "
            f"start a worker with `prefect worker start --pool {WORK_POOL}`"
        )


def _create_concurrency_limit(client: SyncPrefectClient) -> None:
    try:
        client.read_concurrency_limit_by_tag(LLM_TAG)
        print(f"concurrency limit of tag {LLM_TAG}: already exists")
    except ObjectNotFound:
        client.create_concurrency_limit(tag=LLM_TAG, concurrency_limit=CONCURRENT_BATCHES)
        print(f"concurrency limit of tag {LLM_TAG}: created with {CONCURRENT_BATCHES} slots")
