"""A terminal run goes on when Prefect's API goes away, and does not wait long for it at the end.

Prefect's engine cannot end a flow run, or begin the next one of a pipeline, without its API: each
call is tried for a minute and then raises, whatever the flow has done. Here a call that has failed
for a quarter of that counts as an absence. While it lasts, calls are tried once, and those that the
engine needs are answered in the server's stead: states are accepted, runs created. The run is
then not, or not fully, in Prefect's UI; what it has answered is in the lake all the same.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any
from uuid import uuid4

import httpx
import orjson
from prefect.client.base import PrefectHttpxAsyncClient, PrefectHttpxSyncClient
from prefect.context import SettingsContext, get_settings_context
from prefect.events.worker import EventsWorker, emit_events_to_cloud
from prefect.settings import PREFECT_CLIENT_MAX_RETRIES, Settings

from flows.prefect_events import PatientEventsClient

RETRIES = 3
"""Times that a call is tried again, after 2, 4 and 8 s, before the API counts as away."""

LATE_S, SOON_S = 10.0, 3.0
"""Seconds that a try may take, while the API is there and while it is away."""

_ID = r"(?P<id>[0-9a-f-]{36})"
_CREATE = re.compile(r".*/(flows|flow_runs|task_runs)/")
_READ = re.compile(rf".*/(flow_runs|task_runs)/{_ID}")
_SET_STATE = re.compile(rf".*/(flow_runs|task_runs)/{_ID}/set_state")
_FIND = re.compile(r".*/flow_runs/filter")
_LOGS = re.compile(r".*/logs/")


class Absence:
    """What this process knows of Prefect's API, and the answers it gives itself meanwhile.

    Attributes:
        away: whether the last call failed.
        missed: whether the server has missed something that it will not be told again.
    """

    def __init__(self) -> None:
        self.away = False
        self.missed = False
        self._reached = False
        self._lock = threading.Lock()
        self._known: dict[str, dict[str, Any]] = {}
        self._own: set[str] = set()

    def answers_itself(self, request: httpx.Request) -> bool:
        """Whether the call is about what the server does not know, as it was away then."""
        found = _READ.match(request.url.path)
        return found is not None and found["id"] in self._own

    def heard(self, request: httpx.Request, response: httpx.Response) -> None:
        """Take note of an answer of the server."""
        self.away, self._reached = False, True
        created = _CREATE.fullmatch(request.url.path)
        if created and request.method == "POST" and response.is_success:
            with self._lock:
                made = response.json()
                self._known[made["id"]] = made

    def stand_in(self, request: httpx.Request) -> httpx.Response | None:
        """The answer that the engine needs to go on; None for a call that it can do without."""
        if not self._reached:
            return None
        self.away = True
        with self._lock:
            return self._answer(request)

    def _answer(self, request: httpx.Request) -> httpx.Response | None:
        path, is_post = request.url.path, request.method == "POST"
        if is_post and _LOGS.fullmatch(path):
            return httpx.Response(201, request=request)
        if is_post and _CREATE.fullmatch(path):
            return self._told(request, self._create(orjson.loads(request.content)))
        if is_post and _FIND.fullmatch(path):
            return self._told(request, [])
        if is_post and (found := _SET_STATE.fullmatch(path)):
            return self._told(request, self._accept(found["id"], orjson.loads(request.content)))
        found = _READ.fullmatch(path)
        if found and request.method == "GET" and found["id"] in self._known:
            return self._told(request, self._known[found["id"]])
        if found and request.method == "PATCH":
            return self._told(request, None, 204)
        return None

    def _told(self, request: httpx.Request, body: Any, status: int = 200) -> httpx.Response:
        self.missed = True
        content = b"" if body is None else orjson.dumps(body)
        headers = {"content-type": "application/json"}
        return httpx.Response(status, content=content, headers=headers, request=request)

    def _create(self, body: dict[str, Any]) -> dict[str, Any]:
        run_id = body.get("id") or str(uuid4())
        made = {**body, "id": run_id, "name": body.get("name") or "away"}
        if body.get("state"):
            made["state"] = _state(body["state"])
        self._own.add(run_id)
        self._known[run_id] = made
        return made

    def _accept(self, run_id: str, body: dict[str, Any]) -> dict[str, Any]:
        state = _state(body["state"])
        if run_id in self._known:
            self._known[run_id] = {**self._known[run_id], "state": state}
        return {"state": state, "status": "ACCEPT", "details": {"type": "accept_details"}}


def _state(proposed: dict[str, Any]) -> dict[str, Any]:
    """A proposed state as the server would give it back."""
    given = {"id": str(uuid4()), "timestamp": datetime.now(UTC).isoformat(), "data": None}
    return {**proposed, **given}


absence = Absence()
"""Of the API that this process talks to."""


def bound_waits() -> None:
    """Have Prefect's clients in this process behave as this module says; call it once."""
    sync_send, async_send = PrefectHttpxSyncClient.send, PrefectHttpxAsyncClient.send

    def send(self: Any, request: httpx.Request, *args: Any, **kwargs: Any) -> httpx.Response:
        with _turn(request) as turn:
            turn.response = turn.response or sync_send(self, request, *args, **kwargs)
        return turn.given()

    async def asend(self: Any, request: httpx.Request, *args: Any, **kwargs: Any) -> httpx.Response:
        with _turn(request) as turn:
            turn.response = turn.response or await async_send(self, request, *args, **kwargs)
        return turn.given()

    PrefectHttpxSyncClient.send = send  # type: ignore[method-assign]  # no hook for it
    PrefectHttpxAsyncClient.send = asend  # type: ignore[method-assign]  # no hook for it
    if not emit_events_to_cloud():
        EventsWorker.set_client_override(PatientEventsClient)


class _Turn:
    """One call: what was answered, by the server or in its stead."""

    response: httpx.Response | None = None

    def given(self) -> httpx.Response:
        assert self.response is not None
        return self.response


@contextmanager
def _turn(request: httpx.Request) -> Iterator[_Turn]:
    turn = _Turn()
    if absence.answers_itself(request):
        turn.response = absence.stand_in(request)
        yield turn
        return
    try:
        with _bounded(request):
            yield turn
    except (httpx.TransportError, httpx.HTTPStatusError) as error:
        if isinstance(error, httpx.HTTPStatusError) and not error.response.is_server_error:
            raise
        turn.response = absence.stand_in(request)
        if turn.response is None:
            raise
    else:
        absence.heard(request, turn.given())


@contextmanager
def _bounded(request: httpx.Request) -> Iterator[None]:
    """A few tries of bounded length; one short one where the last call failed."""
    retries = 0 if absence.away else min(RETRIES, PREFECT_CLIENT_MAX_RETRIES.value())
    request.extensions["timeout"] = httpx.Timeout(SOON_S if absence.away else LATE_S).as_dict()
    # Not in the environment: Prefect has read it when it was imported.
    context = get_settings_context()
    settings = _with_retries(_Identity(context.settings), retries)
    with SettingsContext(profile=context.profile, settings=settings):
        yield


class _Identity:
    """Settings as a key of a cache: the same ones are equal, and no others."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Identity) and other.settings is self.settings

    def __hash__(self) -> int:
        return id(self.settings)


@lru_cache(maxsize=16)
def _with_retries(current: _Identity, retries: int) -> Settings:
    """A copy of the settings, made once: it takes 20 ms, and Prefect makes many calls."""
    return current.settings.copy_with_update(updates={PREFECT_CLIENT_MAX_RETRIES: retries})
