"""The search in one process: all roots, their kinds, no false ones, within the budget, the same for the same seed."""

import math

import numpy as np
import pytest

from tasksprint.apps.roots import clusters, report
from tasksprint.apps.roots.coverage import coverage
from tasksprint.apps.roots.local import search
from tasksprint.apps.roots.problem import Meter, Problem, norms, quiet_level
from tasksprint.apps.roots.tasks import TASKS


def found(expressions, low, high, budget, dimensions=1, seed=3, **options):
    texts = (expressions,) if isinstance(expressions, str) else tuple(expressions)
    lows, highs = (
        (tuple(map(float, end)) if isinstance(end, tuple) else (float(end),) * dimensions) for end in (low, high)
    )
    state = search(Problem(texts, lows, highs), {"budget": budget, "seed": seed, **options})
    assert state.used <= budget
    assert state.reserved == 0
    return report.result(state)


def points(values):
    return np.array([root["point"] for root in values["roots"]])


def kinds(values):
    return [(root["kind"], root["multiplicity"]) for root in values["roots"]]


def test_the_demo_in_a_few_thousand_evaluations():
    for seed in range(5):
        values = found("sin(3*x)*cos(x/2)", -20, 20, 5000, seed=seed)
        assert len(values["roots"]) == 39
        tangential = [root["point"][0] / math.pi for root in values["roots"] if root["kind"] == "tangential"]
        assert tangential == pytest.approx([-5, -3, -1, 1, 3, 5])


@pytest.mark.parametrize(
    ("text", "low", "high", "expected", "kind"),
    [
        ("sin(x)", 0, 2 * math.pi, [0, math.pi, 2 * math.pi], ("crossing", 1)),
        ("(x-1)*(x-1.001)", -5, 5, [1, 1.001], ("crossing", 1)),
        ("(x-1)*(x-1.0001)", -5, 5, [1, 1.0001], ("crossing", 1)),
        ("(x-0.3)**3", -2, 2, [0.3], ("crossing", 3)),
        ("(x-0.3)**2", -2, 2, [0.3], ("tangential", 2)),
        ("abs(x-0.3)", -2, 2, [0.3], ("tangential", None)),
        ("cbrt(sin(2*x))", -2, 2, [-math.pi / 2, 0, math.pi / 2], ("crossing", 1)),
        ("sin(x)/cos(x)", -4, 4, [-math.pi, 0, math.pi], ("crossing", 1)),
        ("atan(1000*(x-0.123))", -1, 1, [0.123], ("crossing", 1)),
        ("sin(1/x)", 0.05, 1, [1 / (k * math.pi) for k in range(6, 0, -1)], ("crossing", 1)),
        ("sqrt(x)", -1, 2, [0], ("tangential", None)),
        ("sqrt(x)", -2, 2, [0], ("tangential", None)),  # where two cells meet
        ("sqrt(1-x**2)", -3, 2.5, [-1, 1], ("tangential", None)),
    ],
)
def test_roots_on_the_line(text, low, high, expected, kind):
    values = found(text, low, high, 3000)
    assert points(values)[:, 0] == pytest.approx(expected, abs=1e-5)
    assert set(kinds(values)) == {kind}


@pytest.mark.parametrize(
    "text",
    [
        "(x-0.5)**2 + 0.0001",
        "(x-0.5)**2 + 1e-8",
        "1/x",
        "floor(x)+0.5",
        "exp(-x)",
        "sign(x-0.1)",
        "1/x**2",
        "x**2+1",
        "sqrt(x-9)",
        "sqrt(x)+0.5",
        "1/sqrt(x)",
    ],
)
def test_near_misses_poles_jumps_and_tails_are_no_roots(text):
    values = found(text, -2, 3.1, 1500)
    assert values["answer"] == "no root"
    assert "no root in the box" in report.table(values)
    assert found("exp(-x)", 0, 50, 1500)["answer"] == "no root"


def test_no_root_after_few_evaluations_is_told_with_a_warning():
    assert any("999 evaluations are few for 1 unknown" in each for each in found("x**2+1", -2, 3, 999)["warnings"])
    assert not found("x**2+1", -2, 3, 1000)["warnings"]
    assert not found("x-1", -2, 3, 999)["warnings"]


def test_poles_are_counted_and_undefined_places_told():
    values = found("sin(x)/cos(x) + log(x)*0", -4, 4, 2000)
    assert values["poles"] >= 1
    assert any("undefined" in warning for warning in values["warnings"])


@pytest.mark.parametrize(
    ("expressions", "dimensions"),
    [
        ("(abs(x)-1 + abs(abs(x)-1))/2", 1),
        ("0*x", 1),
        (["x**2 + y**2 - 1"], 2),
        (["x*y", "x*(y-1)"], 2),
        (["x-y", "2*x-2*y"], 2),
        (["x**2+y**2+z**2-1", "x-y"], 3),
        ("abs(x-y)", 2),
        ("(x-y)**2", 2),
        ("abs(x+y-z)", 3),
        ("x1**2+x2**2+x3**2+x4**2+x5**2-1", 5),
    ],
)
def test_a_continuum_is_named_and_ends_the_search(expressions, dimensions):
    values = found(expressions, -3, 3, 20_000, dimensions)
    assert values["answer"] == "continuum"
    assert values["evaluations"] < 10_000
    assert "continuum" in report.table(values)[0]


def test_systems():
    values = found(["x1 - cos(4*pi*x2)", "x1**2 + x2**2 - 1"], -1, 1, 5000, 2)
    assert len(values["roots"]) == 15
    assert kinds(values)[-1] == ("singular", None)
    assert kinds(values)[:-1] == [("crossing", 1)] * 14
    close = found(["x1**2 + x2**2 - 1", "(x1-1.99999)**2 + x2**2 - 1"], (-2, -2), (4, 2), 3000, 2)
    assert points(close)[:, 1] == pytest.approx([-0.0031622737, 0.0031622737], abs=1e-7)


def test_one_equation_in_two_unknowns_with_kinks():
    values = found("max(abs(sin(x)), abs(sin(y)))", -0.5, 4, 6000, 2)
    got = sorted(tuple(round(value, 6) + 0.0 for value in point) for point in points(values))
    assert got == [(a, b) for a in (0.0, 3.141593) for b in (0.0, 3.141593)]
    assert {kind for kind, _ in kinds(values)} == {"tangential"}


def test_more_equations_than_unknowns_and_cube_roots():
    root = 2**-0.5
    over = found(["x**2+y**2-1", "x-y", "x*y-0.5"], -2, 2, 3000, 2)
    upright = found(["cbrt(x**2+y**2-1)", "cbrt(x-y)"], -2, 2, 6000, 2)
    for values in (over, upright):
        assert points(values) == pytest.approx(np.array([[-root, -root], [root, root]]), abs=1e-6)


def test_fewer_equations_than_unknowns_with_roots_that_stand_alone():
    squares = "+".join(f"x{number}**2" for number in range(3, 9))
    values = found([f"x1**2+x2**2+{squares}-1", f"abs(x1-x2)+{squares}"], -1, 1, 20_000, 8)
    root = 2**-0.5
    assert points(values) == pytest.approx(np.array([[-root] * 2 + [0] * 6, [root] * 2 + [0] * 6]), abs=1e-3)
    assert {kind for kind, _ in kinds(values)} == {"singular"}


def test_what_is_found_gets_its_verdict_before_the_budget_ends():
    """Sixteen roots on 8,000 evaluations, with polishes that cost several times what is planned for one."""
    pairs = (("x2", "x3"), ("x3", "x1"), ("x1", "x2"))
    cyclic = [f"-13 - {a}**2 - {b}**2 + 24*{a}*{b} - {a}**2*{b}**2" for a, b in pairs]
    values = found(cyclic, -20, 20, 8000, 3)
    assert len(values["roots"]) == 16
    assert not [cluster for cluster in values["clusters"] if cluster["residual"] < 1e-9]


def test_the_operators_alone_find_roots_within_epsilon():
    values = found(["4*x1**3 - 3*x1 - x2", "x1**2 - x2"], (-5, 0), (1.5, 5), 20_000, 2, polish=False)
    assert points(values) == pytest.approx(np.array([[-0.75, 0.5625], [0, 0], [1, 1]]), abs=1e-2)
    assert {kind for kind, _ in kinds(values)} == {"unjudged"}


def test_the_same_seed_gives_the_same_bytes_and_another_seed_another_path():
    one, two, other = (report.as_json(found("cos(x**2)", 0, 10, 2000, seed=seed)) for seed in (1, 1, 2))
    assert one == two != other


@pytest.mark.parametrize("budget", [32, 50, 100, 333])
def test_small_budgets_are_kept(budget):
    found("sin(3*x)*cos(x/2)", -20, 20, budget)
    found(["x1 - sin(5*pi*x2)", "x1 - x2"], -1, 1, budget, 2)
    found("abs(sin(x)) + abs(sin(y))", -1, 4, budget, 2)
    found(["x1 - sin(5*pi*x2)", "x1 - x2"], -1, 1, budget, 2, polish=False)


def test_64_bits():
    values = found(["x1 - x2", "x1 + x2 - 1"], -1, 1, 400, 2)
    wide = search(
        Problem(("x1 - x2", "x1 + x2 - 1"), (-1.0, -1.0), (1.0, 1.0), bits=64), {"budget": 4000, "polish": False}
    )
    assert points(values) == pytest.approx(np.array([[0.5, 0.5]]))
    assert len(wide.roots) == 1


def test_the_meter_never_exceeds_its_allowance():
    meter = Meter(Problem(("x",), (0.0,), (1.0,)), 5)
    assert np.isfinite(meter(np.full((3, 1), 0.5))).all()
    assert np.isinf(meter(np.full((4, 1), 0.5))[2:]).all()
    assert (meter.used, meter.left) == (5, 0)


def test_nothing_finite_is_needed_for_the_quiet_level():
    assert quiet_level(np.array([np.inf, np.inf])) == 0.0
    assert quiet_level(np.array([1e20, 1e20])) == 1e-9
    assert norms(np.array([[3.0, 4.0], [1e200, 1e200]])).tolist() == [5.0, math.inf]


def test_cells_fill_the_box():
    for dimensions, count in ((1, 8), (2, 8), (3, 5), (10, 16)):
        cells = clusters.cells_of(dimensions, count)
        volumes = [math.prod(h - low for low, h in zip(cell["low"], cell["high"], strict=True)) for cell in cells]
        assert sum(volumes) == 1.0
        assert count / 2 < len(cells) <= count


def test_clusters_merge_and_leave_out_what_is_known():
    def place(at, size, task):
        return {"at": at, "size": size, "spread": 0.001, "tasks": [task]}

    places = [
        place([0.5, 0.5], 0.2, 1),
        place([0.5005, 0.5], 0.1, 2),
        place([0.9, 0.9], 0.3, 3),
        place([0.2, 0.2], 0.1, 4),
    ]
    known = [{"at": [0.2, 0.2005]}, {"at": [0.7, 0.7]}]
    merged = clusters.merged(places, known, [{"at": [0.9, 0.9], "size": 0.4, "spread": 0.01}], 0.001)
    assert [(cluster["size"], cluster["tasks"]) for cluster in merged] == [(0.1, [1, 2])]


def test_the_coverage_estimate():
    assert coverage([]) == {"coverage": 0.0, "draws": 0, "once": 0, "missing": 0.0}
    assert coverage([1, 1, 1])["coverage"] == 0.0
    assert coverage([10, 10, 1])["coverage"] == pytest.approx(1 - 1 / 21, abs=1e-6)
    assert coverage([5, 6])["missing"] == 0.0


def test_unsearched_places_beat_uniform_samples():
    """The scheduler's choice of starts: fewer evaluations for the chirp's 32 roots than uniform starts need."""
    chosen, uniform = (
        sum(len(found("cos(x**2)", 0, 10, 500, seed=seed, starts=starts)["roots"]) for seed in range(6))
        for starts in ("unsearched", "uniform")
    )
    assert chosen > uniform


def test_every_task_stays_within_its_allowance(monkeypatch):
    def checked(kind):
        task = TASKS[kind]

        def run(args, inputs, function=None):
            result = task(args, inputs, function)
            assert result.findings["used"] <= args["allowance"]
            return result

        return run

    for kind in list(TASKS):
        monkeypatch.setitem(TASKS, kind, checked(kind))
    found("sin(3*x)*cos(0.5*x)*(1+0.9*sin(500*x))", -20, 20, 2500)
    found("abs(cos(2*x1)-cos(2*x2)-0.4) + abs(2*(x2-x1)+sin(2*x2)-sin(2*x1)-1.2)", -10, 10, 2500, 2)
