"""What the documents show is run as they show it: the examples, the README's program, all that docs/sdk.md shows."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

HOUSE = Path(__file__).resolve().parent.parent
EXAMPLES = sorted(path.parent.name for path in HOUSE.glob("examples/*/expected.txt"))

pytestmark = pytest.mark.cluster


def tasksprint(words, folder):
    """The standard output of a `tasksprint` command that must succeed."""
    command = [sys.executable, "-m", "tasksprint", *words]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def first_command(document):
    """The first `tasksprint run` of a document's shell blocks."""
    found = re.search(r"```sh\n(?:.*/)?tasksprint (run .*)\n", document)
    assert found, "the document shows no command"
    return shlex.split(found[1])


@pytest.mark.parametrize("extra", [[], ["--clients=4", "--slots=1", "--replicas=3"]], ids=["1 client", "4 clients"])
@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_prints_what_it_promises(name, extra, tmp_path):
    words = first_command((HOUSE / "examples" / name / "README.md").read_text())
    words = [str(HOUSE / word) if word.startswith("examples/") else word for word in words]
    output = tasksprint([*words, *extra, "--output", str(tmp_path / "out")], tmp_path)
    assert output == (HOUSE / "examples" / name / "expected.txt").read_text()


def test_the_readmes_first_command_shows_words(tmp_path):
    words = first_command((HOUSE / "README.md").read_text())
    *table, summary = tasksprint([*words, "--output", str(tmp_path / "out")], HOUSE).splitlines()
    assert len(table) == 10
    assert {"the", "a", "of"} < {line.split()[1] for line in table}
    assert re.fullmatch(r"[\d,]+ words, [\d,]+ distinct", summary)


def test_the_readmes_program_runs(tmp_path):
    readme = (HOUSE / "README.md").read_text()
    program = re.search(r"`(\w+\.py)`:\n\n```python\n(.*?)```", readme, re.DOTALL)
    assert program, "README.md shows no program"
    (tmp_path / program[1]).write_text(program[2])
    words = first_command(readme[program.end() :])
    assert tasksprint(words, tmp_path) == f'{{"value": {sum(n * n for n in range(100))}}}\n'


SDK = (HOUSE / "docs" / "sdk.md").read_text()
SHOWN = re.findall(r"```sh\n(.*?)```\n(?:```\n(.*?)```)?", SDK, re.DOTALL)  # (commands, what they print or "")


@pytest.fixture(scope="module")
def sdk_folder(tmp_path_factory):
    """Every file that docs/sdk.md shows, under the name that it gives."""
    folder = tmp_path_factory.mktemp("sdk")
    files = re.findall(r"`([\w/.]+)`:\n\n```(?:python|toml)\n(.*?)```", SDK, re.DOTALL)
    assert len(files) == SDK.count("```python") + SDK.count("```toml"), "a program without its file's name"
    for name, text in files:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    return folder


@pytest.mark.parametrize(("commands", "output"), SHOWN, ids=[commands.split("\n")[0] for commands, _ in SHOWN])
def test_the_sdks_document_shows_what_happens(commands, output, sdk_folder):
    for command in commands.splitlines():
        program, *words = shlex.split(command)
        if program == "pytest":
            words = ["-m", "pytest", "-q", "-p", "no:cacheprovider", *words]
            done = subprocess.run([sys.executable, *words], cwd=sdk_folder, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stdout + done.stderr
        else:
            assert program == "tasksprint"
            printed = tasksprint(words, sdk_folder)
            assert printed == output or not output
