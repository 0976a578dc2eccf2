"""The same promise in an object store, which fails, and on machines that are lost."""

import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.object_store import ObjectStoreServer
from tests.soak_support import ARTICLES, IN_FLIGHT, SEED, Soak, assert_all_well, slow_endpoint

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("prefect_server")]

GROUP_COMMIT = 500
"""Answers that an object store may lack when the machine is lost: half a second of this run's."""


@pytest.mark.parametrize(
    ("failing", "machine_is_lost"), [(0.0, True), (0.05, False)], ids=["machine-lost", "failing"]
)
def test_five_kills_in_an_object_store(
    tmp_path: Path,
    object_store: ObjectStoreServer,
    record_property: Callable[[str, object], None],
    failing: float,
    machine_is_lost: bool,
) -> None:
    kills, moments = 5, random.Random(SEED)
    with slow_endpoint() as endpoint:
        soak = Soak(tmp_path, endpoint, object_store.uri(f"soak-{failing}"))
        object_store.fail(failing, seed=SEED)
        for kill in range(kills):
            soak.kill(moments, share=1 / kills if kill else 0.0)
            if machine_is_lost:
                # The next run is on another machine: what this one kept on its disk is gone.
                shutil.rmtree(soak.spool, ignore_errors=True)
        told = soak.end()
        assert_all_well(soak, told)
        twice = soak.paid_twice()
    allowed = kills * (IN_FLIGHT + GROUP_COMMIT * machine_is_lost)
    record_property(
        "figure",
        f"{kills} kills, in an object store, {failing:.0%} of its requests failed: {twice} of "
        f"{ARTICLES:,} paid twice, at most {allowed} may be",
    )
    assert twice <= allowed
