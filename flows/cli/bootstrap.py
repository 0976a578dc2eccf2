"""Create on a Prefect server what prefect.yaml cannot: the work pool and the concurrency limits."""

from __future__ import annotations

import httpx
from prefect import get_client
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.exceptions import ObjectNotFound

from article_flows.tasks.common.errors import UserError
from article_flows.tasks.summarize.tasks import LLM_TAG

WORK_POOL = "article-flows"
BATCHES_AT_ONCE = 64
"""Batches under way over all flow runs of the server: twice what one flow run has, so that the
limit never slows one run alone. Lower it in the UI to slow all of them down."""


def main() -> int:
    """Create what is not there; what is there is left as it is, whoever changed it."""
    try:
        with get_client(sync_client=True) as client:
            _create_pool(client)
            _create_limit(client)
            print(f"Prefect server: {client.api_url}")
    except (httpx.HTTPError, RuntimeError) as error:
        raise UserError(
            f"cannot reach the Prefect server: {' '.join(str(error).split())}; "
            "start one with `prefect server start` and set PREFECT_API_URL"
        ) from error
    return 0


def _create_pool(client: SyncPrefectClient) -> None:
    try:
        client.read_work_pool(WORK_POOL)
        print(f"work pool {WORK_POOL}: is there")
    except ObjectNotFound:
        client.create_work_pool(WorkPoolCreate(name=WORK_POOL, type="process"))
        print(
            f"work pool {WORK_POOL}: created; start a worker: prefect worker start -p {WORK_POOL}"
        )


def _create_limit(client: SyncPrefectClient) -> None:
    try:
        client.read_concurrency_limit_by_tag(LLM_TAG)
        print(f"concurrency limit of tag {LLM_TAG}: is there")
    except ObjectNotFound:
        client.create_concurrency_limit(tag=LLM_TAG, concurrency_limit=BATCHES_AT_ONCE)
        print(f"concurrency limit of tag {LLM_TAG}: created, {BATCHES_AT_ONCE} batches at once")
