"""A lake whose process dies at a chosen one of its changes, and goes no further."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from article_flows.tasks.lake.lake import Lake
from article_flows.tasks.storage.local import LocalStorage


class Died(BaseException):
    """The process is no more: nothing catches this but the test."""


class CrashingStorage(LocalStorage):
    """A folder in which only so many changes happen; the next one ends it all.

    Args:
        root: the lake's folder.
        changes: how many files are written, published or deleted before the end.
    """

    def __init__(self, root: str, changes: int) -> None:
        super().__init__(root)
        self.left = changes

    def write(self, name: str, content: bytes) -> None:
        """Count as one change, though it publishes."""
        self._live()
        path = Path(self.location(name))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    def publish(self, staged: Path, name: str) -> None:
        self._live()
        super().publish(staged, name)

    def delete(self, name: str) -> None:
        self._live()
        super().delete(name)

    def _live(self) -> None:
        if self.left == 0:
            raise Died
        self.left -= 1


def at_every_change(lake: Lake, act: Callable[[Lake], Any]) -> Iterator[int]:
    """Have an act die before its first change, its second, and so on, until it lives through it.

    Yields after each death, for the test to look at the lake, how many changes were made. What the
    test does to the lake is there for the next attempt.
    """
    changes = 0
    while True:
        dying = Lake(str(lake))
        dying.storage = CrashingStorage(lake.location(""), changes)
        try:
            act(dying)
        except Died:
            yield changes
            changes += 1
        else:
            return
