"""The checks pass what is right, in Python and in shell, and find what is wrong."""

import asyncio
import json
from pathlib import Path

import pytest

from tasksprint.programs import probe
from tasksprint.programs.check import Finding, check_node, check_scheduler, passed
from tasksprint.programs.check_node import NodeProbe, content
from tasksprint.programs.probe import Probe
from tasksprint.wire.node_talk import Done, InputFile, InputValue

ROOT = Path(__file__).parents[2]
SHELL = ["/bin/sh", str(ROOT / "nodes" / "shell" / "count.sh")]
CLERK = ["@python", "-m", "tasksprint.sdk", str(ROOT / "tests" / "sdk" / "clerk.py"), "node"]


def wrong(findings: list[Finding]) -> list[str]:
    return [str(finding) for finding in findings if not finding.ok]


def test_the_sdk_passes() -> None:
    findings = check_node(CLERK, task="add", args={"a": 1, "b": 2})
    assert not wrong(findings)
    assert passed(findings)
    assert str(findings[0]).startswith("ok     answers `hello` with `ready`")


def test_the_shell_node_passes() -> None:
    assert not wrong(check_node(SHELL, task="lines", args={"path": "/etc/passwd"}))


def test_the_shell_node_does_a_real_job(tmp_path: Path) -> None:
    """Counts in two files, whose names try its reader, and adds the counts up."""
    files = {tmp_path / 'it\'s "ü" \\ $(date)': "one\ntwo\nthree\n", tmp_path / "b\n.txt": "two\n" * 500}
    for path, text in files.items():
        path.write_text(text)

    async def job() -> None:
        async with Probe(SHELL, tmp_path) as shell:
            node = NodeProbe(shell, tmp_path)
            await node.begin()
            more = {"pattern": "^t[wh]", "x": {"y": [1, None]}}
            args = [json.dumps({"path": str(path), **more}).encode() for path in files]
            shell.say(*[node.run_line(task, "matches", args[task - 1]) for task in (1, 2)])
            shell.say(*[node.run_line(task, "matching", args[task - 3]) for task in (3, 4)])
            outcomes = await node.outcomes(4)
            assert all(isinstance(each, Done) for each in outcomes)
            results = [each.result for each in outcomes if isinstance(each, Done)]
            assert results[:2] == [{"matches": b"2"}, {"matches": b"500"}]
            assert content(node.task_folder(3), results[2]["lines"])
            assert (node.task_folder(3) / "lines").read_text() == "two\nthree\n"
            lines = str(node.task_folder(4) / "lines")
            inputs = [InputValue("matches", b"2"), InputFile("lines", lines), InputValue("n", b"40")]
            shell.say(node.run_line(5, "total", b"null", inputs))
            total = await node.outcome()
            assert isinstance(total, Done)
            assert total.result == {"total": b"542"}
            shell.say(node.run_line(6, "lines", b'{"path":"/no/such/file"}'))
            assert "cannot read /no/such/file" in getattr(await node.outcome(), "error", "")
            await node.end()

    asyncio.run(job())


READY = """import sys, json
def say(**m): print(json.dumps(m), flush=True)
input(); say(type="ready", version=1, tasks=["a"])
"""
LOADED = "for line in sys.stdin:\n  m = json.loads(line)\n"


@pytest.mark.parametrize(
    ("loop", "found"),
    [
        ("", "exited with code 0"),
        ("for line in sys.stdin: say(type='done', task=json.loads(line).get('task'), result={})", "does not name in"),
        ("for line in sys.stdin: say(type='failed', task=1, error='no')", "the task at hand is 3"),
        ("for line in sys.stdin: print('working', flush=True)", "no JSON object: 'working'"),
        (
            LOADED + "  if m['type'] == 'run': say(type='failed', task=m['task'], error='no')",
            "no error on stderr, or in a log, named the type 'frobnicate'",
        ),
        (
            LOADED + "  if 'task' in m: say(type='failed', task=m['task'], error='no')",
            "WRONG  answers a run that was cancelled",
        ),
    ],
)
def test_mistakes_of_nodes_are_found(loop: str, found: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "EXIT_S", 0.5)
    findings = check_node(["@python", "-c", READY + loop])
    assert not passed(findings)
    assert any(found in each for each in wrong(findings)), wrong(findings)


SCHEDULER = """
from tasksprint import Node, Scheduler, task
class Good(Scheduler, ordered=True):
    def init(self, args):
        self.tasks = [self.start_task("t", {"n": n}, keys=["x"]) for n in range(6)]
        self.seen = []
    def task_done(self, task, values):
        self.seen.append(values["x"])
        if len(self.seen) == 6:
            self.finish(self.seen, files=[self.tasks[0]["x"]])
class Racing(Good, ordered=False): pass
class Gathering(Racing):
    def init(self, args):
        super().init(args)
        self.gather(self.tasks)
class Hanging(Racing):
    def task_done(self, task, values): pass
class Forgetful(Good):
    def __setattr__(self, name, value):
        super().__setattr__(name, value)
    @property
    def seen(self): return KEPT
    @seen.setter
    def seen(self, value): KEPT[:] = value
KEPT = []
class N(Node):
    @task
    def t(self, n): return {"x": [n, self.random.random()]}
"""


def scheduler(tmp_path: Path, name: str, *, real: bool = False) -> list[Finding]:
    path = tmp_path / "program.py"
    path.write_text(SCHEDULER)
    command = ["@python", "-m", "tasksprint.sdk", str(path)]
    node = [*command, "node"] if real else None
    return check_scheduler([*command[:-1], f"{path}:{name}", "scheduler"], node=node)


@pytest.mark.parametrize("real", [False, True], ids=["made up results", "results of its node"])
@pytest.mark.parametrize("name", ["Good", "Gathering"])
def test_good_schedulers_pass(tmp_path: Path, name: str, real: bool) -> None:
    assert not wrong(scheduler(tmp_path, name, real=real))


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("Racing", "gives the same answer in that order (last started first): finish"),
        ("Hanging", "the job would hang"),
        ("Forgetful", "restored, it decided otherwise"),
    ],
)
def test_mistakes_of_schedulers_are_found(tmp_path: Path, name: str, found: str) -> None:
    findings = scheduler(tmp_path, name)
    assert any(found in each for each in wrong(findings)), [str(each) for each in findings]


def test_programs_that_are_none() -> None:
    assert "no such program" in wrong(check_node(["no-such-program"]))[0]
    assert "a line needs exactly one of" in wrong(check_scheduler(["cat"]))[0]
