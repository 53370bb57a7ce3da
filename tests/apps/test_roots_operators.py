"""The paper's operators alone: what they may call a root, and how they get along a narrow valley."""

import pytest

from tasksprint.apps.roots.local import search
from tasksprint.apps.roots.problem import Problem


def alone(expressions, box, seed, **options):
    low, high = ((end,) * (2 if len(expressions) > 1 else 1) for end in box)
    return search(Problem(tuple(expressions), low, high), {"budget": 10_000, "seed": seed, "polish": False, **options})


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("gap", [1e-4, 2e-4])
def test_a_near_miss_within_epsilon_is_no_root(gap, seed):
    assert alone([f"(x - 0.5)**2 + {gap}"], (-2, 2), seed).answer() == "no root"


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_narrow_valley_is_followed_to_its_root(seed):
    found = alone(["3*(x - y) + 0.1*(x + y - 1)", "0.5*(x + y - 1)"], (-2, 2), seed)
    assert len(found.roots) == 1
    assert found.roots[0]["at"] == pytest.approx([0.625, 0.625], abs=1e-3)


def test_probabilities_can_be_chosen():
    plain = alone(["sin(3*x)"], (-5, 5), 1)
    assert alone(["sin(3*x)"], (-5, 5), 1, crossover=1.0, mutation=1.25).roots == plain.roots
    assert alone(["sin(3*x)"], (-5, 5), 1, crossover=0.5, mutation=2.0).curve != plain.curve
