"""The server process of `tests.object_store`: moto's S3 over HTTP/1.1, with simulated faults.

It reads commands from standard input and writes replies to standard output, one JSON object per
line. It ends when its standard input closes, so no test leaves it behind.
"""

import io
import json
import os
import socket
import socketserver
import struct
import sys
import threading
import time
from http.client import responses
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar
from urllib.parse import unquote_to_bytes

from tests.object_store import ACCESS_KEY
from tests.object_store.state import Response, Store, error, operation_of


class Reset(Exception):
    """Reset the connection instead of responding."""


class Handler(BaseHTTPRequestHandler):
    """Serves one client connection."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1  # one packet for head and body, so that no delayed acknowledgement slows it down
    store: ClassVar[Store]
    open_now: ClassVar[set[socket.socket]]

    def setup(self) -> None:
        self.open_now.add(self.request)
        super().setup()

    def finish(self) -> None:
        self.open_now.discard(self.request)
        super().finish()

    def handle_expect_100(self) -> bool:
        accepted = super().handle_expect_100()
        self.wfile.flush()
        return accepted

    def serve(self) -> None:
        """Respond to a request, or simulate a fault."""
        body = self._body()
        copies = "x-amz-copy-source" in self.headers
        fault = self.store.fault(operation_of(self.command, self.path, copies))
        time.sleep(self.store.latency)
        try:
            self._respond(*self._outcome(fault, body))
        except (Reset, ConnectionError):
            self.close_connection = True
            reset(self.connection)

    def __getattr__(self, name: str) -> Any:
        """Serve every HTTP method by `serve`."""
        if name.startswith("do_"):
            return self.serve
        raise AttributeError(name)

    def _outcome(self, fault: str | None, body: bytes) -> Response:
        if fault == "silent":
            self.store.outage_ended.wait()
        if fault in ("reset", "refused", "silent"):
            raise Reset
        if fault is None or fault == "applied":
            if f"Credential={ACCESS_KEY}/" not in self.headers.get("Authorization", ""):
                return error("key")
            response = self.store.call(self._environ(body))
            return error("applied") if fault else response
        return error(fault)

    def _respond(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        self.send_response(status, responses.get(status))
        for name, value in headers:
            if name.lower() not in ("connection", "transfer-encoding", "content-length"):
                self.send_header(name, value)
        stated = {name.lower(): value for name, value in headers}.get("content-length")
        length = stated if self.command == "HEAD" and stated else str(len(body))
        if status != 204:
            self.send_header("Content-Length", length)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
        self.wfile.flush()

    def _body(self) -> bytes:
        """Read the whole body, so that the connection remains usable after any response."""
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        chunks = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            chunks.append(self.rfile.read(size))
            self.rfile.readline()
        while self.rfile.readline().strip():
            continue
        return b"".join(chunks)

    def _environ(self, body: bytes) -> dict[str, Any]:
        path, _, query = self.path.partition("?")
        headers = {
            "HTTP_" + name.upper().replace("-", "_"): value
            for name, value in self.headers.items()
            if name.lower() != "transfer-encoding"
        }
        return {
            **headers,
            "CONTENT_LENGTH": str(len(body)),
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "PATH_INFO": unquote_to_bytes(path).decode("latin-1"),
            "QUERY_STRING": query,
            "RAW_URI": self.path,
            "REMOTE_ADDR": "127.0.0.1",
            "REQUEST_METHOD": self.command,
            "REQUEST_URI": self.path,
            "SCRIPT_NAME": "",
            "SERVER_NAME": "127.0.0.1",
            "SERVER_PORT": self.headers.get("Host", "").rpartition(":")[2],
            "SERVER_PROTOCOL": "HTTP/1.1",
            "wsgi.errors": sys.stderr,
            "wsgi.input": io.BytesIO(body),
            "wsgi.multiprocess": False,
            "wsgi.multithread": True,
            "wsgi.run_once": False,
            "wsgi.url_scheme": "http",
            "wsgi.version": (1, 0),
        }

    def log_message(self, *_: Any) -> None:
        """Log nothing, to keep the output of tests clean."""


def reset(connection: socket.socket) -> None:
    """Close a connection with a reset instead of an orderly end."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    os.close(connection.detach())


class Listener(ThreadingHTTPServer):
    """The listening server; several can use the port, one after another."""

    daemon_threads = True
    request_queue_size = 512
    allow_reuse_port = True

    def server_bind(self) -> None:
        """Bind without the DNS lookup that `HTTPServer` does."""
        socketserver.TCPServer.server_bind(self)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore errors of clients that disconnect."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


class Port:
    """A loopback port that refuses connections while it is closed, but remains reserved."""

    def __init__(self, store: Store) -> None:
        # A socket that is bound but not listening reserves the port.
        self.holder = socket.socket()
        self.holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        self.holder.bind(("127.0.0.1", 0))
        self.number: int = self.holder.getsockname()[1]
        self.open_now: set[socket.socket] = set()
        self.handler = type("StoreHandler", (Handler,), {"store": store, "open_now": self.open_now})
        self.listener: Listener | None = None

    def open(self) -> None:
        """Start listening, unless it already does."""
        if self.listener is None:
            self.listener = Listener(("127.0.0.1", self.number), self.handler)
            serve = self.listener.serve_forever
            threading.Thread(target=serve, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        """Refuse new connections and close the existing ones."""
        if self.listener is not None:
            self.listener.shutdown()
            self.listener.server_close()
            self.listener = None
        for connection in list(self.open_now):
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue  # already closed


def execute(arguments: dict[str, Any], store: Store, port: Port) -> dict[str, Any]:
    """Execute a command of `ObjectStoreServer`, and return its reply."""
    match arguments.pop("command"):
        case "fail":
            store.fail(**arguments)
        case "outage":
            store.set_outage(arguments["kind"])
            if arguments["kind"] == "refused":
                port.close()
            else:
                port.open()
        case "latency":
            store.latency = arguments["seconds"]
        case "conflicts":
            store.conflict_status = arguments["status"]
        case "reset_counts":
            store.reset_counts()
        case _:
            return store.state()
    return {}


def main() -> None:
    """Serve until standard input is closed."""
    replies = os.fdopen(os.dup(sys.stdout.fileno()), "w", buffering=1)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    store = Store()
    port = Port(store)
    port.open()
    print(json.dumps({"port": port.number}), file=replies)
    for line in sys.stdin:
        print(json.dumps(execute(json.loads(line), store, port)), file=replies)


if __name__ == "__main__":
    main()
