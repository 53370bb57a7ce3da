"""`check-node` and `check-scheduler` take what `run` takes, and commands of one word or of several."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tasksprint.cli import check
from tasksprint.cli.commands import run_program

ROOT = Path(__file__).parents[2]
SCHEDULER = """
from tasksprint import Scheduler
class S(Scheduler, ordered=True):
    def init(self, args): self.start_task("half", {"n": args.get("n", 8)}, keys=["half"])
    def task_done(self, task, values): self.finish(values["half"][0])
"""
NODE = """
from tasksprint import Node, task
class N(Node):
    @task
    def half(self, n): return {"half": [n // 2]}
"""
Check = Callable[..., str]


@pytest.fixture
def checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Check:
    """What a check prints, run in this process; its exit code must be `code`."""
    monkeypatch.chdir(tmp_path)

    def checked(*words: str, code: int = 0) -> str:
        monkeypatch.setattr(sys, "argv", ["tasksprint", *words])
        with pytest.raises(SystemExit) as ended:
            run_program()
        said = capsys.readouterr()
        assert ended.value.code == code, said.out + said.err
        return said.out

    return checked


def test_the_shell_nodes_command_as_its_readme_has_it(checked: Check, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    (line,) = [line for line in (ROOT / "nodes/shell/README.md").read_text().splitlines() if "check-node" in line]
    words = line.split("`tasksprint ")[1].split("`")[0].split()
    assert words[:2] == ["check-node", "sh"]
    assert "tasks lines, matches, matching, total" in checked(*words)


def test_a_file_is_tried_where_nothing_else_is(checked: Check, tmp_path: Path) -> None:
    (tmp_path / "both.py").write_text(SCHEDULER + NODE)
    assert "pieces half" in checked("check-node", "both.py", "--task", "half", "--args", '{"n": 4}')
    assert "finished with '4'" in checked("check-scheduler", "both.py:S"), "the results are its own node's"
    (tmp_path / "alone.py").write_text("import beside" + NODE)
    (tmp_path / "beside.py").touch()
    assert "use a folder with a tasksprint.toml" in checked("check-node", "alone.py", code=1).replace("\n", " ")


def test_a_folder_is_tried_with_all_its_files_and_arguments(checked: Check, tmp_path: Path) -> None:
    (tmp_path / "job").mkdir()
    (tmp_path / "job" / "s.py").write_text(SCHEDULER)
    (tmp_path / "job" / "n.py").write_text("import beside" + NODE)
    (tmp_path / "job" / "beside.py").touch()
    (tmp_path / "job" / "tasksprint.toml").write_text('scheduler = "s.py"\nnode = "n.py"\nargs = {n = 6}\n')
    assert "finished with '3'" in checked("check-scheduler", "job")
    assert "finished with '1'" in checked("check-scheduler", "job", "--args", '{"n": 2}')


@pytest.mark.parametrize(
    ("source", "node"),
    [(NODE, True), (NODE.replace("(Node)", "(t.Node)"), True), (SCHEDULER, False), ("def f(:", False)],
)
def test_whether_results_can_come_from_the_file_itself(source: str, node: bool, tmp_path: Path) -> None:
    (tmp_path / "x.py").write_text(source)
    assert check._has_node(tmp_path / "x.py") is node
