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


@pytest.mark.parametrize("seed", [1, 2])
def test_two_circles_that_nearly_touch_have_two_roots(seed):
    found = alone(["x**2 + y**2 - 1", "(x - 1.9998)**2 + y**2 - 1"], (-2, 3), seed)
    heights = sorted(-2 + 5 * root["at"][1] for root in found.roots)
    assert heights == pytest.approx([-0.0141418, 0.0141418], abs=2e-4)


@pytest.mark.parametrize("seed", [1, 2])
def test_roots_below_what_the_bits_can_show_are_found(seed):
    """One step of 32 bits moves |f| past epsilon here: a population as small as the bits can show is judged as well."""
    found = alone(["cbrt(sin(2*x))"], (-4, 4), seed)
    assert len(found.roots) == 5


@pytest.mark.parametrize("text", ["floor(x) + 0.5", "1/x", "exp(-x**2)", "1 + 0.9*sin(40*x)"])
def test_the_operators_call_no_jump_pole_tail_or_ripple_a_root(text):
    assert alone([text], (-6, 6), 1).answer() == "no root"


@pytest.mark.parametrize("seed", [1, 2])
def test_a_valley_askew_in_five_unknowns_is_followed(seed):
    """Along the valley the product changes slowly; no step along one coordinate alone stays in it."""
    total = "x1 + x2 + x3 + x4 + x5 - 6"
    texts = [f"x{number} + {total}" for number in range(1, 5)] + ["x1*x2*x3*x4*x5 - 1"]
    problem = Problem(tuple(texts), (-10.0,) * 5, (10.0,) * 5)
    found = search(problem, {"budget": 20_000, "seed": seed, "polish": False})
    assert found.roots
