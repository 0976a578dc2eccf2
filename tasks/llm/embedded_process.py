"""Run the embedded endpoint beside one's own code: as a child process, or in the same loop."""

import http.client
import os
import select
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Final, Self

import orjson

from tasks.llm.embedded import API_KEY_VARIABLE
from tasks.llm.embedded_endpoint import AnswerKind, Endpoint
from tasks.llm.faults import Faults

_ROOT: Final = Path(__file__).parents[2]
_SECONDS_TO_START: Final = 30.0
_SECONDS_TO_STOP: Final = 5.0


class EmbeddedEndpoint:
    """The endpoint as a child process on the loopback, for as long as the `with` block lasts.

    It ends with its parent even when that is killed: its standard input is a pipe from here.

    Args:
        faults: its misbehaviour; none by default.
        api_key: the key to ask for; without one, any will do.
        strict_model: whether to know no model but extractive-v1.
        port: 0 for a free one.
        answers: "extractive", or "canned" for constant ones at a fifth of the cost.

    Attributes:
        base_url: such as http://127.0.0.1:40123/v1, for an OpenAI client.
        port: its port.
        pid: its process id.
    """

    base_url: str
    port: int
    pid: int

    def __init__(
        self,
        faults: Faults | None = None,
        *,
        api_key: str | None = None,
        strict_model: bool = False,
        port: int = 0,
        answers: AnswerKind = "extractive",
    ) -> None:
        self._faults = faults or Faults()
        self._api_key = api_key
        self._strict_model = strict_model
        self._wanted_port = port
        self._answers = answers
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> Self:
        """Start it and wait until it listens.

        Raises:
            RuntimeError: it did not start; the message has what it wrote to standard error.
        """
        with tempfile.TemporaryFile() as stderr:
            self._process = subprocess.Popen(
                self._command(),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                env=self._environment(),
                # Ctrl-C goes to the whole foreground group of a terminal; the parent, which takes
                # in what is in flight, still needs its endpoint then.
                process_group=0,
            )
            line = _first_line(self._process)
            if not line:
                self.stop()
                stderr.seek(0)
                said = stderr.read().decode(errors="replace").strip() or "(nothing)"
                raise RuntimeError(f"the embedded endpoint did not start; it wrote: {said}")
        ready = orjson.loads(line)
        self.base_url, self.port, self.pid = ready["base_url"], ready["port"], ready["pid"]
        return self

    def stop(self) -> None:
        """End it: by the end of its input, failing that by force. Harmless when it has ended."""
        process, self._process = self._process, None
        if process is None:
            return
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()
        try:
            process.wait(_SECONDS_TO_STOP)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def stats(self) -> dict[str, Any]:
        """Give its counts; see embedded_stats.Stats."""
        stats: dict[str, Any] = self._ask("GET", "/stats")
        return stats

    def prompt_counts(self) -> dict[str, int]:
        """Give how often each prompt was answered well, by hash of its messages."""
        counts: dict[str, int] = self._ask("GET", "/stats/prompts")
        return counts

    def reset_stats(self) -> None:
        """Set its counts to zero."""
        self._ask("POST", "/stats/reset")

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def _ask(self, method: str, path: str) -> Any:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, path)
            return orjson.loads(connection.getresponse().read())
        finally:
            connection.close()

    def _command(self) -> list[str]:
        faults = [part for option in self._faults.options() for part in ("--fault", option)]
        strict = ["--strict-model"] if self._strict_model else []
        return [
            *(sys.executable, "-m", "tasks.llm.embedded", "--ready-json", "--until-stdin-closes"),
            *("--port", str(self._wanted_port), "--seed", str(self._faults.seed)),
            *("--answers", self._answers),
            *faults,
            *strict,
        ]

    def _environment(self) -> dict[str, str]:
        environment = {**os.environ}
        environment.pop(API_KEY_VARIABLE, None)
        if self._api_key is not None:
            environment[API_KEY_VARIABLE] = self._api_key
        paths = [str(_ROOT), environment.get("PYTHONPATH", "")]
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
        return environment


def _first_line(process: "subprocess.Popen[bytes]") -> bytes:
    """Wait for the line that says it is ready; b"" if it ended or took too long."""
    stdout: IO[bytes] | None = process.stdout
    if stdout is None or not select.select([stdout], [], [], _SECONDS_TO_START)[0]:
        return b""
    return stdout.readline()


@asynccontextmanager
async def running_endpoint(
    faults: Faults | None = None,
    *,
    api_key: str | None = None,
    strict_model: bool = False,
    answers: AnswerKind = "extractive",
) -> AsyncIterator[str]:
    """Run the endpoint in this event loop on a free port of the loopback; gives the base URL."""
    runner, port = await Endpoint(faults, api_key, strict_model, answers).start()
    try:
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        await runner.cleanup()
