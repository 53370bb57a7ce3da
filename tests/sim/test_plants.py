"""Each planted bug is found: at the seed that found it when it was planted, or at another one soon after.

The seeds below only make the test quick; they shift when a core changes what it draws or sends.  A plant that needs
more than `MORE` other seeds has become hard to find, and the faults or the checkers need work.
"""

import pytest

from tasksprint.sim.campaign import found_by, run_seed
from tasksprint.sim.planting import planted
from tasksprint.sim.plants import PLANTS

MORE = 250

SEEDS = {}


@pytest.mark.parametrize("plant", sorted(PLANTS))
def test_the_planted_bug_is_found(plant: str) -> None:
    if run_seed(SEEDS.get(plant, 0), plant=plant).ok:
        assert found_by(plant, 0, MORE) is not None


def test_there_are_enough_plants_and_each_says_what_it_breaks() -> None:
    assert len(PLANTS) >= 25
    assert all(len(what) > 20 for what in PLANTS.values())
    assert set(SEEDS) == set(PLANTS)


def test_a_plant_is_in_force_only_for_a_while() -> None:
    from tasksprint.view import reports

    before = reports.is_next
    with planted("retry-applied-twice"):
        assert reports.is_next is not before
    assert reports.is_next is before
    with pytest.raises(KeyError), planted("no such plant"):
        pass
