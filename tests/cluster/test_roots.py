"""The root finder on real clusters: the same seed and budget give the same bytes, whoever takes part or dies."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import uvloop
from tests.cluster.harness import PATIENCE_S, Field, field

from tasksprint.apps import find
from tasksprint.apps.roots import command, local, report
from tasksprint.apps.roots.problem import Problem
from tasksprint.view.operations import JobSpec

pytestmark = pytest.mark.cluster
DEMO = "sin(3*x)*cos(x/2)"
TASKSPRINT = [sys.executable, "-m", "tasksprint", "run", "roots"]


def job(arguments: dict[str, Any]) -> JobSpec:
    app = find("roots")
    return JobSpec("roots", app.scheduler, app.node, json.dumps(arguments).encode(), 0)


def expected_of(arguments: dict[str, Any]) -> bytes:
    """The answer of one process."""
    problem = Problem.from_arguments(arguments["problem"])
    return report.as_json(report.result(local.search(problem, arguments["options"]), arguments["warnings"]))


async def answer(at: Field, job_id: str) -> bytes:
    outcome = await at.end(job_id)
    assert outcome.state == "done", outcome.error
    return report.as_json(json.loads(outcome.values))


@pytest.mark.parametrize("clients", [1, 2, 4, 8])
def test_the_same_bytes_with_any_number_of_clients(clients: int, tmp_path: Path) -> None:
    """On a system whose populations travel; 8 clients have more slots than there are cells."""
    arguments = command.described(["x - sin(5*pi*y)", "x - y"], (-1, 1), budget=4000, seed=2, width=4)

    async def story() -> None:
        async with field(tmp_path / "cluster", clients=clients, slots=1) as at:
            assert await answer(at, await at.start(job(arguments))) == expected_of(arguments)

    uvloop.run(asyncio.wait_for(story(), PATIENCE_S))


def test_the_same_bytes_when_a_client_a_node_and_the_leader_die(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The function waits a little at each point, so that there is a middle to shoot at."""
    module = tmp_path / "slow_roots.py"
    module.write_text(
        "import time\nimport numpy as np\n"
        "def demo(points):\n    time.sleep(0.002 * len(points))\n    return np.sin(3 * points) * np.cos(points / 2)\n"
    )
    monkeypatch.setenv("TASKSPRINT_ROOTS_MODULES", str(module))
    arguments = command.described(callable="slow_roots:demo", box=(-20, 20), budget=1500, seed=1, width=4)

    async def story() -> None:
        async with field(tmp_path / "cluster", replicas=3, clients=2, slots=1) as at:
            expected = await answer(at, await at.start(job(arguments)))
            assert len(json.loads(expected)["roots"]) == 39
            shot_at = await at.start(job(arguments))
            await at.middle(shot_at, at_least=3)
            nodes = at.children("client-2", " node")
            for node in nodes:
                node.kill()
            await at.middle(shot_at, at_least=8)
            client = at.shoot("client-1")
            await at.middle(shot_at, at_least=12)
            leader = await at.leader()
            at.shoot(f"coordinator-{leader['id']}")
            assert await answer(at, shot_at) == expected
            assert nodes
            assert at.pid("client-1") != client, "a new process"
            assert (await at.leader())["ballot"] > leader["ballot"], "a new ballot"
            assert (await at.status(f"job:{shot_at}"))["second_attempts"] > 0

    uvloop.run(asyncio.wait_for(story(), 2 * PATIENCE_S))


def run(*words: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*TASKSPRINT, *words], cwd=folder, capture_output=True, text=True, timeout=60, check=False)


def test_run_roots_announces_tabulates_and_writes(tmp_path: Path) -> None:
    (tmp_path / "problem.toml").write_text(f'expressions = "{DEMO}"\nbox = [-20, 20]\nbudget = 3000\n')
    by_words = run(DEMO, "--box", "-20", "20", "--budget", "3000", "--output", "a.json", folder=tmp_path)
    assert by_words.returncode == 0, by_words.stderr
    announced = [line for line in by_words.stderr.splitlines() if line.startswith("root ")]
    assert len(announced) == 39
    assert sum("tangential, multiplicity 2" in line for line in by_words.stdout.splitlines()) == 6
    assert "39 roots after" in by_words.stdout
    by_file = run("problem.toml", "--clients", "2", "--output", "b.json", folder=tmp_path)
    assert by_file.stdout == by_words.stdout
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.json", "b.json", "problem.toml"]


def test_bad_formulas_are_shown_with_a_mark(tmp_path: Path) -> None:
    done = run("sin(x) + foo", "--box", "0", "1", folder=tmp_path)
    assert done.returncode == 2
    lines = done.stderr.splitlines()
    assert lines[0].startswith("tasksprint: unknown name 'foo'")
    assert lines[2].index("^") == lines[1].index("foo")
    assert run("x", "--box", "0", "1", "--bax", "1", folder=tmp_path).returncode == 2
    assert "no folder" in run("x", "--box", "0", "1", "--output", "none/a.json", folder=tmp_path).stderr
