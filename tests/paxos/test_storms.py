"""Random lives of small clusters: every invariant is checked at every step, and they must come together in the end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest
from tests.paxos.world import storm

SEEDS = 12  # of each block; set from outside for a longer hunt


@pytest.mark.parametrize("block", range(10))
@pytest.mark.parametrize("sizes", ["small", "normal"])
def test_nothing_is_lost_in_bad_weather(block: int, sizes: str, small: Callable[[], None]) -> None:
    if sizes == "small":
        small()
    counts: Counter[str] = Counter()
    for seed in range(block * SEEDS, (block + 1) * SEEDS):
        counts.update(storm(10_000 * (sizes == "small") + seed).counts)
    assert not [name for name in ("reads", "elections", "crashes", "proposed", "compacted") if not counts[name]]


def test_rare_things_happen(small: Callable[[], None]) -> None:
    small()
    counts: Counter[str] = Counter()
    for seed in range(20_000, 20_040):
        counts.update(storm(seed).counts)
    assert not [name for name, count in counts.items() if not count], "a situation that no seed reaches is not tested"


def test_the_same_seed_gives_the_same_life() -> None:
    assert storm(7).chosen == storm(7).chosen
