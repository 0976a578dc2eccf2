"""A Prefect server for one command where none is set, and its end with the command's.

Prefect starts one by itself as well, in the command's process group: a signal to the group ends
it before the run has told it how it ended, and after `kill -9` of the command it stays for ever.
This one has a session of its own, and ends when its standard input does, a pipe from the command.
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

_SECONDS_TO_STOP = 5.0
_NEWER_DATABASE = "Can't locate revision identified by"


def start(timeout_s: float) -> str:
    """Start the server, wait until it answers, and have it end with this process; gives its URL.

    Raises:
        UserError: it has ended, or does not answer within ``timeout_s`` seconds; its database is
            of a newer Prefect.
    """
    from prefect.settings import get_current_settings

    settings = get_current_settings().to_environment_variables(exclude_unset=True)
    path = os.pathsep.join(filter(None, [str(IMPORT_ROOT), os.environ.get("PYTHONPATH", "")]))
    # What the server says is of no use in the terminal once it runs.
    with TemporaryFile() as errors:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            url = f"http://127.0.0.1:{listener.getsockname()[1]}/api"
            server = subprocess.Popen(
                # -P: not what happens to be in the current folder.
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
        # Prefect sends its last events before this: its services stop earlier than `atexit` does.
        atexit.register(_stop, server)
        if not _is_up(url, timeout_s):
            errors.seek(0)
            raise UserError(_why_not(errors.read().decode(errors="replace")))
    return url


def _is_up(url: str, timeout_s: float) -> bool:
    """Wait for an answer through the socket; false if the server ends, or takes too long."""
    try:
        return httpx.get(f"{url}/health", timeout=timeout_s, trust_env=False).is_success
    except httpx.TransportError:
        return False


def _why_not(said: str) -> str:
    """Why the server did not start, by what it said on standard error."""
    if _NEWER_DATABASE in said:
        return (
            f"Prefect's database {_database()} is of a newer Prefect than the {version('prefect')} "
            "that is installed here; upgrade it (pip install --upgrade prefect), or have "
            "PREFECT_HOME name another folder"
        )
    return (
        "Prefect's temporary server has not started; start one with `prefect server start` and "
        "set PREFECT_API_URL to it"
    )


def _database() -> str:
    """The file of the server's database, or its URL without the password."""
    from prefect.settings import PREFECT_API_DATABASE_CONNECTION_URL
    from sqlalchemy.engine import make_url

    url = make_url(PREFECT_API_DATABASE_CONNECTION_URL.value())
    is_file = url.get_backend_name() == "sqlite"
    return str(url.database) if is_file else url.render_as_string()


def _stop(server: subprocess.Popen[bytes]) -> None:
    try:
        # The end of its input is its end.
        server.communicate(timeout=_SECONDS_TO_STOP)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()


def main(descriptor: int) -> None:
    """Serve on a socket that listens already, until standard input ends."""
    threading.Thread(target=_end_with_input, daemon=True).start()
    import uvicorn
    from prefect.server.api.server import create_app

    app = create_app(ephemeral=True, final=True)
    config = uvicorn.Config(app, log_level="error", lifespan="on")
    uvicorn.Server(config).run(sockets=[socket.socket(fileno=descriptor)])


def _end_with_input() -> None:
    while os.read(0, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(_SECONDS_TO_STOP)
    os._exit(1)


if __name__ == "__main__":
    main(int(sys.argv[1]))
