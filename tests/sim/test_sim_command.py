"""`tasksprint sim APP|FILE.py|FOLDER`, as a user types it."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent

WRONG = """
from tasksprint import Node, Scheduler, task


class Longest(Scheduler):
    def init(self, args):
        self.left, self.names = args["tasks"], {"elm", "oak", "ash", "yew", "fir"}
        for name in list(self.names) * (self.left // 5):
            self.start_task("measure", {"name": name}, keys=["length"])

    def task_done(self, task, values):
        self.left -= 1
        if not self.left:
            self.finish({"last": task.number, "first": list(self.names)[0]})


class Measure(Node):
    @task
    def measure(self, name):
        return {"length": len(name)}
"""


def simulated(*words: str, folder: Path = ROOT, hashes: str = "1") -> subprocess.CompletedProcess[str]:
    command, environment = [sys.executable, "-m", "tasksprint", "sim", *words], {**os.environ, "PYTHONHASHSEED": hashes}
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=110, check=False
    )  # fmt: skip


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        (["examples/montecarlo", "tasks=30", "darts=100", "--job-seed", "5"], '31 tasks, the answer is {"pi":"3'),
        (["examples/index"], '7 tasks, the answer is {"records":17} and 2 files'),
        (["wordcount", "LICENSE", "--clients", "3", "--slots", "1"], "4 tasks, the answer is"),
    ],
)
def test_a_shipped_program_answers_alike_in_every_seed(words: list[str], answer: str) -> None:
    done = simulated(*words, "--seeds", "6")
    assert (done.returncode, done.stderr) == (0, "")
    assert f"undisturbed: {answer}" in done.stdout
    assert re.search(r"^6 seeds, .*: 6 ended with the undisturbed answer$", done.stdout, re.MULTILINE)
    assert re.search(r"^ +leader paused +[1-9]", done.stdout, re.MULTILINE), "there were faults"


def test_a_wrong_program_is_found_and_replays_in_another_process(tmp_path: Path) -> None:
    (tmp_path / "longest.py").write_text(WRONG)
    done = simulated("longest.py", "--args", '{"tasks": 20}', "--seeds", "4", folder=tmp_path)
    assert done.returncode == 1
    assert re.fullmatch(r"tasksprint: [1-4] of 4 seeds went wrong; the first is \d\n", done.stderr)
    assert "(longest) answers {" in done.stdout
    seen = re.search(r"replay: tasksprint sim (longest.py --args .* --from-seed \d)   trace hash (\w+)", done.stdout)
    assert seen is not None
    words = shlex.split(seen[1])
    again = simulated(*words, folder=tmp_path, hashes="2")
    assert f"trace hash {seen[2]}" in again.stdout
    assert again.returncode == 1
    traced = simulated(*words, "--trace", folder=tmp_path)
    assert "fault " in traced.stdout
    assert traced.stdout.endswith(again.stdout.splitlines()[-1] + "\n")


def test_clients_have_the_slots_and_labels_that_the_job_needs(tmp_path: Path) -> None:
    wide = WRONG.replace('keys=["length"]', 'keys=["length"], cores=4, labels=["gpu"]')
    wide = wide.replace("(Scheduler)", "(Scheduler, ordered=True)").replace("list(self.names)", "sorted(self.names)")
    (tmp_path / "wide.py").write_text(wide)
    words = ("wide.py", "tasks=5", "--seeds", "2", "--slots", "4")
    done = simulated(*words, "--labels", "big,gpu", folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    done = simulated(*words, folder=tmp_path)
    assert done.returncode == 1
    assert "no live client has what it needs: 4 slots and the labels gpu" in done.stderr


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ("program.py", 1, "undisturbed, the job fails: "),
        ("missing.py", 2, "no Python file and no folder"),
        ("folder", 2, "runs programs of the Python SDK, in its own process, and sh plan.sh is another"),
        ("half.py", 2, "half.py has no class that extends tasksprint.Node"),
        ("broken.py", 1, "the scheduler does not start: "),
        ("program.py --args {", 2, "--args is no JSON"),
        ("program.py --plant forgotten-promise", 2, "leave the job out"),
        ("program.py:Shortest", 2, "program.py has no Scheduler named 'Shortest'; it has: Longest"),
        ("program.py --trace", 2, "name it with --from-seed, and leave --seeds out"),
        ("--from-seed 1 --trace", 2, "name it with --from-seed, and leave --seeds out"),
        ("--clients 2", 2, "are for a job"),
    ],
)
def test_a_job_that_cannot_be_simulated_is_refused_in_a_line(words: str, code: int, said: str, tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(WRONG)  # without its arguments
    (tmp_path / "half.py").write_text(WRONG.partition("class Measure")[0])
    (tmp_path / "broken.py").write_text(WRONG + "\nimport no_such_module\n")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "tasksprint.toml").write_text('scheduler = "sh plan.sh"\nnode = "sh work.sh"\n')
    done = simulated(*words.split(), "--seeds", "1", folder=tmp_path)
    assert said in done.stderr
    assert done.returncode == code
    assert done.stderr.startswith("tasksprint: ")
    assert "site-packages" not in done.stderr
    assert "sdk_programs.py" not in done.stderr


def test_of_many_wrong_seeds_only_the_first_are_shown(tmp_path: Path) -> None:
    (tmp_path / "longest.py").write_text(WRONG)
    done = simulated("longest.py", "tasks=20", "--seeds", "40", folder=tmp_path)
    wrong = re.match(r"tasksprint: (\d+) of 40 seeds went wrong", done.stderr)
    assert wrong is not None
    assert done.stdout.count("replay: ") == 10
    assert f"\nand {int(wrong[1]) - 10} more went wrong, up to seed " in done.stdout
    assert "sdk_programs" not in done.stderr
