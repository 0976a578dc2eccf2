"""The queue in front of the gateway: its order, delayed retries, and room for producers."""

import asyncio

from article_flows.tasks.llm.gateway.queue import RequestQueue
from article_flows.tasks.llm.protocol.request import Request
from tests.tasks.llm.gateway.gateway_support import TEMPLATE, NoReceiver, plain


def requests(count: int) -> list[Request]:
    return [Request(TEMPLATE, f"article {n}", plain, NoReceiver(), n) for n in range(count)]


def drained(queue: RequestQueue, now: float = 0.0) -> list[int]:
    rows = []
    while request := queue.peek(now):
        queue.pop()
        rows.append(request.row)
    return rows


def test_retries_come_first_and_delayed_ones_when_they_are_due() -> None:
    queue = RequestQueue(lambda: 5)
    a, b, c, d, e = requests(5)
    queue.add([a, b])
    queue.add_retry(c)
    queue.delay_retry(d, until=20.0)
    queue.delay_retry(e, until=10.0)
    assert queue.next_retry_at == 10.0
    assert drained(queue, now=9.9) == [2, 0, 1]
    assert not queue.exhausted
    assert drained(queue, now=30.0) == [4, 3]
    assert queue.exhausted


def test_settled_requests_are_skipped() -> None:
    queue = RequestQueue(lambda: 5)
    a, b, c = requests(3)
    queue.add([a, b])
    queue.delay_retry(c, until=1.0)
    a.settled = c.settled = True
    assert drained(queue, now=2.0) == [1]
    a, b, c = requests(3)
    queue.add([a, b])
    queue.delay_retry(c, until=1.0)
    b.settled = True
    assert [request.row for request in queue.clear()] == [0, 2]
    assert queue.exhausted


def test_the_first_request_that_fits_is_brought_forward() -> None:
    queue = RequestQueue(lambda: 5)
    queue.add(requests(4))
    assert queue.bring_forward(lambda request: request.row >= 2)
    assert drained(queue) == [2, 0, 1, 3]
    assert not queue.bring_forward(lambda request: True)


async def test_producers_are_admitted_in_turn_while_the_queue_is_short() -> None:
    queue = RequestQueue(lambda: 5)
    admitted: list[int] = []
    read = [asyncio.Event() for _ in range(4)]

    async def feed(number: int) -> None:
        async with queue.room(10):
            admitted.append(number)
            await read[number].wait()

    feeders = [asyncio.create_task(feed(number)) for number in range(4)]
    await settle()
    assert admitted == [0]
    assert not queue.exhausted
    queue.add(requests(10))
    read[0].set()
    await settle()
    assert admitted == [0]
    drained(queue)
    await settle()
    assert admitted == [0, 1]
    feeders[2].cancel()
    await settle()
    read[1].set()
    read[3].set()
    await asyncio.gather(*feeders, return_exceptions=True)
    assert admitted == [0, 1, 3]
    assert queue.exhausted


async def test_a_producer_cancelled_on_admission_releases_its_room() -> None:
    queue = RequestQueue(lambda: 5)

    async def feed() -> None:
        async with queue.room(10):
            pass

    async with queue.room(10):
        feeder = asyncio.create_task(feed())
        await settle()
    feeder.cancel()
    await asyncio.gather(feeder, return_exceptions=True)
    assert queue.exhausted
    await asyncio.wait_for(feed(), 5)


async def settle() -> None:
    """Let every task run as far as it can."""
    for _ in range(10):
        await asyncio.sleep(0)
