"""Text to vectorised numpy, without ever evaluating the text.

A formula is parsed with `ast` and walked: each kind of node that we know becomes an instruction, everything else is
refused with a message that points at the character. What comes out is a program for a small register machine, one
numpy call an instruction; equal subexpressions, also of different equations, share one register, and what is constant
is computed once. All numbers are float64, so that no formula costs more than its length: there are no long integers.

Caps: the length of the text, the nodes, the depth, and constant exponents. They keep the parser and the stack safe, and
tell the user of a formula that could only overflow.
"""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

CHARACTERS_MAX = 20_000
NODES_MAX = 5_000
DEPTH_MAX = 100
EXPONENT_MAX = 100
DIMENSIONS_MAX = 200
LETTERS = ("x", "y", "z")

CONSTANTS = {"pi": math.pi, "e": math.e, "tau": math.tau}

FUNCTIONS: dict[str, tuple[int, Callable[..., Any]]] = {  # name: how many arguments, the vectorised function
    **{name: (1, getattr(np, name)) for name in ("sin", "cos", "tan", "sinh", "cosh", "tanh", "exp", "sqrt", "cbrt")},
    **{name: (1, getattr(np, name)) for name in ("log", "log2", "log10", "log1p", "expm1", "floor", "ceil", "sign")},
    **{name: (1, getattr(np, "arc" + name[1:])) for name in ("asin", "acos", "atan", "asinh", "acosh", "atanh")},
    **{name: (1, getattr(np, name)) for name in ("arcsin", "arccos", "arctan", "arcsinh", "arccosh", "arctanh")},
    "ln": (1, np.log),
    "abs": (1, np.abs),
    "round": (1, np.rint),
    "atan2": (2, np.arctan2),
    "hypot": (2, np.hypot),
    "min": (2, np.minimum),
    "max": (2, np.maximum),
    "mod": (2, np.mod),
    "pow": (2, np.power),
}

OPERATORS: dict[type, Callable[..., Any]] = {
    ast.Add: np.add,
    ast.Sub: np.subtract,
    ast.Mult: np.multiply,
    ast.Div: np.divide,
    ast.Mod: np.mod,
    ast.Pow: np.power,
}


class ExpressionError(ValueError):
    """A formula that we refuse; the message shows the formula with a mark under the character."""

    def __init__(self, reason: str, text: str, column: int, hint: str = "") -> None:
        self.reason, self.text, self.column = reason, text, column
        start = max(0, column - 60)
        shown = text[start : column + 60]
        super().__init__(
            f"{reason}, at character {column + 1}\n  {shown}\n  {' ' * (column - start)}^{hint and chr(10) + hint}"
        )


@dataclass(frozen=True)
class Instruction:
    function: Callable[..., Any]
    arguments: tuple[int, ...]  # registers


@dataclass(frozen=True)
class Program:
    """Compiled formulas: `program(points)` gives one column a formula, for points in rows. NaN stays NaN."""

    dimensions: int
    constants: tuple[tuple[int, float], ...]
    instructions: tuple[tuple[int, Instruction], ...]
    results: tuple[int, ...]
    size: int

    def __call__(self, points: Array) -> Array:
        columns = np.ascontiguousarray(points.T)
        registers: list[Any] = [None] * self.size
        registers[: self.dimensions] = list(columns)
        for at, value in self.constants:
            registers[at] = value
        with np.errstate(all="ignore"):
            for at, instruction in self.instructions:
                registers[at] = instruction.function(*[registers[argument] for argument in instruction.arguments])
        out = np.empty((len(points), len(self.results)))
        for column, at in enumerate(self.results):
            out[:, column] = registers[at]
        return out


def names_in(texts: Sequence[str]) -> set[str]:
    """The words of the formulas that are no function and no constant: a first look, before anything is parsed."""
    words = {word for text in texts for word in re.findall(r"(?<![\w.])[A-Za-z_]\w*", text)}
    return words - FUNCTIONS.keys() - CONSTANTS.keys()


def dimensions_of(texts: Sequence[str]) -> int:
    """How many unknowns the formulas speak of: the highest of x, y, z or x1, x2, ..."""
    highest = 1
    for name in names_in(texts):
        if name in LETTERS:
            highest = max(highest, LETTERS.index(name) + 1)
        elif re.fullmatch(r"x[1-9]\d{0,2}", name):
            highest = max(highest, int(name[1:]))
    return highest


def variables(dimensions: int) -> dict[str, int]:
    """What the unknowns may be called: x1 to xd, and x, y, z in up to three dimensions."""
    if not 1 <= dimensions <= DIMENSIONS_MAX:
        raise ValueError(f"a function has 1 to {DIMENSIONS_MAX} unknowns, not {dimensions}")
    known = {f"x{number + 1}": number for number in range(dimensions)}
    if dimensions <= len(LETTERS):
        known.update({letter: number for number, letter in enumerate(LETTERS[:dimensions])})
    return known


def compile_program(texts: Sequence[str], dimensions: int) -> Program:
    """Raises ExpressionError for the first thing that is not allowed."""
    if not texts:
        raise ValueError("there is no formula: give at least one")
    builder = Builder(dimensions)
    results = tuple(builder.formula(text) for text in texts)
    return builder.program(results)


class Builder:
    def __init__(self, dimensions: int) -> None:
        self.dimensions = dimensions
        self.variables = variables(dimensions)
        self.values: list[float | None] = [None] * dimensions  # of a register that is constant
        self.instructions: list[tuple[int, Instruction]] = []
        self.known: dict[Any, int] = {}
        self.text, self.nodes = "", 0

    def program(self, results: tuple[int, ...]) -> Program:
        needed = set(results)
        for at, instruction in reversed(self.instructions):
            if at in needed:
                needed.update(instruction.arguments)
        constants = tuple((at, v) for at, v in enumerate(self.values) if v is not None and at in needed)
        kept = tuple(pair for pair in self.instructions if pair[0] in needed)
        return Program(self.dimensions, constants, kept, results, len(self.values))

    def formula(self, text: str) -> int:
        self.text, self.nodes = text, 0
        return self.register(parsed(text), 0)

    def refuse(self, reason: str, node: ast.AST, hint: str = "") -> ExpressionError:
        line = self.text.lstrip().encode()
        offset = getattr(node, "col_offset", 0)
        indent = len(self.text) - len(self.text.lstrip())
        return ExpressionError(reason, self.text, indent + len(line[:offset].decode(errors="replace")), hint)

    def register(self, node: ast.expr, depth: int) -> int:
        """The register that will hold the value of this node."""
        self.nodes += 1
        if self.nodes > NODES_MAX:
            raise self.refuse(f"the formula has more than {NODES_MAX} parts", node)
        if depth > DEPTH_MAX:
            raise self.refuse(f"the formula is nested deeper than {DEPTH_MAX} levels", node)
        if isinstance(node, ast.Constant):
            return self.number(node)
        if isinstance(node, ast.Name):
            return self.name(node)
        if isinstance(node, ast.UnaryOp):
            return self.unary(node, depth)
        if isinstance(node, ast.BinOp):
            return self.binary(node, depth)
        if isinstance(node, ast.Call):
            return self.call(node, depth)
        raise self.refuse(f"{NOT_ALLOWED.get(type(node), 'this')} is not allowed in a formula", node)

    def number(self, node: ast.Constant) -> int:
        if isinstance(node.value, bool) or not isinstance(node.value, int | float):
            raise self.refuse("only real numbers are allowed", node)
        try:
            value = float(node.value)
        except OverflowError:
            value = math.inf
        if math.isinf(value):
            raise self.refuse("the number is too large", node)
        return self.constant(value)

    def name(self, node: ast.Name) -> int:
        if node.id in self.variables:
            return self.variables[node.id]
        if node.id in CONSTANTS:
            return self.constant(CONSTANTS[node.id])
        if node.id in FUNCTIONS:
            raise self.refuse(f"the function {node.id} needs its arguments in parentheses", node)
        raise self.refuse(f"unknown name '{node.id}'", node, self.known_names())

    def known_names(self) -> str:
        unknowns = list(self.variables) if self.dimensions <= 6 else ["x1", "...", f"x{self.dimensions}"]
        return f"known: {' '.join(unknowns)} {' '.join(CONSTANTS)}, and the functions {' '.join(sorted(FUNCTIONS))}"

    def unary(self, node: ast.UnaryOp, depth: int) -> int:
        inner = self.register(node.operand, depth + 1)
        if isinstance(node.op, ast.UAdd):
            return inner
        if isinstance(node.op, ast.USub):
            return self.apply(np.negative, (inner,), node)
        raise self.refuse("of the signs only + and - are allowed", node)

    def binary(self, node: ast.BinOp, depth: int) -> int:
        """A chain such as a + b + c leans to the left: it is walked in a loop, so that long sums are not deep."""
        chain: list[ast.BinOp] = []
        left: ast.expr = node
        while isinstance(left, ast.BinOp) and not isinstance(left.op, ast.Pow):
            chain.append(left)
            left = left.left
        if not chain:
            return self.power(node, depth)
        value = self.register(left, depth + 1)
        for link in reversed(chain):
            self.nodes += 1
            function = OPERATORS.get(type(link.op))
            if function is None:
                hint = "; powers are written **" if isinstance(link.op, ast.BitXor) else ""
                raise self.refuse(f"of the operators only + - * / % ** are allowed{hint}", link.right)
            value = self.apply(function, (value, self.register(link.right, depth + 1)), link.right)
        return value

    def power(self, node: ast.BinOp, depth: int) -> int:
        base, exponent = self.register(node.left, depth + 1), self.register(node.right, depth + 1)
        return self.raised(base, exponent, node.right)

    def raised(self, base: int, exponent: int, node: ast.expr) -> int:
        value = self.values[exponent]
        if value is not None and abs(value) > EXPONENT_MAX:
            raise self.refuse(f"the exponent {value:g} is beyond {EXPONENT_MAX}", node)
        if value is None or value != int(value) or self.values[base] is not None:
            return self.apply(np.power, (base, exponent), node)
        return self.whole_power(base, int(value), node)

    def whole_power(self, base: int, exponent: int, node: ast.expr) -> int:
        """By squaring: many times faster than a general power, and the same on every machine."""
        if exponent == 0:
            return self.constant(1.0)
        if exponent < 0:
            return self.apply(np.divide, (self.constant(1.0), self.whole_power(base, -exponent, node)), node)
        result, square = -1, base
        while exponent:
            if exponent & 1:
                result = square if result < 0 else self.apply(np.multiply, (result, square), node)
            exponent >>= 1
            if exponent:
                square = self.apply(np.multiply, (square, square), node)
        return result

    def call(self, node: ast.Call, depth: int) -> int:
        if not isinstance(node.func, ast.Name):
            raise self.refuse("only a function of the list may be called, by its name", node)
        name = node.func.id
        if name not in FUNCTIONS:
            what = (
                f"'{name}' is no function" if name in self.variables or name in CONSTANTS else f"unknown name '{name}'"
            )
            raise self.refuse(what, node, self.known_names())
        count, function = FUNCTIONS[name]
        if node.keywords or any(isinstance(argument, ast.Starred) for argument in node.args):
            raise self.refuse(f"{name} takes plain arguments only", node)
        many = name in ("min", "max") and len(node.args) >= 2
        if len(node.args) != count and not many:
            raise self.refuse(f"{name} takes {count} argument{'s' * (count > 1)}, not {len(node.args)}", node)
        values = [self.register(argument, depth + 1) for argument in node.args]
        if name == "pow":
            return self.raised(values[0], values[1], node.args[1])
        result = self.apply(function, tuple(values[:count]), node)
        for value in values[count:]:
            result = self.apply(function, (result, value), node)
        return result

    def constant(self, value: float) -> int:
        return self.place(("number", value.hex()), value)

    def place(self, key: Any, value: float | None) -> int:
        if key not in self.known:
            self.known[key] = len(self.values)
            self.values.append(value)
        return self.known[key]

    def apply(self, function: Callable[..., Any], arguments: tuple[int, ...], node: ast.AST) -> int:
        key = (function, arguments)
        if key in self.known:
            return self.known[key]
        inputs = [self.values[argument] for argument in arguments]
        if all(value is not None for value in inputs):
            with np.errstate(all="ignore"):
                result = float(function(*inputs))
            if not math.isfinite(result):
                raise self.refuse("this part is constant, and no finite number", node)
            return self.constant(result)
        at = self.place(key, None)
        self.instructions.append((at, Instruction(function, arguments)))
        return at


NOT_ALLOWED: dict[type, str] = {
    ast.Attribute: "an attribute (a dot after a name)",
    ast.Subscript: "a subscript",
    ast.Lambda: "a lambda",
    ast.Compare: "a comparison",
    ast.BoolOp: "a logical operator",
    ast.IfExp: "a condition",
    ast.List: "a list",
    ast.Tuple: "a comma outside a function's arguments",
    ast.Dict: "a dictionary",
    ast.Set: "a set",
    ast.ListComp: "a comprehension",
    ast.GeneratorExp: "a comprehension",
    ast.SetComp: "a comprehension",
    ast.DictComp: "a comprehension",
    ast.NamedExpr: "an assignment",
    ast.JoinedStr: "a string",
    ast.Await: "await",
    ast.Starred: "a star before a name",
}


def parsed(text: str) -> ast.expr:
    """The tree of one formula; what the parser says about an error is kept, with its place."""
    if len(text) > CHARACTERS_MAX:
        raise ExpressionError(f"the formula has more than {CHARACTERS_MAX} characters", text, CHARACTERS_MAX)
    if not text.strip():
        raise ExpressionError("the formula is empty", text, 0)
    for column, character in enumerate(text):
        if character in "\n\r\f\v\0#;\\":
            raise ExpressionError(f"the character {character!r} is not allowed in a formula", text, column)
    _check_nesting(text)
    indent = len(text) - len(text.lstrip())
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except SyntaxError as error:
        column = max(0, min(len(text), indent + (error.offset or 1) - 1))
        hint = " (write an equation a = b as a - b)" if "=" in text else ""
        raise ExpressionError(f"cannot be read as a formula: {error.msg}{hint}", text, column) from None
    except (RecursionError, MemoryError):
        raise ExpressionError(f"the formula is nested deeper than {DEPTH_MAX} levels", text, 0) from None
    except ValueError as error:
        raise ExpressionError(f"cannot be read as a formula: {error}", text, 0) from None
    return tree


def _check_nesting(text: str) -> None:
    """Before the parser sees it: parentheses, and runs of signs or powers, which nest without parentheses."""
    depth = 0
    for column, character in enumerate(text):
        depth += (character in "([{") - (character in ")]}")
        if depth > DEPTH_MAX:
            raise ExpressionError(f"the formula is nested deeper than {DEPTH_MAX} levels", text, column)
    chain = re.search(rf"(?:[-+~]\s*){{{DEPTH_MAX},}}|(?:\*\*[^*]*){{{DEPTH_MAX},}}", text)
    if chain:
        raise ExpressionError(f"more than {DEPTH_MAX} signs or powers in a row", text, chain.start())
