"""A temporary Prefect server for one command, which ends with the command.

Prefect's own ephemeral server runs in the command's process group: a signal to the group ends it
before the run has reported its final state, and after `kill -9` of the command it never ends. This
server has its own session, and ends when its standard input, a pipe from the command, is closed.
"""

from __future__ import annotations

import atexit
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from importlib.metadata import version
from tempfile import TemporaryFile

import httpx

from article_flows.tasks.common.errors import UserError
from article_flows.tasks.common.package_data import IMPORT_ROOT

_STOP_TIMEOUT_S = 5.0
_UNKNOWN_REVISION = "Can't locate revision identified by"


def start(timeout_s: float) -> str:
    """Start a server that ends with this process, and wait until it responds.

    Args:
        timeout_s: Seconds to wait for its first response.

    Returns:
        The URL of its API.

    Raises:
        UserError: The server exited or did not respond in time, or a newer version of Prefect has
            migrated its database.
    """
    from prefect.settings import get_current_settings

    settings = get_current_settings().to_environment_variables(exclude_unset=True)
    path = os.pathsep.join(filter(None, [str(IMPORT_ROOT), os.environ.get("PYTHONPATH", "")]))
    # The server's output does not belong in the terminal; it is read if the server fails to start.
    with TemporaryFile() as errors:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            url = f"http://127.0.0.1:{listener.getsockname()[1]}/api"
            server = subprocess.Popen(
                # -P: modules in the current folder must not shadow installed ones.
                [
                    sys.executable,
                    "-P",
                    "-m",
                    "article_flows.tasks.orchestration.temporary_server",
                    str(listener.fileno()),
                ],
                stdin=subprocess.PIPE,
                pass_fds=[listener.fileno()],
                stderr=errors,
                start_new_session=True,
                env={**os.environ, **settings, "PREFECT_UI_ENABLED": "0", "PYTHONPATH": path},
            )
        # Prefect's services stop before `atexit` handlers run, so its last events are sent.
        atexit.register(_stop, server)
        if not _is_up(url, timeout_s):
            errors.seek(0)
            raise UserError(_start_error(errors.read().decode(errors="replace")))
    return url


def _is_up(url: str, timeout_s: float) -> bool:
    # The socket accepts connections already, so one request waits until the server is up.
    try:
        return httpx.get(f"{url}/health", timeout=timeout_s, trust_env=False).is_success
    except httpx.TransportError:
        return False


def _start_error(stderr: str) -> str:
    """Explain why the server did not start, from its standard error."""
    if _UNKNOWN_REVISION in stderr:
        return (
            f"Prefect's database {_database()} belongs to a newer version of Prefect than "
            f"{version('prefect')}, which is installed here; upgrade Prefect "
            "(pip install --upgrade prefect), or set PREFECT_HOME to another folder"
        )
    return (
        "Prefect's temporary server did not start; start one with `prefect server start`, and "
        "set PREFECT_API_URL to its URL"
    )


def _database() -> str:
    """Return the path of the server's SQLite database, or its URL without the password."""
    from prefect.settings import PREFECT_API_DATABASE_CONNECTION_URL
    from sqlalchemy.engine import make_url

    url = make_url(PREFECT_API_DATABASE_CONNECTION_URL.value())
    is_file = url.get_backend_name() == "sqlite"
    return str(url.database) if is_file else url.render_as_string()


def _stop(server: subprocess.Popen[bytes]) -> None:
    try:
        # Closes its standard input, which stops it.
        server.communicate(timeout=_STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()


def main(descriptor: int) -> None:
    """Serve on a listening socket until standard input is closed."""
    threading.Thread(target=_exit_with_stdin, daemon=True).start()
    import uvicorn
    from prefect.server.api.server import create_app

    app = create_app(ephemeral=True, final=True)
    config = uvicorn.Config(app, log_level="error", lifespan="on")
    uvicorn.Server(config).run(sockets=[socket.socket(fileno=descriptor)])


def _exit_with_stdin() -> None:
    while os.read(0, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(_STOP_TIMEOUT_S)
    os._exit(1)


if __name__ == "__main__":
    main(int(sys.argv[1]))
