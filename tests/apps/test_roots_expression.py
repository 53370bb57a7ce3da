"""Formulas: what they compute, what is refused, and that the message points at the character."""

import math

import numpy as np
import pytest

from tasksprint.apps.roots.expression import (
    ExpressionError,
    compile_program,
    dimensions_of,
    variables,
)


def value(text, *point):
    return compile_program([text], len(point))(np.array([point], dtype=float))[0, 0]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x + 2*y - z/4", 1 + 4 - 0.75),
        ("x1 + 2*x2 - x3/4", 1 + 4 - 0.75),
        ("-x**2", -1.0),
        ("2**-y", 0.25),
        ("(x + y)**3", 27.0),
        ("z**-2", 1 / 9),
        ("z**0", 1.0),
        ("2**y**z", 256.0),
        ("z % 2", 1.0),
        ("pow(z, 2)", 9.0),
        ("max(x, y, z) + min(x, y)", 4.0),
        ("atan2(y, x) - arctan(y)", 0.0),
        ("  sin(pi/2) + e - exp(1)", 1.0),
        ("cbrt(-8*x)", -2.0),
        ("ln(e**2) + log10(100)", 4.0),
        ("abs(-z) + sign(-y) + sqrt(4)", 4.0),
        ("hypot(z, 4) + floor(1.5) + 1e1", 16.0),
        ("+x", 1.0),
    ],
)
def test_values(text, expected):
    assert value(text, 1.0, 2.0, 3.0) == pytest.approx(expected, abs=1e-14)


def test_many_points_at_once_and_nothing_raised():
    program = compile_program(["1/x", "log(x)", "sqrt(x)"], 1)
    got = program(np.array([[0.0], [-1.0], [4.0]]))
    assert got.shape == (3, 3)
    assert np.isinf(got[0, 0])
    assert np.isnan(got[1, 1])
    assert got[2].tolist() == [0.25, math.log(4.0), 2.0]


def test_equal_parts_are_computed_once():
    program = compile_program(["sin(x+y) + 1", "sin(x+y) * 2", "(x+y)**4"], 2)
    assert len(program.instructions) == 6  # x+y, sin, +1, *2, two squarings


def test_long_sums_are_not_deep():
    assert value("+".join(["x"] * 900), 1.0) == 900.0


def test_dimensions_are_counted():
    assert dimensions_of(["sin(x)"]) == 1
    assert dimensions_of(["x + z"]) == 3
    assert dimensions_of(["x1 + x12*exp(1)", "x3"]) == 12
    assert "y" not in variables(4)
    with pytest.raises(ValueError, match="1 to 200 unknowns"):
        variables(0)


@pytest.mark.parametrize(
    ("text", "column", "message"),
    [
        ("sin(foo*x)", 5, "unknown name 'foo'"),
        ("  foo(x)", 3, "unknown name 'foo'"),
        ("x.__class__", 1, "attribute"),
        ("__import__('os').system('id')", 1, "only a function of the list"),
        ("__import__('os')", 1, "unknown name"),
        ("(lambda: 1)()", 1, "only a function of the list"),
        ("x[0]", 1, "subscript"),
        ("x**9**9", 4, "exponent"),
        ("x**1000", 4, "exponent 1000 is beyond 100"),
        ("pow(x, 101)", 8, "exponent 101"),
        ("10**1000", 5, "exponent 1000"),
        ("1e999*x", 1, "too large"),
        ("x + 1/0", 7, "no finite number"),
        ("x^2", 3, "powers are written"),
        ("x = 3", 3, "write an equation"),
        ("sin x", 5, "cannot be read"),
        ("sin", 1, "needs its arguments"),
        ("sin(x, x)", 1, "takes 1 argument, not 2"),
        ("max(x)", 1, "takes 2 arguments, not 1"),
        ("sin(x=1)", 1, "plain arguments"),
        ("sin(*x)", 1, "plain arguments"),
        ("x if x else 1", 1, "condition"),
        ("x < 1", 1, "comparison"),
        ("x and x", 1, "logical"),
        ("not x", 1, "signs only"),
        ("[x]", 1, "list"),
        ("x, x", 1, "comma"),
        ("'a'", 1, "real numbers"),
        ("f'{x}'", 1, "string"),
        ("True", 1, "real numbers"),
        ("1j*x", 1, "real numbers"),
        ("(y:=x)", 2, "assignment"),
        ("x # y", 3, "not allowed"),
        ("x\n+x", 2, "not allowed"),
        ("", 1, "empty"),
        ("pi(x)", 1, "'pi' is no function"),
        ("é + x", 1, "unknown name 'é'"),
        ("'é' + foo", 1, "real numbers"),
        ("x*é*foo", 3, "unknown name 'é'"),
    ],
)
def test_refusals_point_at_the_character(text, column, message):
    with pytest.raises(ExpressionError, match=message) as caught:
        compile_program([text], 1)
    assert caught.value.column + 1 == column
    first, shown, mark, *_ = str(caught.value).split("\n")
    assert first.endswith(f"at character {column}")
    assert mark == " " * (column + 1) + "^" or "\n" in text
    assert shown.strip() == text.strip() or "\n" in text


def test_unknown_names_list_what_is_known():
    with pytest.raises(ExpressionError, match=r"known: x1 x2 x y pi e tau, and the functions .*cbrt.*sin"):
        compile_program(["foo"], 2)
    with pytest.raises(ExpressionError, match=r"known: x1 \.\.\. x20 pi"):
        compile_program(["foo"], 20)


@pytest.mark.parametrize(
    "text",
    [
        "(" * 200 + "x" + ")" * 200,
        "-" * 5000 + "x",
        "2**" * 300 + "x",
        "sin(" * 150 + "x" + ")" * 150,
        "x" + "+x" * 9000,
        "x+" * 15_000 + "x",
        "9" * 5000,
        "abs(-" * 90 + "x" + ")" * 90,
    ],
)
def test_large_and_deep_formulas_are_refused_at_once(text):
    with pytest.raises(ExpressionError):
        compile_program([text], 1)
