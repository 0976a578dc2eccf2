"""An OpenAI-compatible endpoint to run flows against without a key: extractive, no language model.

It answers chat completions with sentences and keywords picked out of the text it is sent, quickly
and always alike, and on demand it misbehaves the way real endpoints do (see `faults`). Run it:

    python -m tasks.llm.embedded --port 8080 --fault http_500=0.05 --seed 7

Beyond OpenAI's own paths: GET /health, GET /stats, GET /stats/prompts, POST /stats/reset.
"""

import argparse
import asyncio
import gc
import inspect
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from typing import Final, get_args

import orjson

from tasks.llm.embedded_endpoint import AnswerKind, Endpoint
from tasks.llm.embedded_protocol import MODEL_ID, NOTICE
from tasks.llm.faults import Faults

API_KEY_VARIABLE: Final = "EMBEDDED_ENDPOINT_API_KEY"
"""Where --api-key comes from by default: the environment shows in no list of processes."""


async def serve(
    host: str = "127.0.0.1",
    port: int = 0,
    faults: Faults | None = None,
    *,
    api_key: str | None = None,
    strict_model: bool = False,
    answers: AnswerKind = "extractive",
    until_stdin_closes: bool = False,
    on_ready: Callable[[str, int], None] | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT, or until standard input ends.

    Args:
        host: the address to bind to; the loopback unless told.
        port: 0 for a free one.
        faults: the misbehaviour; none by default.
        api_key: the key to ask for; without one, any will do.
        strict_model: whether to know no model but extractive-v1.
        answers: "extractive", or "canned" for constant ones at a fifth of the cost.
        until_stdin_closes: end with standard input, which outlives no parent, even a killed one.
        on_ready: called with the base URL and the port once it listens.

    Raises:
        OSError: the port is taken.
        ValueError: canned answers with an option that needs the prompt to be read.
    """
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    runner, port = await Endpoint(faults, api_key, strict_model, answers).start(host, port)
    if until_stdin_closes:
        _call_at_end_of_stdin(loop, stop.set)
    if on_ready is not None:
        on_ready(f"http://{host}:{port}/v1", port)
    try:
        await stop.wait()
    finally:
        await runner.cleanup()


def main(argv: Sequence[str] | None = None) -> int:
    """Run the endpoint from the command line; gives the exit code."""
    options = _parser().parse_args(argv)
    try:
        faults = Faults.parse(options.fault, options.seed)
    except ValueError as error:
        return _complain(str(error))
    served = serve(
        options.host,
        options.port,
        faults,
        api_key=options.api_key or os.environ.get(API_KEY_VARIABLE),
        strict_model=options.strict_model,
        answers=options.answers,
        until_stdin_closes=options.until_stdin_closes,
        on_ready=_announce_json if options.ready_json else _announce,
    )
    # What lives now lives to the end, and a call leaves no cycles: a seventh less CPU per answer.
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(served)
    except ValueError as error:
        return _complain(str(error))
    except OSError as error:
        return _complain(f"cannot listen on {options.host}:{options.port}: {error.strerror}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="article-flows endpoint",
        description=f"An OpenAI-compatible endpoint; its model {MODEL_ID} is {NOTICE}.",
        epilog=f"Faults, for --fault.\n\n{inspect.cleandoc(Faults.__doc__ or '')}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to bind to (%(default)s)")
    parser.add_argument("--port", type=int, default=8080, help="0 for a free one (%(default)s)")
    parser.add_argument(
        "--fault",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="misbehave: http_500=0.05, reset=0.05, latency=lognormal:0.5, rpm=500; repeatable",
    )
    parser.add_argument(
        "--answers",
        choices=get_args(AnswerKind),
        default="extractive",
        help="canned: constant ones, for benchmarks of what calls it (%(default)s)",
    )
    parser.add_argument("--seed", type=int, default=0, help="of the faults (%(default)s)")
    parser.add_argument("--api-key", help=f"the key to ask for; better by {API_KEY_VARIABLE}")
    parser.add_argument("--strict-model", action="store_true", help=f"know only {MODEL_ID}")
    parser.add_argument("--ready-json", action="store_true", help="say where it is as JSON")
    parser.add_argument(
        "--until-stdin-closes", action="store_true", help="end with standard input, or its parent"
    )
    return parser


def _announce(base_url: str, port: int) -> None:
    print(f"{base_url} is ready: {MODEL_ID}, {NOTICE}", flush=True)


def _announce_json(base_url: str, port: int) -> None:
    ready = {"base_url": base_url, "port": port, "pid": os.getpid(), "notice": NOTICE}
    print(orjson.dumps(ready).decode(), flush=True)


def _complain(message: str) -> int:
    print(f"embedded endpoint: {message}", file=sys.stderr)
    return 2


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop
    return uvloop.new_event_loop


def _call_at_end_of_stdin(loop: asyncio.AbstractEventLoop, call: Callable[[], object]) -> None:
    def wait() -> None:
        # os.read holds no lock of sys.stdin's, on which the interpreter's exit would fail.
        while os.read(0, 4096):
            pass
        loop.call_soon_threadsafe(call)

    threading.Thread(target=wait, name="stdin", daemon=True).start()


if __name__ == "__main__":
    sys.exit(main())
