"""The queue in front of the gateway: its order, its rests, and the room that it makes."""

import asyncio

from article_flows.tasks.llm.gateway.queue import RequestQueue
from article_flows.tasks.llm.protocol.request import Request
from tests.tasks.llm.gateway.gateway_support import TEMPLATE, Nobody, plain


def askings(count: int) -> list[Request]:
    return [Request(TEMPLATE, f"article {n}", plain, Nobody(), n) for n in range(count)]


def drained(waiting: RequestQueue, now: float = 0.0) -> list[int]:
    rows = []
    while asking := waiting.first(now):
        waiting.take_first()
        rows.append(asking.row)
    return rows


def test_those_to_try_again_come_first_and_those_that_rest_come_when_they_are_due() -> None:
    waiting = RequestQueue(lambda: 5)
    a, b, c, d, e = askings(5)
    waiting.add([a, b])
    waiting.again(c)
    waiting.rest(d, until=20.0)
    waiting.rest(e, until=10.0)
    assert waiting.next_rest_ends == 10.0
    assert drained(waiting, now=9.9) == [2, 0, 1]
    assert not waiting.exhausted
    assert drained(waiting, now=30.0) == [4, 3]
    assert waiting.exhausted


def test_those_whom_nobody_waits_for_any_more_are_passed_over() -> None:
    waiting = RequestQueue(lambda: 5)
    a, b, c = askings(3)
    waiting.add([a, b])
    waiting.rest(c, until=1.0)
    a.settled = c.settled = True
    assert drained(waiting, now=2.0) == [1]
    a, b, c = askings(3)
    waiting.add([a, b])
    waiting.rest(c, until=1.0)
    b.settled = True
    assert [asking.row for asking in waiting.clear()] == [0, 2]
    assert waiting.exhausted


def test_the_first_that_fits_is_brought_forward() -> None:
    waiting = RequestQueue(lambda: 5)
    waiting.add(askings(4))
    assert waiting.bring_forward(lambda asking: asking.row >= 2)
    assert drained(waiting) == [2, 0, 1, 3]
    assert not waiting.bring_forward(lambda asking: True)


async def test_room_is_given_in_turn_and_only_while_few_wait() -> None:
    waiting = RequestQueue(lambda: 5)
    admitted: list[int] = []
    read = [asyncio.Event() for _ in range(4)]

    async def feed(number: int) -> None:
        async with waiting.room(10):
            admitted.append(number)
            await read[number].wait()

    feeders = [asyncio.create_task(feed(number)) for number in range(4)]
    await settle()
    assert admitted == [0]
    assert not waiting.exhausted
    waiting.add(askings(10))
    read[0].set()
    await settle()
    assert admitted == [0]
    drained(waiting)
    await settle()
    assert admitted == [0, 1]
    feeders[2].cancel()
    await settle()
    read[1].set()
    read[3].set()
    await asyncio.gather(*feeders, return_exceptions=True)
    assert admitted == [0, 1, 3]
    assert waiting.exhausted


async def test_one_who_is_cancelled_as_he_is_let_in_leaves_his_room_to_others() -> None:
    waiting = RequestQueue(lambda: 5)

    async def feed() -> None:
        async with waiting.room(10):
            pass

    async with waiting.room(10):
        feeder = asyncio.create_task(feed())
        await settle()
    feeder.cancel()
    await asyncio.gather(feeder, return_exceptions=True)
    assert waiting.exhausted
    await asyncio.wait_for(feed(), 5)


async def settle() -> None:
    """Let every task go on as far as it can."""
    for _ in range(10):
        await asyncio.sleep(0)
