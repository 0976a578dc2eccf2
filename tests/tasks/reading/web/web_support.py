"""A web site on the loopback interface with handlers set by a test; runs in its own thread."""

import asyncio
import threading
from collections import Counter
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Self

from aiohttp import web
from yarl import URL

from article_flows.tasks.reading.web.fetch import FetchLimits

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

QUICK = FetchLimits(base_pause_s=0.01, page_s=5.0, workers=1)


def page(title: str, words: str = "voted to build the bridge", date: str = "2020-05-04") -> str:
    """Return a page with an article between a menu and a footer."""
    paragraphs = "".join(
        f"<p>On day {day} the council of {title} met and {words}, as residents had asked for "
        f"{day + 2} years in letters to the mayor and to the newspaper.</p>"
        for day in range(1, 6)
    )
    return (
        f'<!DOCTYPE html><html lang="en-GB"><head><title>{title}</title>'
        f'<meta name="author" content="Ann Lee"><meta charset="utf-8">'
        f'<meta property="article:published_time" content="{date}"></head><body>'
        f"<nav><a href='/'>Home</a><a href='/about'>About us</a></nav>"
        f"<article><h1>{title}</h1>{paragraphs}</article>"
        f"<footer>All rights reserved</footer></body></html>"
    )


class Site:
    """Responds by the `handlers` of paths, else with 404, and counts requests.

    Attributes:
        counts: Number of requests by path.
        most: Maximum number of concurrent requests.
    """

    def __init__(self, handlers: dict[str, Handler | str] | None = None) -> None:
        self.handlers: dict[str, Handler | str] = handlers or {}
        self.counts: Counter[str] = Counter()
        self.requests: list[web.Request] = []
        self.most = self._now = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self.host = f"127.0.0.1:{self._call(self._start())}"
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._call(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def url(self, path: str) -> str:
        return str(URL(f"http://{self.host}{path}"))

    def _call(self, work: Awaitable[int | None]) -> int | None:
        async def run() -> int | None:
            return await work

        return asyncio.run_coroutine_threadsafe(run(), self._loop).result(20)

    async def _start(self) -> int:
        server = web.Server(self._answer)
        self._runner = web.ServerRunner(server, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        port: int = self._runner.addresses[0][1]
        return port

    async def _end(self) -> None:
        await self._runner.cleanup()
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        assert isinstance(request, web.BaseRequest)
        self.counts[request.path] += 1
        self.requests.append(request)  # type: ignore[arg-type]  # Enough of one for tests.
        handler = self.handlers.get(request.path)
        self._now += 1
        self.most = max(self.most, self._now)
        try:
            if handler is None:
                return web.Response(status=404)
            if isinstance(handler, str):
                return web.Response(text=handler, content_type="text/html")
            return await handler(request)  # type: ignore[arg-type]  # The same.
        finally:
            self._now -= 1


def redirect(target: str) -> Handler:
    """Respond with a redirect."""

    async def handler(_: web.Request) -> web.StreamResponse:
        return web.Response(status=302, headers={"Location": target})

    return handler


def status(*codes: int, then: str = "", **headers: str) -> Handler:
    """Respond with these statuses one after another, then with a page."""
    left = list(codes)

    async def handler(_: web.Request) -> web.StreamResponse:
        if left:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            return web.Response(status=left.pop(0), headers=named)
        return web.Response(text=then, content_type="text/html")

    return handler


def body(data: bytes, kind: str = "text/html", **headers: str) -> Handler:
    """Respond with these bytes."""

    async def handler(_: web.Request) -> web.StreamResponse:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return web.Response(body=data, headers={"Content-Type": kind, **named})

    return handler
