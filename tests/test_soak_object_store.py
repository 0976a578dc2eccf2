"""The soak test in an object store with failing requests, and with lost machines."""

import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.object_store import ObjectStoreServer
from tests.soak_support import ARTICLES, IN_FLIGHT, SEED, Soak, assert_complete, slow_endpoint

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("prefect_server")]

GROUP_COMMIT = 500
"""Answers that may be lost with a machine: those of one group commit, half a second of this run."""


def test_five_kills_in_a_failing_object_store(
    tmp_path: Path,
    object_store: ObjectStoreServer,
    record_property: Callable[[str, object], None],
) -> None:
    kills, lost, failing, moments = 5, 0, 0.0, random.Random(SEED)
    with slow_endpoint() as endpoint:
        soak = Soak(tmp_path, endpoint, object_store.uri("soak"))
        for kill in range(kills):
            if kill == 2:
                failing = 0.05
                object_store.fail(failing, seed=SEED)
            soak.kill(moments, share=1 / kills if kill else 0.0)
            if kill % 2:
                # The next run is on another machine, without the local spool of this one.
                shutil.rmtree(soak.spool, ignore_errors=True)
                lost += 1
        report = soak.finish()
        assert_complete(soak, report)
        twice = soak.paid_twice()
    assert sum(object_store.faults().values()) > 0
    allowed = kills * IN_FLIGHT + lost * GROUP_COMMIT
    record_property(
        "figure",
        f"{kills} kills, in an object store, {lost} of them with the machine lost, {failing:.0%} "
        f"of its requests failed from the third on: {twice} of {ARTICLES:,} paid twice, at most "
        f"{allowed} may be",
    )
    assert twice <= allowed
