"""A storage that simulates the death of the process at a chosen change."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from article_flows.tasks.lake.lake import Lake
from article_flows.tasks.storage.local import LocalStorage


class Died(BaseException):
    """The simulated death of the process; only the test catches it."""


class CrashingStorage(LocalStorage):
    """A local storage that allows a number of changes and raises `Died` at the next one.

    Args:
        root: The lake's folder.
        changes: Number of writes, publications and deletions before `Died`.
    """

    def __init__(self, root: str, changes: int) -> None:
        super().__init__(root)
        self.changes_left = changes

    def write(self, name: str, content: bytes) -> None:
        """Write a file; counts as one change, although `LocalStorage` would publish as well."""
        self._count_change()
        path = Path(self.location(name))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    def publish(self, staged: Path, name: str) -> None:
        self._count_change()
        super().publish(staged, name)

    def delete(self, name: str) -> None:
        self._count_change()
        super().delete(name)

    def _count_change(self) -> None:
        if self.changes_left == 0:
            raise Died
        self.changes_left -= 1


def at_every_change(lake: Lake, action: Callable[[Lake], Any]) -> Iterator[int]:
    """Run an action that dies before its first change, its second, and so on, until it completes.

    Yields the number of changes made, after each death, so that the test can look at the lake. The
    test's own changes to the lake persist until the next attempt.
    """
    changes = 0
    while True:
        dying = Lake(str(lake))
        dying.storage = CrashingStorage(lake.location(""), changes)
        try:
            action(dying)
        except Died:
            yield changes
            changes += 1
        else:
            return
