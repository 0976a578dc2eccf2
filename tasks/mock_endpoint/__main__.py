"""The command line of the mock endpoint: `article-flows endpoint`."""

import argparse
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Sequence

from article_flows.tasks.mock_endpoint.faults import FAULTS, Faults
from article_flows.tasks.mock_endpoint.process import API_KEY_VARIABLE
from article_flows.tasks.mock_endpoint.protocol import MODEL_ID, NOTICE
from article_flows.tasks.mock_endpoint.server import serve
from article_flows.tasks.mock_endpoint.service import Service


def main(
    argv: Sequence[str] | None = None,
    make: Callable[[Faults, str | None, bool], Service] = Service,
    serve: Callable[[Service, socket.socket], None] = serve,
) -> int:
    """Run the endpoint until SIGTERM or SIGINT and return the exit status.

    Args:
        argv: The arguments; by default those of the process.
        make: Builds the service from faults, API key and strict_model.
        serve: Serves it on a listening socket.
    """
    options = _parser().parse_args(argv)
    try:
        faults = Faults.parse(options.fault, options.seed)
        api_key = options.api_key or os.environ.get(API_KEY_VARIABLE)
        service = make(faults, api_key, options.strict_model)
    except ValueError as error:
        return _fail(str(error))
    try:
        listening = socket.create_server((options.host, options.port), backlog=1024)
    except OSError as error:
        return _fail(f"cannot listen on {options.host}:{options.port}: {error.strerror}")
    if options.until_stdin_closes:
        threading.Thread(target=_terminate_when_stdin_closes, daemon=True).start()
    port = listening.getsockname()[1]
    print(f"http://{options.host}:{port}/v1 is ready: {MODEL_ID}, {NOTICE}", flush=True)
    serve(service, listening)
    return 0


def _parser() -> argparse.ArgumentParser:
    faults = "\n".join(f"  {name}: {' '.join(text.split())}" for name, text in FAULTS.items())
    parser = argparse.ArgumentParser(
        prog="article-flows endpoint",
        description=f"An OpenAI-compatible endpoint. Its model {MODEL_ID} is {NOTICE}.",
        epilog="Faults for --fault. Those up to `empty` are probabilities per request; at most one "
        f"of them occurs:\n{faults}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to bind to (%(default)s)")
    parser.add_argument("--port", type=int, default=8080, help="0 for any free port (%(default)s)")
    parser.add_argument(
        "--fault",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="such as http_500=0.05, reset=0.05, latency=lognormal:0.5, rpm=500; repeatable",
    )
    parser.add_argument(
        "--seed", type=int, default=0, help="random seed of the faults (%(default)s)"
    )
    parser.add_argument("--api-key", help=f"the required key; {API_KEY_VARIABLE} is safer")
    parser.add_argument(
        "--strict-model", action="store_true", help=f"reject all models but {MODEL_ID}"
    )
    parser.add_argument(
        "--until-stdin-closes", action="store_true", help="exit when standard input closes"
    )
    return parser


def _fail(message: str) -> int:
    print(f"mock endpoint: {message}", file=sys.stderr)
    return 2


def _terminate_when_stdin_closes() -> None:
    # os.read does not hold the lock of sys.stdin, which would make the interpreter's exit fail.
    while os.read(0, 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main())
