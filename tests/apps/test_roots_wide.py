"""How full the search keeps several nodes, in virtual time: what a costly function needs."""

import pytest

from tasksprint.apps.roots.local import search
from tasksprint.apps.roots.problem import Problem
from tasksprint.apps.roots.search import Search
from tasksprint.apps.roots.virtual import Nodes, efficiency

DEMO = Problem(("sin(3*x)*cos(x/2)",), (-20.0,), (20.0,))
SYSTEM = Problem(("x1**2 + x2**2 - 2", "sin(3*x1*x2) - x2**2/4"), (-2.0, -2.0), (2.0, 2.0))


@pytest.mark.parametrize(("problem", "budget"), [(DEMO, 1000), (DEMO, 3000), (SYSTEM, 1500), (SYSTEM, 4000)])
def test_two_nodes_are_nine_tenths_full(problem, budget):
    """So that they take at most 1/1.8 of the time of one, where an evaluation costs more than everything else."""
    assert efficiency(problem, {"budget": budget, "seed": 1}, 2) >= 0.9


def test_more_cells_fill_more_nodes():
    assert efficiency(SYSTEM, {"budget": 40_000, "seed": 1, "width": 16}, 4) >= 0.9


def test_nodes_do_not_change_what_is_found():
    options = {"budget": 1500, "seed": 3}
    expected = search(DEMO, options)
    for count in (1, 3):
        nodes = Nodes(DEMO, options, count, overhead=5.0)
        nodes.run()
        assert nodes.search.roots == expected.roots
        assert nodes.search.curve == expected.curve


@pytest.mark.parametrize(("budget", "cells"), [(500, 2), (20_000, 4), (100_000, 8), (1_000_000, 128), (10**9, 512)])
def test_the_width_follows_the_budget(budget, cells):
    assert len(Search(SYSTEM.as_arguments(), {"budget": budget, "polish": True}).cells) == cells
