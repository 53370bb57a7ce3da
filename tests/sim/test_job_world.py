"""Real programs in the simulated world: a right one answers alike under all faults, a wrong one is found."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from random import Random

import pytest

from tasksprint.cli.job import resolve
from tasksprint.sdk import Node, Scheduler
from tasksprint.sdk.loading import load
from tasksprint.sim.campaign import Outcome, run_seed, run_seeds
from tasksprint.sim.job_world import Job, Result, under_fire, undisturbed_run
from tasksprint.sim.sdk_programs import SdkPrograms
from tasksprint.sim.world import Violation

NODE = """
class Numbers(Node):
    @task
    def square(self, number):
        return {"square": number * number}

    @task
    def roll(self):
        return {"rolled": self.random.randint(1, 6), "other": random.randint(1, 6)}

    @task
    def refuse(self, number):
        if number % 5 == 3:
            raise TaskFailed(f"not {number}")
        return {"number": number}

    @task
    def write(self, number):
        (self.folder / "number.txt").write_text(str(number))
        return {"file": File("number.txt")}

    @task
    def join(self, *files):
        (self.folder / "all.txt").write_bytes(b",".join(each.read_bytes() for each in files))
        return {"all": File("all.txt"), "sizes": [each.size for each in files]}
"""

RIGHT = """
class Right(Scheduler):
    def init(self, args):
        self.rolls, self.failed, self.sum = {}, 0, 0
        self.files = [self.start_task("write", {"number": n}) for n in range(6)]
        self.rolled = {self.start_task("roll", keys=["rolled", "other"]) for _ in range(6)}
        self.refused = {self.start_task("refuse", {"number": n}, keys=["number"], retries=1) for n in range(10)}
        self.left = len(self.rolled) + len(self.refused)

    def task_done(self, task, values):
        if task in self.rolled:
            self.rolls[task.number] = [values["rolled"], values["other"]]
        elif task in self.refused:
            self.sum += values["number"]
        elif task.name == "join":
            self.finish([sorted(self.rolls.items()), self.failed, self.sum, values], files=[task["all"]])
        self.settle(task)

    def task_failed(self, task, error):
        self.failed += 1
        self.settle(task)

    def settle(self, task):
        if task in self.rolled or task in self.refused:
            self.left -= 1
            if not self.left:
                self.joined = self.start_task("join", prerequisites=[f["file"] for f in self.files], keys=["sizes"])
"""

FIRST_COME = """
class FirstCome(Scheduler):
    def init(self, args):
        self.squares = []
        for number in range(12):
            self.start_task("square", {"number": number}, keys=["square"])

    def task_done(self, task, values):
        self.squares.append(values["square"])
        if len(self.squares) == 12:
            self.finish(self.squares)
"""

DRAWS = """
class Draws(Scheduler, ordered=True):
    def init(self, args):
        self.left = 8
        self.go_on()

    def go_on(self):
        self.start_task("square", {"number": SOURCE}, keys=["square"])

    def task_done(self, task, values):
        self.left -= 1
        self.go_on() if self.left else self.finish(values)
"""

FORGETS = """
SEEN = []


class Forgets(Scheduler, ordered=True):
    def init(self, args):
        for number in range(40):
            self.start_task("square", {"number": number}, keys=["square"])

    def task_done(self, task, values):
        SEEN.append(values["square"])
        if task.number == 40:
            self.finish(sum(SEEN))
"""

HEAD = "import random, time\nfrom tasksprint import File, Node, Scheduler, TaskFailed, task\n"


@contextmanager
def programs(folder: Path, scheduler: str) -> Iterator[tuple[SdkPrograms, Job]]:
    path = folder / "program.py"
    path.write_text(HEAD + NODE + scheduler)
    job = resolve(str(path), (), scheduler=None, node=None, files=None, args=None, seed=3)
    with SdkPrograms(lambda: load(str(path), Scheduler), lambda: load(str(path), Node)) as made:
        yield made, Job(job.spec, job.program)


@pytest.fixture(autouse=True)
def same_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(".")  # what is loaded changes it


def first_failure(made: SdkPrograms, job: Job, quiet: Result, seeds: int = 20) -> Outcome:
    build = under_fire(made, job, quiet)
    found = next(outcome for outcome in (run_seed(seed, build=build) for seed in range(seeds)) if not outcome.ok)
    again = run_seed(found.seed, build=build)
    assert (again.failure, again.trace_hash) == (found.failure, found.trace_hash), "a seed replays"
    return found


def test_a_right_program_answers_alike_under_all_faults(tmp_path: Path) -> None:
    with programs(tmp_path, RIGHT) as (made, job):
        quiet = undisturbed_run(made, job)
        totals = run_seeds(0, 40, build=under_fire(made, job, quiet))
    assert quiet.answer.state == "done"
    assert [*quiet.answer.outputs.values()] == [b"0,1,2,3,4,5"]
    assert b",2,34,{" in quiet.answer.values, "two tasks fail whatever is tried, the others' numbers come to 34"
    assert [f"seed {each.seed}: {each.failure}" for each in totals.failures] == []
    rare = (
        "task run again",
        "client crashed",
        "scheduler saved",
        "scheduler crashed",
        "node crashed",
        "leader cut off",
    )
    assert all(totals.counters[name] > 0 for name in rare), totals.counters
    assert not made.folder.exists()


def test_an_answer_that_depends_on_who_was_faster_is_found(tmp_path: Path) -> None:
    with programs(tmp_path, FIRST_COME) as (made, job):
        found = first_failure(made, job, undisturbed_run(made, job))
    assert found.checker == "answer"
    assert "(program) answers [" in found.failure


@pytest.mark.parametrize("source", ["random.randint(1, 1000)", "int(time.time() * 1000) % 1000"])
def test_copies_that_decide_otherwise_are_found(source: str, tmp_path: Path) -> None:
    with programs(tmp_path, DRAWS.replace("SOURCE", source)) as (made, job):
        found = first_failure(made, job, undisturbed_run(made, job))
    assert found.checker == "parting"
    assert "it is not deterministic" in found.failure


def test_what_is_kept_outside_self_is_lost_with_the_process(tmp_path: Path) -> None:
    with programs(tmp_path, FORGETS) as (made, job):
        found = first_failure(made, job, undisturbed_run(made, job))
    assert found.checker == "answer"


def test_a_scheduler_that_fails_undisturbed_says_where(tmp_path: Path) -> None:
    with programs(tmp_path, FIRST_COME.replace("self.squares.append", "self.nothing.append")) as (made, job):
        quiet = undisturbed_run(made, job)
    assert quiet.answer.state == "failed"
    assert "FirstCome.task_done raised at event 3 (task 1, square)" in quiet.error
    assert "has no attribute 'nothing'" in quiet.error
    assert str(tmp_path) in quiet.error, "the user's own place is shown"


def test_a_job_that_never_goes_on_is_found(tmp_path: Path) -> None:
    said = r"the job does not go on: .* running, 12 of 12 done.*; no task is open, and the scheduler has neither"
    with programs(tmp_path, FIRST_COME.replace("== 12", "== 13")) as (made, job):  # noqa: SIM117
        with pytest.raises(Violation, match=said):
            undisturbed_run(made, job)


def test_time_that_a_task_sleeps_is_virtual(tmp_path: Path) -> None:
    slow = NODE.replace('return {"square"', 'time.sleep(100)\n        return {"square"')
    with programs(tmp_path, FIRST_COME) as (made, job):
        (tmp_path / "program.py").write_text(HEAD + slow + FIRST_COME)
        quiet = undisturbed_run(made, job)
    assert 12 * 100_000_000 < quiet.virtual_us < 12 * 101_000_000


CLOCK_AND_CHANCE = """
import datetime, os, secrets


class Asks(Scheduler):
    def init(self, args):
        self.start_task("ask", keys=["asked"])

    def task_done(self, task, values):
        self.finish(values)


class Answers(Node):
    @task
    def ask(self):
        end = time.monotonic() + 0.01
        while time.monotonic() < end:
            pass
        now, day = datetime.datetime.now(), datetime.datetime(2020, 1, 2)
        assert isinstance(now - datetime.timedelta(1), datetime.datetime) and type(now - day) is datetime.timedelta
        random.seed()
        told = [now.isoformat(), datetime.datetime.utcnow().year, time.ctime(), time.strftime("%S"), time.gmtime()[:6]]
        chance = [random.Random().random(), random.SystemRandom().random(), random.random(), secrets.token_hex(4)]
        chance += [os.getrandom(4).hex(), random.Random(7).random()]
        return {"asked": [*told, time.gmtime(0)[0], time.strftime("%Y", time.gmtime(0)), time.process_time(), *chance]}
"""


def test_every_clock_and_every_source_of_chance_is_the_seeds(tmp_path: Path) -> None:
    with programs(tmp_path, "") as (made, job):
        (tmp_path / "program.py").write_text(HEAD + CLOCK_AND_CHANCE)
        first, second = undisturbed_run(made, job), undisturbed_run(made, job)
        assert first.answer.state == "done", first.error
        assert first.answer == second.answer
        found = first_failure(made, job, first)
    assert found.checker == "answer"
    asked = json.loads(first.answer.values)["asked"]
    assert (asked[0][:10], asked[1], asked[4][:3]) == ("2023-11-14", 2023, [2023, 11, 14])
    assert asked[5:7] == [1970, "1970"]
    assert asked[-1] == Random(7).random()
    assert type(datetime.now()) is datetime, "all is as before"


def test_what_a_task_does_to_its_process_stays_there(tmp_path: Path) -> None:
    moves = NODE.replace('return {"square"', 'os.chdir("/"); sys.stdin.read()\n        return {"square"')
    with programs(tmp_path, FIRST_COME) as (made, job):
        (tmp_path / "program.py").write_text("import os, sys\n" + HEAD + moves + FIRST_COME)
        before = Path.cwd()
        assert undisturbed_run(made, job).answer.state == "done"
        assert Path.cwd() == before


def test_a_sleep_that_cannot_be_fails_the_task(tmp_path: Path) -> None:
    back = NODE.replace('return {"square"', 'time.sleep(-1)\n        return {"square"')
    with programs(tmp_path, FIRST_COME) as (made, job):
        (tmp_path / "program.py").write_text(HEAD + back + FIRST_COME)
        assert "sleep length must be non-negative" in undisturbed_run(made, job).error
