"""Prefect's API for the slots of one concurrency limit: short calls that are never retried here."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import Any
from uuid import UUID

import httpx
from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.objects import ConcurrencyLeaseHolder

CALL_S = 3.0
"""Seconds that one call may take."""

LEASE_S = 60.0
"""Seconds after which the server takes back a slot whose lease is not renewed: its minimum, and
what Prefect's task engine asks for."""

_SLEPT_ON = (408, 429, 502, 503)
"""Where Prefect's client sleeps for seconds; SQLite is "busy" (503) for milliseconds."""

_NONE_FREE = (422, 423)
"""Taken by others; more than the limit has, which is always so when it is 0."""


class SlotsUnavailable(Exception):
    """The API is away, too slow, or refuses.

    Attributes:
        status: of the server's answer, if it has answered.
    """

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class SlotApi:
    """The slots of the limit on a tag, each with a lease of its own.

    Args:
        tag: the limit's, as `prefect concurrency-limit create` takes it.
        holder: who has the slots: the flow run.
    """

    def __init__(self, tag: str, holder: UUID | None) -> None:
        # The name that Prefect's task engine asks for.
        self._name = f"tag:{tag}"
        self._holder = ConcurrencyLeaseHolder(type="flow_run", id=holder) if holder else None
        self._client: PrefectClient | None = None
        self._open = AsyncExitStack()

    async def take(self) -> tuple[UUID | None, bool]:
        """Take a slot: its lease if one was free, and whether there is a limit."""
        try:
            response = await self._call(
                "increment_concurrency_slots_with_lease",
                names=[self._name],
                slots=1,
                mode="concurrency",
                lease_duration=LEASE_S,
                holder=self._holder,
            )
        except SlotsUnavailable as error:
            if error.status in _NONE_FREE:
                return None, True
            raise
        granted = response.json()
        return (UUID(granted["lease_id"]), True) if granted["limits"] else (None, False)

    async def renew(self, lease: UUID) -> None:
        """Keep a lease for another `LEASE_S` seconds."""
        await self._call("renew_concurrency_lease", lease_id=lease, lease_duration=LEASE_S)

    async def give_back(self, lease: UUID) -> None:
        """Give a slot back; one whose lease the server no longer knows is no error."""
        await self._call("release_concurrency_slots_with_lease", lease_id=lease)

    async def close(self) -> None:
        """Give the connections back; the next call opens new ones."""
        self._client = None
        await self._open.aclose()

    async def _call(self, method: str, **arguments: Any) -> Any:
        """Call a method of Prefect's client.

        Raises:
            SlotsUnavailable: whatever may go wrong.
        """
        try:
            async with asyncio.timeout(CALL_S):
                client = self._client or await self._connect()
                return await getattr(client, method)(**arguments)
        except httpx.HTTPStatusError as error:
            raise SlotsUnavailable(str(error), error.response.status_code) from error
        except TimeoutError as error:
            raise SlotsUnavailable(f"no answer in {CALL_S:g} s") from error
        except (httpx.HTTPError, OSError, RuntimeError) as error:
            raise SlotsUnavailable(str(error) or type(error).__name__) from error

    async def _connect(self) -> PrefectClient:
        settings = {"event_hooks": {"response": [_refuse_to_sleep]}}
        self._client = await self._open.enter_async_context(get_client(httpx_settings=settings))
        return self._client


async def _refuse_to_sleep(response: httpx.Response) -> None:
    """Raise what Prefect's client would sleep on and send again, seconds later."""
    if response.status_code in _SLEPT_ON:
        raise SlotsUnavailable(
            f"{response.status_code} {response.reason_phrase}", response.status_code
        )
