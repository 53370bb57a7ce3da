"""Sessions, time and death."""

from __future__ import annotations

import pytest
from tests.view.stage import Actor, Stage, digest_of, task

from tasksprint import limits
from tasksprint.view import Diverged
from tasksprint.view.operations import Begin, Held, Leave, Register, Tick
from tasksprint.view.part import Keep

TIMEOUT_TICKS = limits.CLIENT_TIMEOUT_MS // 100


def alive(stage: Stage, name: str) -> bool:
    state = stage.machine.client(name)
    return state is not None and state.alive


# --- time ---------------------------------------------------------------------------------------------


def test_only_the_leaders_ticks_move_time() -> None:
    stage = Stage()
    stage.tick()
    machine = stage.machine
    for ballot in ((0, 1), (1, 2), (2, 1)):
        stage.apply(Tick(ballot, 100, [], machine.index, machine.digest))
    assert machine.time_ms == 100
    stage.begin()
    stage.apply(Tick((1, 1), 100, [], machine.index, machine.digest))
    assert machine.time_ms == 100
    stage.apply(Begin((1, 5)))
    stage.tick()
    assert machine.time_ms == 200, "an old leader's Begin changes nothing"


def test_a_ticks_step_is_capped() -> None:
    stage = Stage()
    stage.tick(step_ms=1 << 40)
    assert stage.machine.time_ms == limits.TICK_STEP_MAX_MS
    stage.tick(step_ms=-5)
    assert stage.machine.time_ms == limits.TICK_STEP_MAX_MS


def test_a_silent_client_dies_after_the_timeout_and_not_before() -> None:
    stage = Stage()
    stage.join("a")
    stage.join("b")
    stage.tick("a", "b", times=3)
    stage.tick("b", times=TIMEOUT_TICKS - 1)
    assert alive(stage, "a")
    stage.tick("b", "nobody")
    assert (alive(stage, "a"), alive(stage, "b")) == (False, True)
    assert stage.machine.living == 1


def test_a_new_leader_gives_everybody_a_full_timeout() -> None:
    stage = Stage()
    stage.join("a")
    stage.tick(times=TIMEOUT_TICKS - 1)
    stage.begin()
    stage.tick(times=TIMEOUT_TICKS - 1)
    assert alive(stage, "a")
    stage.tick()
    assert not alive(stage, "a")


def test_not_everybody_dies_in_one_tick() -> None:
    stage = Stage()
    for number in range(limits.DEATHS_PER_TICK + 3):
        stage.join(f"c{number:02}")
    stage.tick(times=TIMEOUT_TICKS)
    assert stage.machine.living == 3
    stage.tick()
    assert stage.machine.living == 0


def test_a_leader_whose_state_differs_is_noticed() -> None:
    stage = Stage()
    stage.tick()
    index = stage.machine.index
    with pytest.raises(Diverged, match=f"after entry {index} this coordinator's state differs"):
        stage.apply(Tick(stage.ballot, 100, [], index, b"another digest"))


def test_the_digest_of_recent_entries_is_known() -> None:
    stage = Stage()
    stage.tick(times=3)
    machine = stage.machine
    assert machine.digest_at(machine.index) == machine.digest
    assert machine.digest_at(2) not in (None, machine.digest)
    assert machine.digest_at(machine.index + 1) is None


# --- sessions -------------------------------------------------------------------------------------------


def test_registering_twice_is_one_session() -> None:
    stage = Stage()
    client = stage.join("a")
    incarnation = client.incarnation
    stage.apply(Register("a", client.nonce, "elsewhere:1", 9, [], []))
    state = stage.machine.client("a")
    assert state is not None
    assert (state.incarnation, state.address, state.slots) == (incarnation, "a:1", 2)


def test_a_late_copy_of_an_earlier_registration_changes_nothing() -> None:
    stage = Stage()
    client = stage.join("a")
    stage.join("a")
    incarnation = client.incarnation
    stage.apply(Register("a", 1, "a:1", 2, [], []))
    assert client.incarnation == incarnation


def test_a_new_incarnation_ends_what_was_before() -> None:
    stage = Stage()
    client = stage.join("a")
    job = stage.submit()
    stage.start(job, task(1), task(2, 1))
    old = client.done_report(1)
    incarnation = client.incarnation
    stage.join("a")
    client.report(old, sequence=1, incarnation=incarnation)
    client.sequence = 0
    client.report(old)
    assert stage.job().done == 0
    client.poll()
    assert client.attempts[job, 1].attempt == 2
    assert [one.kind for one in stage.events()[-2:]] == ["client_dead", "client_joined"]


def test_a_dead_client_registers_anew() -> None:
    stage = Stage()
    client = stage.join("a")
    stage.tick(times=TIMEOUT_TICKS)
    client.report()
    stage.tick("a")
    assert not alive(stage, "a")
    stage.apply(Register("a", client.nonce, "a:1", 2, [], []))
    assert alive(stage, "a"), "the same start of the client, after its death"


def test_leaving() -> None:
    stage = Stage()
    client, other = stage.join("a"), stage.join("b")
    job = stage.submit()
    stage.start(job, *[task(number) for number in range(1, 5)])
    stage.apply(Leave("a", client.incarnation - 1))
    assert alive(stage, "a")
    stage.apply(Leave("a", client.incarnation))
    assert other.numbers() == [1, 2, 3, 4]


def test_dead_clients_are_forgotten_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    from tasksprint.view import clients

    monkeypatch.setattr(clients, "CLIENTS_REMEMBERED", 2)
    stage = Stage()
    for name in "abc":
        stage.apply(Leave(name, stage.join(name).incarnation))
    assert stage.machine.client("a") is None
    assert stage.machine.client("b") is not None


# --- what a client kept -----------------------------------------------------------------------------------


def kept(client: Actor, job_id: str = "job") -> list[Held]:
    return [Held(job_id, number, attempt, digest, 10) for (_, number), (attempt, digest) in sorted(client.held.items())]


def test_results_that_were_kept_count_again() -> None:
    stage = Stage()
    client = stage.join("a")
    job = stage.submit()
    stage.start(job, task(1), task(2), task(3, 1, 2))
    client.done(1)
    client.done(2)
    held = kept(client)
    stage.join("a", held=[held[0], Held("job", 2, 1, digest_of("spoiled"), 10), Held("no job", 1, 1, b"", 1)])
    number, whole, changes = stage.machine.changes("a", 0)
    assert whole
    assert number == stage.machine.index
    assert [change for change in changes if isinstance(change, Keep)] == [Keep(job, 1, 1)]
    assert client.numbers() == [2, 3], "2 is made again, since what was kept is not the recorded result"


def test_a_result_that_comes_back_ends_its_second_run() -> None:
    stage = Stage()
    client, other = stage.join("a"), stage.join("b")
    job = stage.submit()
    stage.start(job, task(1, labels=[]))
    owner, helper = (client, other) if client.numbers() else (other, client)
    owner.done(1)
    stage.start(job, task(2, 1))
    held = kept(owner)
    stage.tick(helper.name, times=TIMEOUT_TICKS)
    assert helper.numbers() == [1, 2]
    stage.join(owner.name, held=held)
    assert helper.numbers() == [2]
    assert helper.suppliers[job, 1].client == owner.name
    helper.done(2)
    assert stage.job().done == 2
