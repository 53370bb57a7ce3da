"""Each checker, made to fail: by hand-made observations that break its invariant, after some that keep it."""

from types import SimpleNamespace
from typing import Any

import pytest

from tasksprint import limits
from tasksprint.paxos.messages import Accepted, Appended, Decided, HeartbeatReply, Promise, Promised, Snapshotted
from tasksprint.sim.checkers.acceptance import Acceptance
from tasksprint.sim.checkers.acknowledged import Acknowledged
from tasksprint.sim.checkers.attempts import Attempts
from tasksprint.sim.checkers.base import Checker, Watch
from tasksprint.sim.checkers.bounds import Bounds
from tasksprint.sim.checkers.chosen import Chosen
from tasksprint.sim.checkers.cluster_time import ClusterTime
from tasksprint.sim.checkers.deaths import Deaths
from tasksprint.sim.checkers.decisions import Decisions
from tasksprint.sim.checkers.digests import Digests
from tasksprint.sim.checkers.feeding import Feeding
from tasksprint.sim.checkers.kills import Kills
from tasksprint.sim.checkers.leader_log import LeaderLog
from tasksprint.sim.checkers.leaders import Leaders
from tasksprint.sim.checkers.leftovers import Leftovers
from tasksprint.sim.checkers.order import Order
from tasksprint.sim.checkers.promises import Promises
from tasksprint.sim.checkers.quorum import Quorum
from tasksprint.sim.checkers.reads import Reads
from tasksprint.sim.checkers.sessions import Sessions
from tasksprint.sim.checkers.state import State
from tasksprint.sim.checkers.synced import Synced
from tasksprint.sim.disk import Write
from tasksprint.sim.truth import JournalModel, Truth, encode_record
from tasksprint.sim.world import Violation
from tasksprint.view import Event, Machine
from tasksprint.view.operations import (
    AnyAction,
    AnyOperation,
    Begin,
    Decide,
    Done,
    JobSpec,
    KillTask,
    Register,
    Reports,
    StartTask,
    Submit,
    Tick,
    pack_actions,
    pack_entry,
)
from tasksprint.view.part import Assign
from tasksprint.view.records import DONE, KILLED
from tasksprint.wire.messages import View

BALLOT = (3, 1)


def fails(checker: str) -> Any:
    return pytest.raises(Violation, match=f"^{checker}:")


# --- agreement ---------------------------------------------------------------------------------------


def store(truth: Truth, voter: int, *records: Any, fresh: bool = False) -> None:
    truth.stored(voter, Write(1, [encode_record(record) for record in records], fresh=fresh))


def chosen(*entries: bytes, ballot: tuple[int, int] = BALLOT) -> Truth:
    """Three disks, two of which hold these entries in one ballot."""
    truth = Truth((1, 2, 3))
    for voter in (1, 2):
        store(truth, voter, Promised(ballot), Appended(ballot, 1, list(entries)))
    assert truth.chosen == list(entries)
    return truth


def seat(truth: Truth, **replica: Any) -> Any:
    """A replica's place, as far as the checkers look at it."""
    known: dict[str, Any] = {
        "is_leader": True, "ballot": BALLOT, "promised": BALLOT, "first": 1, "decided": 2, "length": 2, "in_flight": 0,
    }  # fmt: skip
    replica_now = SimpleNamespace(**known | replica)
    return SimpleNamespace(
        voter=1, life=1, truth=truth, replica=replica_now, asked=truth.journals[1], applied_index=replica_now.decided
    )


def test_truth_takes_an_entry_for_chosen_when_a_majority_has_it_in_one_ballot() -> None:
    truth = Truth((1, 2, 3))
    store(truth, 1, Appended((1, 1), 1, [b"a", b"b"]))
    store(truth, 2, Appended((2, 2), 1, [b"c"]))
    assert truth.chosen == []  # two disks, two ballots
    store(truth, 3, Appended((2, 2), 1, [b"c", b"d"]))
    assert truth.chosen == [b"c"]
    with fails("chosen"):
        store(truth, 1, Appended((3, 1), 1, [b"a"]))


def test_truth_sees_a_cut_that_takes_a_chosen_entry_from_the_majority() -> None:
    truth = chosen(b"a", b"b")
    with fails("quorum"):
        store(truth, 1, Appended(BALLOT, 1, [b"a"]))


def test_truth_counts_records_that_belong_together_only_when_all_are_there() -> None:
    model = JournalModel()
    model.apply(Appended(BALLOT, 1, [b"a"], 2))
    assert model.length == 0
    model.apply(Appended(BALLOT, 2, [b"b"], 2))
    assert model.entries == [b"a", b"b"]
    model.apply(Appended((4, 1), 1, [b"c"], 2))
    model.apply(Decided(2))  # what was torn off does not count later
    model.apply(Appended((4, 1), 2, [b"d"], 2))
    assert model.entries == [b"a", b"d"]


def test_truth_compares_a_compacted_journal_with_the_old_one() -> None:
    truth = chosen(b"a", b"b")
    store(truth, 1, Snapshotted(1), Promised(BALLOT), Appended(BALLOT, 2, [b"b"]), fresh=True)
    assert truth.holders(1) == 2
    with fails("journal"):
        store(truth, 2, Snapshotted(2), fresh=True)


def test_chosen() -> None:
    checker, at = Chosen(), seat(chosen(b"a", b"b"))
    checker.applied(at, 1, b"a", b"")
    with fails("chosen"):
        checker.applied(at, 2, b"x", b"")
    with fails("chosen"):
        checker.applied(at, 3, b"c", b"")


def test_leftovers() -> None:
    """One client holds a result of a job that runs, then of one that is over; one that is down may hold anything."""
    state = SimpleNamespace(state="running")
    shadow = SimpleNamespace(job_number={"job": 1}.get, job=lambda number: state)
    holds = SimpleNamespace(name="client a", running=True, shelf={("job", 1, 1): None})
    down = SimpleNamespace(name="client b", running=False, shelf={("job", 1, 1): None, ("gone", 1, 1): None})
    cluster = SimpleNamespace(clients=[holds, down], shadow=shadow)
    Leftovers().finish(cluster)
    state.state = "done"
    with fails("leftovers"):
        Leftovers().finish(cluster)
    state.state, down.running = "running", True
    with fails("leftovers"):
        Leftovers().finish(cluster)


def test_quorum() -> None:
    truth = chosen(b"a", b"b")
    checker = Quorum()
    checker.applied(seat(truth), 1, b"a", b"")
    truth.journals[2] = JournalModel()
    with fails("quorum"):
        checker.applied(seat(truth), 2, b"b", b"")


def test_leaders() -> None:
    checker, at = Leaders(), seat(Truth((1, 2, 3)))
    checker.turn(at)
    checker.turn(at)
    at.life = 2
    with fails("leaders"):
        checker.turn(at)


def test_promises() -> None:
    checker, at = Promises(), seat(Truth((1, 2, 3)), promised=(3, 1))
    checker.started(at)
    checker.sent(at, 2, Promise(1, (5, 2), (0, 0), 0, 0, 0, []))
    at.replica.promised = (5, 2)
    checker.turn(at)
    at.replica.promised = (4, 2)
    with fails("promises"):
        checker.turn(at)
    with fails("promises"):
        checker.started(at)


def test_acceptance() -> None:
    checker, at = Acceptance(), seat(Truth((1, 2, 3)))
    checker.stored(at, [Promised((3, 1)), Appended((3, 1), 1, [b"a"])], False)
    with fails("acceptance"):
        checker.stored(at, [Appended((2, 2), 2, [b"b"])], False)
    checker.sent(at, 2, Promise(1, (5, 2), (0, 0), 0, 0, 0, []))
    with fails("acceptance"):
        checker.sent(at, 2, Accepted(1, (4, 2), 7))


def test_leader_log() -> None:
    checker, at = LeaderLog(), seat(chosen(b"a", b"b", ballot=(2, 2)))
    checker.turn(at)
    at.replica.ballot = (9, 1)
    at.asked = JournalModel()
    with fails("leader_log"):
        checker.turn(at)


def test_order() -> None:
    checker, at = Order(), seat(Truth((1, 2, 3)))
    checker.turn(at)
    at.applied_index = 3
    with fails("order"):
        checker.turn(at)
    at.applied_index = at.replica.decided = 1
    with fails("order"):
        checker.turn(at)


def test_digests() -> None:
    checker, at = Digests(), seat(Truth((1, 2, 3)))
    checker.applied(at, 1, b"a", b"one")
    checker.applied(at, 1, b"a", b"one")
    checker.restored(at, 1, b"one")
    for broken in (lambda: checker.applied(at, 1, b"a", b"other"), lambda: checker.restored(at, 1, b"other")):
        with fails("digests"):
            broken()
    with fails("digests"):
        checker.applied(at, 3, b"c", b"three")


@pytest.mark.parametrize("log", [(b"a",), (b"b", b"a"), (b"a", b"a")])
def test_acknowledged(log: tuple[bytes, ...]) -> None:
    checker = Acknowledged()
    checker.acknowledged(1, b"a")
    checker.acknowledged(2, b"b")
    checker.finish(SimpleNamespace(truth=chosen(b"a", b"b")))
    with fails("acknowledged"):
        checker.finish(SimpleNamespace(truth=chosen(*log)))


def test_reads() -> None:
    checker, at = Reads(), seat(Truth((1, 2, 3)))
    checker.acknowledged(5, b"")
    checker.read_asked(at, 1)
    checker.read_asked(at, 2)
    checker.acknowledged(9, b"")
    checker.read_served(at, 1, 5)
    with fails("reads"):
        checker.read_served(at, 2, 4)
    with fails("reads"):
        checker.read_served(at, 1, 9)


def test_bounds() -> None:
    checker, at = Bounds(), seat(Truth((1, 2, 3)), in_flight=limits.SLOTS_IN_FLIGHT + 10)
    checker.turn(at)  # adopted
    at.replica.in_flight -= 5
    checker.turn(at)
    at.replica.in_flight += 1
    with fails("bounds"):
        checker.turn(at)


def test_synced() -> None:
    checker, at = Synced(), seat(chosen(b"a", b"b"))
    checker.sent(at, 2, Promise(1, BALLOT, (0, 0), 0, 0, 0, []))
    checker.sent(at, 2, Accepted(1, BALLOT, 2))
    for told in (
        Promise(1, (4, 1), (0, 0), 0, 0, 0, []), Accepted(1, BALLOT, 3), Accepted(1, (4, 1), 1),
        HeartbeatReply(1, BALLOT, 1, 3, 3),
    ):  # fmt: skip
        with fails("synced"):
            checker.sent(at, 2, told)


# --- the view ----------------------------------------------------------------------------------------


class Told:
    """A machine that a checker watches, entry by entry."""

    def __init__(self, checker: Checker) -> None:
        self.machine = Machine()
        self.watch = Watch([checker])

    def apply(self, *operations: AnyOperation, spoil: Any = None) -> None:
        """`spoil` changes the machine after the entry, before the checker looks."""
        self.watch.tell("before_entry", self.machine, operations)
        self.machine.apply(self.machine.index + 1, pack_entry(list(operations)))
        if spoil is not None:
            spoil(self.machine)
        self.watch.tell("after_entry", self.machine, operations)

    def with_job(self, *actions: AnyAction) -> "Told":
        """A leader, a client of two slots, and a job whose scheduler has answered `init`."""
        self.apply(Begin(BALLOT), Register("c", 1, "c:1", 2, [], []))
        self.apply(Submit("job", JobSpec("name", ["s"], ["n"], b"{}", 7)))
        self.apply(decide(1, *actions))
        return self


def decide(seq: int, *actions: AnyAction, part: int = 0, more: bool = False, generation: int = 1) -> Decide:
    return Decide(BALLOT, 1, generation, seq, part, more, False, [(seq, pack_actions(list(actions)))])


def tick(step_ms: int = 100, *heard: str, ballot: tuple[int, int] = BALLOT) -> Tick:
    return Tick(ballot, step_ms, list(heard), 0, b"")


def start(task: int) -> StartTask:
    return StartTask(task, "name", b"{}")


def done(task: int, attempt: int = 1, sequence: int = 1) -> Reports:
    return Reports("c", 1, sequence, [Done(1, task, attempt, b"digest", 1, 0, 1, {}, [])])


def set_time(time_ms: int) -> Any:
    def spoil(machine: Machine) -> None:
        machine.world.time_ms = time_ms

    return spoil


def test_cluster_time() -> None:
    told = Told(ClusterTime())
    told.apply(Begin(BALLOT), tick())
    told.apply(tick(ballot=(2, 2)))
    told.apply(tick(100_000))
    with fails("cluster_time"):
        told.apply(tick(), spoil=set_time(10_000))


def kill_client(machine: Machine) -> None:
    machine.world.clients["c"].alive = False


def test_deaths() -> None:
    told = Told(Deaths())
    told.apply(Begin(BALLOT), Register("c", 1, "c:1", 2, [], []))
    for _ in range(limits.CLIENT_TIMEOUT_MS // 100 + 1):
        told.apply(tick())
    state = told.machine.client("c")
    assert state is not None
    assert not state.alive, "a silent client dies, and that is right"
    told = Told(Deaths())
    told.apply(Begin(BALLOT), Register("c", 1, "c:1", 2, [], []))
    told.apply(tick(), spoil=None)
    with fails("deaths"):
        told.apply(tick(), spoil=kill_client)


def test_attempts() -> None:
    told = Told(Attempts()).with_job(start(1), start(2))
    told.apply(done(1))

    def record(machine: Machine) -> None:
        job = machine.job(1)
        assert job is not None
        job.tasks[2].state = DONE

    with fails("attempts"):
        told.apply(done(2, attempt=9, sequence=2), spoil=record)
    checker = Attempts()
    assign = Assign(1, 1, 1, "name", b"", 0, [], [], 0, 1, False)
    checker.ran("a", 4, assign)
    checker.ran("a", 4, assign)
    with fails("attempts"):
        checker.ran("b", 5, assign)


def test_decisions() -> None:
    def go_on(machine: Machine) -> None:
        job = machine.job(1)
        assert job is not None
        job.next_part += 1

    told = Told(Decisions()).with_job(start(1))
    told.apply(done(1))
    told.apply(decide(2, generation=2))
    told.apply(decide(2, start(2), more=True))
    with fails("decisions"):
        told.apply(decide(2, start(3), more=True), spoil=go_on)


def test_sessions() -> None:
    def forget(machine: Machine) -> None:
        machine.world.clients["c"].acked = 0

    told = Told(Sessions()).with_job(start(1), start(2))
    told.apply(done(1))
    told.apply(done(1))
    with fails("sessions"):
        told.apply(done(2, sequence=2), spoil=forget)
    with fails("sessions"):
        told.watch.tell("told", told.machine, "c", View(1, 7, False, []))


def test_one_submit_is_one_job() -> None:
    def anew(machine: Machine) -> None:
        machine.world.numbers["job"] = 2

    told = Told(Sessions()).with_job()
    with fails("sessions"):
        told.apply(Submit("job", JobSpec("name", ["s"], ["n"], b"{}", 7)), spoil=anew)


def test_kills() -> None:
    def tell_as_done(machine: Machine) -> None:
        job = machine.job(1)
        assert job is not None
        assert job.tasks[1].state == KILLED
        job.last_event += 1
        job.events.append(Event(job.last_event, "task_done", 0, 1))

    told = Told(Kills()).with_job(start(1), start(2))
    told.apply(done(2))
    told.apply(decide(2, KillTask(1)))
    with fails("kills"):
        told.apply(tick(), spoil=tell_as_done)
    told.apply(done(2))
    with fails("kills"):
        told.apply(Begin((9, 9)), spoil=lambda machine: setattr(machine.job(1).tasks[1], "state", DONE))


def test_feeding() -> None:
    checker = Feeding()
    checker.fed(1, Event(1, "init", 0))
    checker.fed(1, Event(1, "init", 0))
    with fails("feeding"):
        checker.fed(1, Event(1, "init", 5))


def test_state() -> None:
    checker = State()
    told = Told(checker).with_job(start(1))
    checker.finish(SimpleNamespace(shadow=told.machine))
    kill_client(told.machine)
    with fails("state"):
        checker.finish(SimpleNamespace(shadow=told.machine))
