"""Serve the mock endpoint over HTTP with aiohttp; `service` decides the replies."""

import asyncio
import socket
import struct
from typing import Any, Final

from aiohttp import web

from article_flows.tasks.mock_endpoint.service import BREAKING, CHAT_PATH, Reply, Service

_MAX_REQUEST_BYTES: Final = 64 * 2**20
_LINGER_ZERO: Final = struct.pack("ii", 1, 0)
"""With SO_LINGER at zero seconds, closing sends a reset instead of an orderly end."""
RUN_OPTIONS: Final[dict[str, Any]] = {
    # Cancels the work for a client that disconnects, and counts it.
    "handler_cancellation": True,
    "access_log": None,
    "shutdown_timeout": 0.2,
}


def serve(service: Service, listening: socket.socket) -> None:
    """Serve until SIGTERM or SIGINT."""
    web.run_app(application(service), sock=listening, print=None, backlog=1024, **RUN_OPTIONS)


def application(service: Service) -> web.Application:
    """Return the web application of the endpoint."""

    async def chat(request: web.Request) -> web.StreamResponse:
        reply = service.chat(await request.read(), request.headers.get("Authorization", ""))
        sent = False
        try:
            response = await _send(request, reply, service.faults.stall_seconds)
            sent = reply.fault not in BREAKING
            return response
        finally:
            service.finish(reply, sent=sent)

    async def other(request: web.Request) -> web.Response:
        reply = service.handle_other(
            request.method, request.path, request.headers.get("Authorization", "")
        )
        return web.Response(body=reply.body, status=reply.status, headers=reply.headers)

    app = web.Application(client_max_size=_MAX_REQUEST_BYTES)
    app.router.add_post(CHAT_PATH, chat)
    app.router.add_route("*", "/{path:.*}", other)
    return app


async def _send(request: web.Request, reply: Reply, stall_s: float) -> web.StreamResponse:
    """Send a complete reply, or break the connection as its fault demands."""
    if reply.delay_s > 0:
        await asyncio.sleep(reply.delay_s)
    match reply.fault:
        case "truncated":
            return await truncate(request, reply.body, reply.headers)
        case "stall":
            await asyncio.sleep(stall_s)
            return reset(request)
        case "reset":
            return reset(request)
    response = web.Response(body=reply.body, status=reply.status, headers=reply.headers)
    await response.prepare(request)
    await response.write_eof()
    return response


def reset(request: web.BaseRequest) -> web.Response:
    """Break the connection with a TCP reset; the returned response is never sent."""
    if request.transport is not None:
        abort(request.transport)
    return web.Response()


def abort(transport: asyncio.Transport) -> None:
    """Break a connection with a TCP reset."""
    connection = transport.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ZERO)
    transport.abort()


async def truncate(
    request: web.BaseRequest, body: bytes, headers: dict[str, str]
) -> web.StreamResponse:
    """Send the headers and half of the body, and close the connection."""
    response = web.StreamResponse(headers={**headers, "Content-Length": str(len(body))})
    await response.prepare(request)
    await response.write(body[: len(body) // 2])
    if request.transport is not None:
        request.transport.close()
    return response
