"""What a program can check of the rules of the house (CONTRIBUTING.md)."""

import ast
import re
import subprocess
from functools import cache
from pathlib import Path

import pytest

HOUSE = Path(__file__).resolve().parent.parent
SOURCE = HOUSE / "src" / "tasksprint"
FILE_LINES = 500
FUNCTION_LINES = 60
BANNED = {"utils", "util", "helpers", "helper", "common", "manager", "misc"}

# Longer than the rule, each for a reason.
LONG_FILES: dict[str, str] = {}
LONG_FUNCTIONS: dict[str, str] = {}

# Limits that no room has asked for yet.
UNUSED_LIMITS: set[str] = set()


@cache
def tracked():
    """The files of the project: git's list, or all of them where this is no clone."""
    listing = subprocess.run(["git", "-C", HOUSE, "ls-files", "-z"], capture_output=True, check=False)
    if listing.returncode == 0 and listing.stdout:
        paths = [HOUSE / name for name in listing.stdout.decode().split("\0") if name]
        return [path for path in paths if path.is_file()]
    skipped = {".git", "build", "dist", "__pycache__"}
    found = [path for path in sorted(HOUSE.rglob("*")) if path.is_file() and path.suffix != ".so"]
    relative = [(path, path.relative_to(HOUSE).parts) for path in found]
    return [path for path, parts in relative if not skipped & set(parts) and not parts[0].startswith(".venv")]


@cache
def text_of(path):
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return ""


def python_files():
    return [path for path in tracked() if path.suffix == ".py"]


def modules():
    return [path for path in python_files() if SOURCE in path.parents]


def name_of(path):
    return str(path.relative_to(HOUSE))


def functions(path):
    """(qualified name, node) of each function of a file."""
    todo = [("", ast.parse(text_of(path)))]
    while todo:
        prefix, node = todo.pop()
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
                yield prefix + child.name, child
            inside = f"{prefix}{child.name}." if hasattr(child, "name") and child.name else prefix
            todo.append((inside, child))


def test_files_stay_short():
    long = {name_of(path) for path in python_files() if text_of(path).count("\n") > FILE_LINES}
    assert long == set(LONG_FILES), "ask which second idea has moved in"


def test_functions_stay_short():
    long = {
        f"{name_of(path)}:{name}"
        for path in python_files()
        for name, node in functions(path)
        if node.end_lineno - node.lineno + 1 > FUNCTION_LINES
    }
    assert long == set(LONG_FUNCTIONS)


def test_names_say_what_is_inside():
    for path in python_files():
        words = {word for part in path.relative_to(HOUSE).with_suffix("").parts for word in re.split(r"\W|_", part)}
        assert not words & BANNED, name_of(path)


def test_every_room_has_its_plaque():
    rooms = [path for path in modules() if path.name == "__init__.py"]
    assert len(rooms) > 10
    for path in rooms:
        plaque = ast.get_docstring(ast.parse(text_of(path))) or ""
        assert len(plaque) > 40, f"{name_of(path)} does not say what the room is for, and what it promises"


def test_every_module_says_what_it_is():
    for path in modules():
        assert ast.get_docstring(ast.parse(text_of(path))), f"{name_of(path)} has no docstring"


def test_public_functions_of_the_sdk_and_the_faces_are_documented():
    faces = [path for path in (SOURCE / "native").glob("*.py") if "_plain" not in path.name]
    for path in [SOURCE / "sdk" / "scheduler.py", SOURCE / "sdk" / "node.py", *faces]:
        for name, node in functions(path):
            obvious = name.split(".")[0].startswith("_") or name.split(".")[-1].startswith("_") or len(node.body) <= 1
            assert obvious or ast.get_docstring(node), f"{name_of(path)}: {name} has no docstring"


def test_no_place_of_a_machine_and_no_promise_for_later():
    words = ("/" + "work/", "/" + "home/", "pypi" + ".org", "TO" + "DO", "FIX" + "ME", "XX" + "X ")
    for path in tracked():
        for number, line in enumerate(text_of(path).splitlines(), 1):
            for word in words:
                assert word not in line, f"{name_of(path)}:{number} contains {word!r}"


def test_every_limit_is_used():
    limits = SOURCE / "limits.py"
    names = re.findall(r"^([A-Z_]+): Final", text_of(limits), re.MULTILINE)
    assert len(names) > 50
    everything = "\n".join(text_of(path) for path in modules() if path != limits)
    used = {name for name in names if re.search(rf"\b{name}\b", everything)}
    for line in re.findall(r"^([A-Z_]+): Final = (.*)", text_of(limits), re.MULTILINE):
        if line[0] in used:
            used |= set(re.findall(r"[A-Z_]+", line[1]))
    assert set(names) - used == UNUSED_LIMITS


def test_documents_name_files_that_exist():
    for document in ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"):
        text = text_of(HOUSE / document) if (HOUSE / document).exists() else ""
        assert text, f"{document} is missing"
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text):
            assert (HOUSE / target).exists(), f"{document} links to {target}, which does not exist"
        for mentioned in re.findall(r"`((?:src|docs|tests|examples|bench|nodes|\.ci)/[\w./-]*)`", text):
            assert (HOUSE / mentioned).exists(), f"{document} mentions {mentioned}, which does not exist"


def test_generated_code_is_not_committed():
    names = {name_of(path) for path in tracked()}
    assert not [name for name in names if name.endswith((".so", ".pyc", ".whl"))]
    for path in (HOUSE / "src" / "_native").glob("*.pyx"):
        assert name_of(path.with_suffix(".c")) not in names


def test_ci_runs_the_readmes_second_command():
    found = re.search(r"<!-- test -->\n```sh\n(.*)\n```", text_of(HOUSE / "README.md"))
    assert found, "README.md has no test command"
    assert "pytest" in found[1]
    assert found[1] in text_of(HOUSE / "Makefile")


@pytest.mark.parametrize("command", [["ruff", "check", "."], ["mypy"], ["lint-imports"]], ids=lambda words: words[0])
def test_one_command_checks_everything(command):
    """`make check`: style, types, floor plan."""
    import shutil
    import sys

    if command == ["mypy"] and sys.version_info >= (3, 12):
        pytest.skip("types are checked as of 3.11, with the stubs that numpy has for it")
    program = shutil.which(command[0], path=str(Path(sys.executable).parent))
    if program is None:
        pytest.skip(f"{command[0]} is not installed here: pip install '.[dev]'")
    done = subprocess.run([program, *command[1:]], cwd=HOUSE, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
