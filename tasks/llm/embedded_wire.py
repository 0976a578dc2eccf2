"""Misbehaviour on the wire: resets and bodies that end too soon."""

import asyncio
import socket
import struct
from typing import Final

from aiohttp import web

_LINGER_NONE: Final = struct.pack("ii", 1, 0)
"""SO_LINGER on, zero seconds: closing sends a reset rather than an orderly end."""


def reset(request: web.BaseRequest) -> web.Response:
    """Break the connection with a TCP reset; what is returned is never sent."""
    transport = request.transport
    if transport is not None:
        abort(transport)
    return web.Response()


def abort(transport: asyncio.Transport) -> None:
    """Break a connection with a TCP reset."""
    connection = transport.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NONE)
    transport.abort()


async def truncate(
    request: web.BaseRequest, body: bytes, headers: dict[str, str]
) -> web.StreamResponse:
    """Send half of a body whose length the headers promise in full, and hang up."""
    response = web.StreamResponse(headers={**headers, "Content-Length": str(len(body))})
    await response.prepare(request)
    await response.write(body[: len(body) // 2])
    if request.transport is not None:
        request.transport.close()
    return response
