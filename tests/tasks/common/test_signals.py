import asyncio
import contextlib
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from article_flows.tasks.common.signals import (
    SIGNALS,
    Interrupted,
    interrupted_by,
    interruptible,
    raise_if_interrupted,
)
from article_flows.tasks.llm.gateway.gateway import Gateway
from article_flows.tasks.llm.protocol.chat import ChatTemplate
from article_flows.tasks.llm.protocol.request import Request, Result
from article_flows.tasks.llm.protocol.results import Answer, RunStopped
from article_flows.tasks.llm.transports.http_transport import HttpTransport
from article_flows.tasks.mock_endpoint.faults import Faults
from article_flows.tasks.summarize.graceful_stop import GracefulStop
from benchmarks.servers.endpoints import CannedEndpoint

ROWS, IN_FLIGHT = 12, 4
TEMPLATE = ChatTemplate("m", "Summarise.", max_output_tokens=50)


@pytest.fixture(autouse=True)
def nothing_is_interrupted() -> Iterator[None]:
    """Reset the interruption state for the next test."""
    yield
    with interruptible():
        pass


class Results:
    """A receiver that collects results."""

    def __init__(self) -> None:
        self.all: list[Result] = []

    def receive(self, request: Request, result: Result) -> None:
        self.all.append(result)

    def count(self, kind: type[Result]) -> int:
        return sum(isinstance(result, kind) for result in self.all)


class Running:
    """A gateway in its own thread, as in a run, with requests to send."""

    def __init__(self, base_url: str) -> None:
        self.results = Results()
        self.gateway = Gateway(
            HttpTransport(base_url, None, timeout_s=900), max_in_flight=IN_FLIGHT, price=None
        )
        self._ended = threading.Event()
        self.thread = threading.Thread(target=lambda: asyncio.run(self._send()))

    async def _send(self) -> None:
        text = "The council met. It voted to build a bridge. It will take a year."
        requests = [
            Request(TEMPLATE, text, lambda completion: {}, self.results) for _ in range(ROWS)
        ]
        self.gateway.submit(requests)
        while len(self.results.all) < ROWS:
            await asyncio.sleep(0.01)
        await self.gateway.close()

    def wait_until(self, done: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 30
        while not done():
            assert time.monotonic() < deadline
            time.sleep(0.01)


@pytest.fixture
def handlers() -> Iterator[None]:
    """Check that the signal handlers are restored, and restore them after a failed test."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    yield
    for number, handler in before.items():
        assert signal.getsignal(number) is handler
        signal.signal(number, handler)


pytestmark = pytest.mark.usefixtures("handlers")


@contextlib.contextmanager
def sending(latency_s: float) -> Iterator[Running]:
    with CannedEndpoint(Faults.parse([f"latency=fixed:{latency_s}"])) as served:
        running = Running(served.base_url)
        running.thread.start()
        running.wait_until(lambda: running.gateway.totals.in_flight > 0)
        try:
            yield running
        finally:
            running.gateway.stop("the test has ended")
            running.gateway.call_soon(
                lambda: setattr(running, "_", asyncio.ensure_future(running.gateway.close()))
            )
            running.thread.join()


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_raises_interrupted(number: signal.Signals) -> None:
    with pytest.raises(Interrupted) as caught, interruptible(), interruptible():
        signal.raise_signal(number)
    assert caught.value.signal is number
    assert not caught.value.again
    # Code that does not know Interrupted sees a KeyboardInterrupt.
    assert isinstance(caught.value, KeyboardInterrupt)


def test_work_in_another_thread_is_interrupted() -> None:
    ended: list[BaseException] = []

    def work() -> None:
        try:
            while True:
                raise_if_interrupted()
                time.sleep(0.005)
        except Interrupted as interrupted:
            ended.append(interrupted)

    worker = threading.Thread(target=work)
    with interruptible():
        worker.start()
        with pytest.raises(Interrupted):
            signal.raise_signal(signal.SIGTERM)
    worker.join(timeout=30)
    assert [str(error) for error in ended] == ["SIGTERM"]


def test_an_interruption_does_not_affect_the_next_run() -> None:
    with pytest.raises(Interrupted), interruptible():
        signal.raise_signal(signal.SIGTERM)
    assert interrupted_by() is signal.SIGTERM

    def begin() -> None:
        with interruptible():
            raise_if_interrupted()

    begin()
    with pytest.raises(Interrupted), interruptible():
        signal.raise_signal(signal.SIGTERM)
    with ThreadPoolExecutor(1) as thread:
        thread.submit(begin).result()


def test_handlers_are_not_changed_in_other_threads() -> None:
    seen: list[object] = []

    def enter() -> None:
        with interruptible():
            seen.extend(signal.getsignal(number) for number in SIGNALS)

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert seen == [signal.getsignal(number) for number in SIGNALS]


def test_an_ignored_signal_stays_ignored() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with interruptible():
            signal.raise_signal(signal.SIGINT)
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("number", SIGNALS)
def test_calls_in_flight_are_finished_and_no_more_are_sent(number: signal.Signals) -> None:
    with sending(0.3) as running:
        with GracefulStop(running.gateway, grace_s=30) as stop:
            signal.raise_signal(number)
            # Signals arrive twice if they are sent to the process and to its process group.
            signal.raise_signal(number)
            running.thread.join()
        assert stop.signal is number
        assert number.name in (running.gateway.stopped or "")
        assert running.results.count(Answer) == running.gateway.totals.attempts
        assert running.results.count(RunStopped) == ROWS - running.results.count(Answer) > 0


def test_calls_that_exceed_the_grace_period_are_abandoned() -> None:
    with sending(600) as running, GracefulStop(running.gateway, grace_s=0.1) as stop:
        signal.raise_signal(signal.SIGTERM)
        running.thread.join()
        assert stop.signal is signal.SIGTERM
        assert running.results.count(RunStopped) == ROWS


def test_a_second_signal_forces_the_end() -> None:
    with sending(600) as running:
        with interruptible(), GracefulStop(running.gateway, grace_s=600):
            signal.raise_signal(signal.SIGTERM)
            time.sleep(0.5)
            with pytest.raises(Interrupted) as caught:
                signal.raise_signal(signal.SIGINT)
        assert caught.value.again
        assert interrupted_by() is signal.SIGINT
        assert caught.value.signal is signal.SIGINT


def test_the_first_signal_ends_a_run_that_has_sent_nothing() -> None:
    gateway = Gateway(
        HttpTransport("http://127.0.0.1:9/v1", None, timeout_s=9), max_in_flight=1, price=None
    )
    with (
        pytest.raises(Interrupted) as caught,
        interruptible(),
        GracefulStop(gateway, grace_s=30),
    ):
        signal.raise_signal(signal.SIGINT)
    assert not caught.value.again
    assert interrupted_by() is signal.SIGINT
    assert gateway.stopped is None


def test_a_stopped_gateway_keeps_its_reason() -> None:
    with sending(0.3) as running, GracefulStop(running.gateway, grace_s=30) as stop:
        running.gateway.stop("the key is wrong")
        signal.raise_signal(signal.SIGTERM)
        running.thread.join()
        assert stop.signal is None
        assert running.gateway.stopped == "the key is wrong"
