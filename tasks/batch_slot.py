"""A batch's slot of the limit on a tag, and no wait for a Prefect API that is away.

Prefect's task engine takes a slot for each task run and waits for it as long as it takes, also
where there is no limit and while the API is away. Here the batches of a flow run share what they
take: whether there is a limit is looked up once in a while, a slot goes from batch to batch, and
without an answer within seconds the batches go on without.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from weakref import WeakKeyDictionary

from prefect.context import FlowRunContext
from prefect.logging import get_run_logger

from tasks.batch_slots import BatchSlots
from tasks.slot_api import SlotApi

_slots_on: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, BatchSlots]] = WeakKeyDictionary()


@asynccontextmanager
async def batch_slot(tag: str, unless: Callable[[], bool] = lambda: False) -> AsyncIterator[None]:
    """Hold a slot of the tag's limit, if there is one, for as long as the block lasts.

    Waits for a slot while all are taken. Does not raise, whatever becomes of Prefect's API.

    Args:
        tag: the limit's, as `prefect concurrency-limit create` takes it.
        unless: asked while it waits; when true, the block begins without a slot.
    """
    slots = _slots_of(tag)
    slot = await slots.take(unless)
    try:
        yield
    finally:
        slots.leave(slot)


def _slots_of(tag: str) -> BatchSlots:
    """What the batches of a flow run share: an event loop is a flow run's own."""
    slots = _slots_on.setdefault(asyncio.get_running_loop(), {})
    if tag not in slots:
        flow_run = FlowRunContext.get()
        holder = flow_run.flow_run.id if flow_run and flow_run.flow_run else None
        log = get_run_logger(flow_run) if flow_run else get_run_logger()
        slots[tag] = BatchSlots(SlotApi(tag, holder), tag, log)
    return slots[tag]
