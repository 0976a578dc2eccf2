"""A run killed at any point leaves a prefix of its records, missing at most one group commit."""

import itertools
import os
import random
import signal
import time
from pathlib import Path

import pytest

from article_flows.tasks.journal.open import find_leftovers
from tests.tasks.journal.journal_support import (
    TABLE,
    FolderAsObjects,
    in_spool,
    journals_of,
    records,
    until,
)


def killed_while_writing(store: FolderAsObjects, acknowledged: Path, seed: int) -> None:
    """Append records of two batches in a child process, and kill it (-9) at a random moment."""
    child = os.fork()
    if child == 0:
        with journals_of(store) as journals, acknowledged.open("wb", buffering=0) as log:
            rng = random.Random(seed)
            for number in itertools.count():
                batch = f"{rng.randrange(2):06d}"
                journals.open(batch).append(b"%s %d" % (batch.encode(), number))
                # The number of records appended, and the number of those in the store.
                log.write(b"%d %d\n" % (number + 1, number + 1 - journals.unwritten))
                time.sleep(0.001)
        os._exit(0)
    until(lambda: acknowledged.exists() and acknowledged.stat().st_size > 100)
    time.sleep(random.Random(seed).random() * 0.3)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


@pytest.mark.parametrize("machine_is_lost", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_a_killed_run_loses_at_most_one_group_commit(
    store: FolderAsObjects, tmp_path: Path, seed: int, machine_is_lost: bool
) -> None:
    acknowledged = tmp_path / "acknowledged"
    killed_while_writing(store, acknowledged, seed)
    *_, last = acknowledged.read_text().rstrip().split("\n")
    appended, stored = map(int, last.split())
    if machine_is_lost:
        for path in in_spool(store):
            path.unlink()
    read = [record.split() for record in dict.fromkeys(records(find_leftovers(store, TABLE)))]
    numbers = sorted(int(number) for _, number in read)
    # A prefix of all records, and so of each batch.
    assert numbers == list(range(len(numbers)))
    # The child may have been killed between an append and logging it.
    assert (stored if machine_is_lost else appended) <= len(numbers) <= appended + 1
