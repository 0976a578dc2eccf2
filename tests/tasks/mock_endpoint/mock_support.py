"""Shared by tests that use the mock endpoint: an endpoint in this event loop, raw requests."""

import urllib.error
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
import orjson
from aiohttp import web
from multidict import CIMultiDictProxy

from article_flows.tasks.mock_endpoint.faults import Faults
from article_flows.tasks.mock_endpoint.server import RUN_OPTIONS, application
from benchmarks.servers.counting import CountingService

ARTICLE = (
    "Title: Council approves bridge\n\nThe town council approved a new bridge over the river on "
    "Monday. The bridge will carry nine thousand cars a day across the river. Engineers of the "
    "council expect that building the bridge takes two years. Lunch was served."
)
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "headline": {"type": "string"},
        "summary": {"type": "string"},
        "keywords": {"type": "array", "items": {"type": "string"}},
        "category": {"type": "string", "enum": ["politics", "sport", "other"]},
        "language": {"type": "string"},
        "author": {"type": ["string", "null"]},
    },
    "required": ["headline", "summary", "keywords", "category", "language", "author"],
    "additionalProperties": False,
}
STRUCTURED: dict[str, Any] = {
    "type": "json_schema",
    "json_schema": {"name": "article", "strict": True, "schema": SCHEMA},
}


@asynccontextmanager
async def running_endpoint(
    faults: Faults | None = None, *, api_key: str | None = None, strict_model: bool = False
) -> AsyncIterator[str]:
    """Run the endpoint in this event loop on a free loopback port and yield its base URL."""
    app = application(CountingService(faults, api_key, strict_model))
    runner = web.AppRunner(app, **RUN_OPTIONS)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0, backlog=1024).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    finally:
        await runner.cleanup()


@dataclass(frozen=True)
class Reply:
    """A complete response."""

    status: int
    headers: CIMultiDictProxy[str]
    body: bytes

    @property
    def json(self) -> Any:
        return orjson.loads(self.body)

    @property
    def choice(self) -> Any:
        return self.json["choices"][0]

    @property
    def error(self) -> Any:
        return self.json["error"]


def chat(text: str = ARTICLE, system: str = "Summarise the article.", **more: Any) -> Any:
    """Return the body of a chat completion request."""
    return {
        "model": "extractive-v1",
        "messages": [
            {"role": "system", "content": system},
            {"role": "user", "content": f"<article>\n{text}\n</article>"},
        ],
        **more,
    }


class Caller:
    """A client of one endpoint."""

    def __init__(self, session: aiohttp.ClientSession, base_url: str) -> None:
        self.session = session
        self.base_url = base_url
        self.root = base_url.removesuffix("/v1")

    async def post(self, body: Any, headers: dict[str, str] | None = None) -> Reply:
        data = body if isinstance(body, bytes) else orjson.dumps(body)
        url = f"{self.base_url}/chat/completions"
        async with self.session.post(url, data=data, headers=headers) as response:
            return Reply(response.status, response.headers, await response.read())

    async def get(self, path: str, headers: dict[str, str] | None = None) -> Reply:
        async with self.session.get(self.root + path, headers=headers) as response:
            return Reply(response.status, response.headers, await response.read())

    async def stats(self) -> Any:
        return (await self.get("/stats")).json


def post(base_url: str, body: Any, key: str = "any") -> tuple[int, Any]:
    """Send a request to an endpoint in another process."""
    request = urllib.request.Request(
        f"{base_url}/chat/completions",
        data=orjson.dumps(body),
        headers={"Authorization": f"Bearer {key}"},
    )
    try:
        with urllib.request.urlopen(request) as response:
            return response.status, orjson.loads(response.read())
    except urllib.error.HTTPError as error:
        with error:
            return error.code, orjson.loads(error.read())
