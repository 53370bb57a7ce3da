"""The root finder's input: what is refused, what is warned of, and the picture's need."""

import pytest

from tasksprint.apps.roots import command, plot


def problem_of(**more):
    return command.described(["sin(x)"], (-1, 1), **more)


def test_arguments():
    args = command.described(["x - y", "x + y"], ((-1, 1), (0, 2)), budget=500, seed=9)
    assert args["problem"]["lo"] == [-1.0, 0.0]
    assert args["problem"]["hi"] == [1.0, 2.0]
    assert (args["options"]["budget"], args["options"]["seed"]) == (500, 9)
    assert command.described(["x - y"], (-1, 1), epsilon=1.0)["problem"]["lo"] == [-1.0, -1.0]
    assert problem_of()["warnings"] == []


@pytest.mark.parametrize(
    ("box", "message"),
    [
        ((1, 1), "empty in x1"),
        ((2, 1), "lower end comes first"),
        ((0, float("inf")), "infinite in x1"),
        ((float("nan"), 1), "infinite in x1"),
        ((), "upper end: --box LOW HIGH, or box=LOW,HIGH as a word"),
        ((1, 2, 3), "needs a lower and an upper end"),
        (("a", "b"), "pairs of numbers"),
        ((0, 1, 0, 1), "1 unknowns, the box has 2 pairs"),
        ((-1e308, 1e308), "too wide"),
    ],
)
def test_boxes_that_are_refused(box, message):
    with pytest.raises(command.InputError, match=message):
        command.described(["sin(x)"], box)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"budget": 3}, "budget is a whole number from 32"),
        ({"budget": 1.5}, "budget is a whole number"),
        ({"seed": -1}, "seed is a whole number"),
        ({"time_s": 0}, "search time"),
        ({"bits": 16}, "32 or 64"),
        ({"epsilon": 0.0}, "epsilon must be above zero"),
        ({"closeness": -1.0}, "closeness must be above zero"),
        ({"starts": "here"}, "unsearched or uniform"),
        ({"hurry": 1}, "unknown options hurry"),
        ({"epsilon": "a"}, "epsilon is a number, not 'a'"),
        ({"closeness": [1]}, "closeness is a number"),
        ({"bits": "64"}, "bits is a whole number"),
        ({"dimensions": "2"}, "dimensions is a whole number"),
        ({"dimensions": -1}, "dimensions is a whole number, not below zero"),
        ({"equations": 3}, "there are 1 formulas, and equations says 3"),
        ({"callable": 3}, "written module:function, not 3"),
        ({"callable": "module"}, "written module:function, not 'module'"),
    ],
)
def test_options_that_are_refused(more, message):
    with pytest.raises(command.InputError, match=message):
        problem_of(**more)


@pytest.mark.parametrize("expressions", [3, "x", [["x"]], [3], {"x": 1}])
def test_formulas_that_are_no_texts(expressions):
    with pytest.raises(command.InputError, match="expressions are texts"):
        command.described(expressions, (-1, 1))


def test_formulas_and_functions_exclude_each_other():
    with pytest.raises(command.InputError, match=r"either formulas \(in a file: expressions\)"):
        command.described([], (0, 1))
    with pytest.raises(command.InputError, match="either formulas"):
        command.described(["x"], (0, 1), callable="a:b")
    with pytest.raises(command.ExpressionError, match="unknown name 'foo'"):
        command.described(["sin(foo)"], (0, 1))


def test_a_number_among_formulas_is_most_likely_an_end_of_the_box():
    with pytest.raises(command.InputError, match="equation 3 is the number 0, .*a --box of its own"):
        command.arguments(["x - 1", "y - 2", "0", "3", "box=0,3"])


def test_a_function_that_is_infinite_in_places_can_be_looked_at():
    assert "undefined in about" in command.described(["exp(1000*x) - 2"], (-5, 5))["warnings"][0]


def test_warnings():
    assert "constant (3) and never zero" in command.described(["3 + 0*x"], (0, 1))["warnings"][0]
    assert "zero everywhere" in command.described(["0*x"], (0, 1))["warnings"][0]
    assert "undefined" in command.described(["sqrt(x)"], (-1, 1))["warnings"][0]
    coarse = command.described(["sin(x)"], (-1000, 1000), epsilon=1e-9)["warnings"]
    assert "one step of 32 bits moves |f| by" in coarse[0]
    assert command.described(["sin(x)"], (-1000, 1000), epsilon=1e-9, bits=64)["warnings"] == []
    with pytest.raises(command.InputError, match="no finite value anywhere"):
        command.described(["log(-1-x**2)"], (-1, 1))


def test_a_toml_file(tmp_path):
    path = tmp_path / "problem.toml"
    path.write_text('expressions = "sin(x)"\nbox = [-1, 1]\nbudget = 99\npolish = false\n')
    args = command.from_toml(path, seed=4)
    assert args["options"]["budget"] == 99
    assert args["options"]["polish"] is False
    assert args["options"]["seed"] == 4
    path.write_text("surprise = 1")
    with pytest.raises(command.InputError, match="unknown names surprise"):
        command.from_toml(path)
    with pytest.raises(command.InputError, match="cannot read"):
        command.from_toml(tmp_path / "missing.toml")


def test_a_picture_says_what_it_needs(monkeypatch):
    def missing(name):
        raise ImportError(name)

    monkeypatch.setattr(plot.importlib, "import_module", missing)
    with pytest.raises(plot.NoPlots, match=r"tasksprint\[plots\]"):
        plot.draw({"problem": {"lo": [0]}}, "x.png")
