"""Work ahead of a consumer: the next items are made in a thread while it works on this one."""

import threading
from collections.abc import Iterator
from queue import Empty, Full, Queue
from typing import TypeVar

T = TypeVar("T")

THREAD = "csv-ahead"
"""What the threads are called."""
_POLL_SECONDS = 0.1


class _End:
    """The end of the items, and the exception that ended them, if any."""

    def __init__(self, error: BaseException | None) -> None:
        self.error = error


def ahead(items: Iterator[T], depth: int = 1) -> Iterator[T]:
    """Yield the items, of which a thread makes up to `depth` + 1 in advance.

    What the iterator raises is raised here in its place. The thread ends, and the iterator is
    closed, when this one is exhausted or closed.
    """
    queue: Queue[T | _End] = Queue(depth)
    stopped = threading.Event()
    thread = threading.Thread(target=_feed, args=(items, queue, stopped), name=THREAD, daemon=True)
    thread.start()
    try:
        while not isinstance(item := queue.get(), _End):
            yield item
        if item.error is not None:
            raise item.error
    finally:
        stopped.set()
        try:
            while True:
                queue.get_nowait()
        except Empty:
            pass
        thread.join()


def _feed(items: Iterator[T], queue: Queue[T | _End], stopped: threading.Event) -> None:
    error = None
    try:
        for item in items:
            if not _put(queue, item, stopped):
                break
    except BaseException as raised:
        error = raised
    finally:
        if close := getattr(items, "close", None):
            close()
    _put(queue, _End(error), stopped)


def _put(queue: Queue[T | _End], item: T | _End, stopped: threading.Event) -> bool:
    """Put an item as soon as there is room; tell whether it is still wanted."""
    while not stopped.is_set():
        try:
            queue.put(item, timeout=_POLL_SECONDS)
        except Full:
            continue
        return True
    return False
