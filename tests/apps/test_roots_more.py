"""Problems of other kinds (bench/roots_more.json): poles, jumps, tails, flat and close roots, odd scales, continua.

Those tagged `hard` need more than a tenth of their budgets for all roots in nearly every run: here they must only name
nothing wrong. Those tagged `weak` are listed wrongly (docs/roots.md says how); here only their references are checked.
"""

import json
from pathlib import Path

import numpy as np
import pytest

from tasksprint.apps.roots.local import search
from tasksprint.apps.roots.problem import Problem

ROWS = json.loads((Path(__file__).parents[2] / "bench/roots_more.json").read_text())
ANSWERS = {None: "continuum", 0: "no root"}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["id"])
def test_all_roots(row):
    problem = Problem(tuple(row["expr"]), tuple(map(float, row["lo"])), tuple(map(float, row["hi"])))
    expected = np.array(row["roots"] or []).reshape(-1, problem.dimensions)
    if len(expected):  # the reference is right: a cube root's residual is what rounding leaves of it
        assert np.abs(problem.compiled()(expected)).max() < 1e-4
    if "weak" in row["tags"]:
        return
    state = search(problem, {"budget": row["max_nfe"] // 10, "seed": 1})
    points = problem.points(np.array([root["at"] for root in state.roots]).reshape(-1, problem.dimensions))
    away = np.abs(points[:, None] - expected[None]).max(axis=2)
    if row["n_roots"] is not None:
        assert len(points) == 0 or (away.min(axis=1) < row["delta"]).all()
    if "hard" in row["tags"]:
        return
    assert state.answer() == ANSWERS.get(row["n_roots"], "roots")
    if row["n_roots"] is not None:
        assert len(points) == len(expected)
        assert len(set(away.argmin(axis=1).tolist()) if len(points) else ()) == len(expected)
