"""Random plays: two machines, one of them restored from a snapshot now and then, must stay equal byte for byte, every
invariant must hold after every entry, and each client that polls must believe what the view holds."""

from __future__ import annotations

import os
import random
import subprocess
import sys

import pytest
from tests.view.stage import Actor, Stage, digest_of, spec

from tasksprint.view import Machine
from tasksprint.view.operations import (
    AnyAction,
    CancelJob,
    Collected,
    Decide,
    Done,
    Failed,
    Finish,
    Held,
    KillTask,
    Leave,
    Lost,
    Register,
    Release,
    Reports,
    Restart,
    Returned,
    Save,
    SetTimer,
    StartTask,
    Submit,
    Tick,
    Unreachable,
    pack_actions,
)

STEPS = 220


class Play:
    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.stage = Stage()
        self.jobs = 0
        self.wild = self.random.random() < 0.5  # a wild play has more accidents

    def chance(self, percent: float) -> bool:
        return self.random.random() * 100 < percent

    # --- schedulers ----------------------------------------------------------------------------------

    def submit(self) -> None:
        self.jobs += 1
        self.stage.apply(Submit(f"job-{self.jobs}", spec(strict=self.chance(10), seed=self.jobs)))

    def running(self) -> list[int]:
        return [job.number for job in self.stage.machine.running_jobs()]

    def decide(self) -> None:
        numbers = self.running()
        if not numbers:
            self.submit()
            return
        job = self.stage.job(self.random.choice(numbers))
        if job.decided == job.last_event:
            return
        seq = job.last_event if job.next_part == 0 else job.answering
        event = self.random.randint(job.decided + 1, seq) if job.next_part == 0 else seq
        more = self.chance(20) and event == seq
        answers = [(event, pack_actions(self.actions(job.number)))] if self.chance(85) else []
        ballot = self.stage.ballot if self.chance(95) else (0, 0)
        ordered = job.ordered if job.decided or job.next_part else self.chance(40)
        generation = job.generation if self.chance(97) else job.generation + 1
        self.stage.apply(Decide(ballot, job.number, generation, seq, job.next_part, more, ordered, answers))

    def actions(self, job: int) -> list[AnyAction]:
        state = self.stage.job(job)
        following = max(state.next_task, 1)
        actions: list[AnyAction] = []
        for _ in range(self.random.randint(1, 8)):
            kind = self.random.random()
            if kind < 0.75:
                actions.append(self.start(job, following))
                following += 1
            elif following > 1 and kind < 0.82:
                actions.append(KillTask(self.random.randrange(1, following)))
            elif not state.ordered and kind < 0.86:
                actions.append(SetTimer(self.random.choice("abc"), self.random.randrange(500)))
        if following > 4 and self.chance(15) and following == state.next_task:
            actions.append(Release(self.random.randrange(1, following)))
        finished = [number for number, one in state.tasks.items() if one.state <= 1 and not one.released]
        if finished and self.chance(4):
            files = [(number, "out") for number in self.random.sample(finished, min(3, len(finished)))]
            killed = {action.task for action in actions if isinstance(action, KillTask | Release)}
            if not killed:
                actions.append(Finish(b"{}", files))
        return actions

    def start(self, job: int, number: int) -> StartTask:
        state = self.stage.job(job)
        recent = range(max(1, number - 12), number)
        usable = [one for one in recent if one not in state.tasks or not state.tasks[one].released]
        inputs = self.random.sample(usable, min(len(usable), self.random.choice([0, 0, 1, 1, 2, 4])))
        return StartTask(
            number,
            "work",
            b"x" * self.random.choice([2, 2, 300_000 if self.chance(3) else 5]),
            [(one, self.random.choice("pq")) for one in inputs],
            keys=["k"] if self.chance(50) else [],
            replicas=self.random.choice([1, 1, 1, 1, 2, 3]),
            retries=self.random.choice([0, 1, 3]),
            cores=self.random.choice([1, 1, 1, 1, 0, 2]),
            labels=["gpu"] if self.chance(5) else [],
            side_effects=self.chance(10),
            cause=self.random.randrange(1, number) if number > 1 and self.chance(5) else -1,
        )

    def keep(self) -> None:
        """Saves and restarts."""
        for number in self.running():
            job = self.stage.job(number)
            if job.decided > job.saved[0] and self.chance(50):
                self.stage.apply(Save(self.stage.ballot, number, job.generation, job.decided, b"state"))
            elif self.chance(5):
                self.stage.apply(Restart(self.stage.ballot, number, job.generation, "they differ"))

    # --- clients --------------------------------------------------------------------------------------

    def actor(self, *, alive: bool = True) -> Actor | None:
        names = [name for name in self.stage.actors if self.alive(name) == alive]
        return self.stage.actors[self.random.choice(sorted(names))] if names else None

    def state(self, name: str):  # type: ignore[no-untyped-def]
        return self.stage.machine.client(name)

    def alive(self, name: str) -> bool:
        state = self.state(name)
        return state is not None and state.alive

    def join(self) -> None:
        name = f"c{self.random.randrange(4)}"
        actor = self.stage.actors.get(name)
        held = []
        if actor is not None:
            if self.chance(30) and self.alive(name):
                self.stage.apply(Register(name, actor.nonce, f"{name}:1", 2, [], []))  # a repeated one
                return
            for (job, number), (attempt, digest) in sorted(actor.held.items()):
                if self.chance(80):
                    state = self.stage.machine.job(job)
                    held.append(Held(state.job_id if state else "?", number, attempt, digest, 9))
        labels = ["gpu"] if self.chance(40) else []
        self.stage.join(name, self.random.choice([1, 2, 4]), labels, held)

    def leave(self) -> None:
        actor = self.actor()
        if actor is not None:
            self.stage.apply(Leave(actor.name, actor.incarnation))

    def work(self) -> None:
        """A client reports some of what it has."""
        actor = self.actor()
        if actor is None:
            self.join()
            return
        actor.poll()
        if self.chance(5):
            self.repeat(actor)
            return
        reports: list[Done | Failed | Returned | Lost | Unreachable] = []
        mine = sorted(actor.attempts)
        for job, number in self.random.sample(mine, min(len(mine), self.random.randint(0, 6))):
            report = self.outcome(actor, job, number)
            if report is not None:
                reports.append(report)
        if actor.held and self.chance(6):
            job, number = self.random.choice(sorted(actor.held))
            reports.append(Lost(job, number, actor.held.pop((job, number))[0]))
        if self.chance(5):  # something stale
            stale = Done(1, self.random.randint(1, 9), self.random.randint(1, 3), digest_of("no"), 1, 1, 1, {}, [])
            mine_now = actor.attempts.get((1, stale.task))
            if mine_now is None or mine_now.attempt != stale.attempt:
                reports.append(stale)
        actor.report(*reports)

    def repeat(self, actor: Actor) -> None:
        """Reports that were sent before, or beyond a gap, or by an earlier incarnation: they change nothing."""
        sequence = self.random.choice([actor.sequence, actor.sequence + 2])
        mine = sorted(actor.attempts.items())
        stale = [Failed(job, number, one.attempt, "error", "twice") for (job, number), one in mine]
        incarnation = actor.incarnation if self.chance(50) else actor.incarnation - 1
        self.stage.apply(Reports(actor.name, incarnation, sequence, list(stale)))

    def outcome(self, actor: Actor, job: int, number: int) -> Done | Failed | Returned | Unreachable | None:
        mine = actor.attempts[job, number]
        inputs = dict.fromkeys(one for one, _ in mine.prerequisites)
        ready = all(actor.suppliers[job, one].attempt for one in inputs)
        kind = self.random.random()
        if (job, number, mine.attempt) in actor.asked and kind < 0.8:
            del actor.attempts[job, number]
            return Returned(job, number, mine.attempt)
        if inputs and kind < (0.1 if self.wild else 0.02):
            one = self.random.choice(sorted(inputs))
            row = actor.suppliers[job, one]
            return Unreachable(job, one, row.attempt, row.client, number, mine.attempt) if row.attempt else None
        if kind < (0.2 if self.wild else 0.05):
            del actor.attempts[job, number]
            return Failed(job, number, mine.attempt, "error", "it broke")
        if not ready:
            return None
        report = actor.done_report(number, job)
        if self.chance(3):
            report = actor.done_report(number, job, digest=digest_of(str(self.random.random())))
        if inputs and self.chance(3):
            report = actor.done_report(number, job, inputs=[(one, 1, b"wrong") for one in inputs])
        del actor.attempts[job, number]
        actor.held[job, number] = (report.attempt, report.digest)
        return report

    def tick(self) -> None:
        live = sorted(filter(self.alive, self.stage.actors))
        heard = [name for name in live if self.chance(70 if self.wild else 95)]
        ballot = self.stage.ballot if self.chance(95) else (0, 9)
        step = self.random.choice([100, 100, 200, 5_000])
        machine = self.stage.machine
        self.stage.apply(Tick(ballot, step, heard, machine.index, machine.digest))

    def rare(self) -> None:
        kind = self.random.randrange(5)
        if kind == 0:
            self.stage.begin()
        elif kind == 1 and self.chance(30) and self.jobs:
            self.stage.apply(CancelJob(f"job-{self.random.randint(1, self.jobs)}"))
        elif kind == 2 and self.jobs:
            self.stage.apply(Collected(f"job-{self.random.randint(1, self.jobs)}"))
        elif kind == 3 and self.jobs < 3:
            self.submit()
        else:
            self.leave()

    def step(self) -> None:
        acts = [self.decide, self.work, self.tick, self.join, self.keep, self.rare]
        self.random.choices(acts, [20, 45, 15, 4 if self.jobs else 1, 5, 4])[0]()


def whole(machine: Machine) -> bytes:
    return b"".join(machine.snapshot())


def compare_actor(actor: Actor) -> None:
    """What the client believes is what the view holds."""
    state = actor.stage.machine.client(actor.name)
    assert state is not None
    live = {(job, name): one for job, here in state.attempts.items() for name, one in here.items()}
    running = {key for key, one in live.items() if one.parked is None}
    assert running <= set(actor.attempts), "the client has every attempt that the view gave it"
    assert set(actor.attempts) <= set(live), "and none that the view took away"
    for job, uses in state.uses.items():
        for supplier in uses:
            row = actor.suppliers[job, supplier]
            machine = actor.stage.machine
            task = machine.world.jobs[job].tasks[supplier]
            assert not row.attempt or row.attempt <= task.last_attempt
            holder = machine.client(row.client)
            if row.attempt and row.client not in state.avoids.get(job, {}).get(supplier, ()):
                assert holder is not None and holder.alive, "a supplier's row never names somebody dead"


def play(seed: int, steps: int = STEPS) -> bytes:
    """One random play; returns the last digest."""
    act = Play(seed)
    other = Machine()
    applied = 0
    for number in range(steps):
        act.step()
        for data in act.stage.entries[applied:]:
            other.apply(other.index + 1, data)
        applied = len(act.stage.entries)
        assert other.digest == act.stage.machine.digest, f"seed {seed}, step {number}"
        if number % 11 == 5:
            mine = whole(act.stage.machine)
            assert whole(other) == mine
            other = Machine.restore(mine)
            assert whole(other) == mine
        for actor in act.stage.actors.values():
            state = act.stage.machine.client(actor.name)
            if state is not None and state.alive and act.chance(30):
                actor.poll()
                compare_actor(actor)
    assert whole(other) == whole(act.stage.machine)
    return act.stage.machine.digest


@pytest.mark.parametrize("seed", range(40))
def test_random_plays_agree(seed: int) -> None:
    play(seed)


def test_the_order_of_sets_and_hashes_does_not_matter() -> None:
    """The same play in processes with different hash seeds."""
    code = "from tests.view.test_random import play; print(play(4242, 150).hex())"
    found = set()
    for seed in ("1", "2"):
        path = os.pathsep.join(path for path in sys.path if path)
        env = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": path}
        found.add(subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, check=True).stdout)
    assert len(found) == 1
