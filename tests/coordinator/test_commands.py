"""What a command is told: that its request took effect, or in a line why not, and nothing that others know better."""

from __future__ import annotations

import hashlib

import pytest
from tests.coordinator.trio import COMMAND, JOB_ID, Trio

from tasksprint import limits
from tasksprint.coordinator.core import Coordinator
from tasksprint.view import Event
from tasksprint.view.operations import AnyAction
from tasksprint.wire import messages as wire

PARTS = (b"first ", b"second ", b"third")
HASH = hashlib.sha256(b"".join(PARTS)).hexdigest()


def idle(id: int, event: Event) -> list[AnyAction]:
    return []


def answered(trio: Trio, core: Coordinator, message: wire.ToCoordinator) -> str:
    """The error of the answer."""
    (answer,) = trio.tell(core, message, COMMAND)
    assert isinstance(answer, wire.Answer)
    return answer.error


def put(trio: Trio, core: Coordinator, part: int, *, name: str = HASH, parts: int = 3, data: bytes = b"") -> str:
    return answered(trio, core, wire.PutProgram(1, name, part, parts, data or PARTS[part]))


def test_a_program_comes_in_parts_and_each_may_be_said_twice() -> None:
    trio = Trio(idle)
    leader = trio.leader()
    for part in (0, 0, 1, 2, 1, 2):
        assert put(trio, leader, part) == ""
    assert leader.machine.program(HASH) == b"".join(PARTS)


def test_a_part_out_of_turn_is_refused_with_the_reason() -> None:
    trio = Trio(idle)
    leader = trio.leader()
    assert f"the program {HASH[:12]} is refused: its first part is not here any more" in put(trio, leader, 1)
    assert put(trio, leader, 0) == ""
    assert "part 2 of 3 is the next, not 3 of 3" in put(trio, leader, 2)
    assert "part 2 of 3 is the next, not 2 of 9" in put(trio, leader, 1, parts=9)
    assert put(trio, leader, 1) == "", "the program goes on as if nothing had been said"


def test_a_program_that_is_not_what_its_hash_says_is_refused_with_its_last_part() -> None:
    trio = Trio(idle)
    leader = trio.leader()
    assert [put(trio, leader, part) for part in (0, 1)] == ["", ""]
    error = put(trio, leader, 2, data=b"thirst")
    assert "has another hash" in error and len(error.splitlines()) == 1
    assert leader.machine.program(HASH) is None
    assert [put(trio, leader, part) for part in (0, 1, 2)] == ["", "", ""], "and may be put again"


@pytest.mark.parametrize("parts", [0, 1 << 30])
def test_a_program_of_too_many_parts_is_refused(parts: int) -> None:
    trio = Trio(idle)
    assert "more than 8 MiB" in put(trio, trio.leader(), 0, parts=parts)


def test_a_program_that_is_too_large_is_refused() -> None:
    trio = Trio(idle)
    leader = trio.leader()
    data, parts = bytes(limits.PROGRAM_CHUNK_BYTES), limits.PROGRAM_BYTES // limits.PROGRAM_CHUNK_BYTES
    said = [put(trio, leader, part, parts=parts + 1, data=data) for part in range(parts + 1)]
    assert said[:-1] == [""] * parts
    assert "more than 8 MiB" in said[-1]


def test_a_part_that_others_have_pushed_out_is_not_said_to_be_here() -> None:
    """Two requests in one slot of the log: the second makes room, and takes the first one's place."""
    trio = Trio(idle)
    leader = trio.leader()
    for number in range(limits.PROGRAMS_SPARE - 1):
        assert put(trio, leader, 0, name=f"{number}") == ""
    box = trio.heard.setdefault((leader.id, COMMAND), [])
    box.clear()
    for request, name in ((1, "one"), (2, "two"), (3, "0")):
        leader.message(COMMAND, wire.PutProgram(request, name, int(request == 3), 2, b"x"), trio.now)
    trio.settle()
    errors = {answer.request: answer.error for answer in box if isinstance(answer, wire.Answer)}
    assert (errors[1], errors[2]) == ("", "")
    assert "the program 0 is refused" in errors[3]


def test_what_nobody_has_cannot_be_cancelled() -> None:
    trio = Trio(idle)
    leader = trio.leader()
    for message in (wire.CancelRequest(1, JOB_ID), wire.CollectedRequest(1, JOB_ID)):
        assert f"no job {JOB_ID} here" in answered(trio, leader, message)
    trio.submit(leader)
    assert answered(trio, leader, wire.CancelRequest(1, JOB_ID)) == ""
    assert trio.job(leader).state == "cancelled"


def test_a_leader_that_was_left_behind_does_not_say_that_there_is_no_such_job() -> None:
    """It stood still for a while, and does not know yet that another one leads."""
    trio = Trio(idle)
    old = trio.leader()
    del trio.cores[old.id]
    new = trio.leader()
    trio.submit(new)
    trio.cores[old.id] = old
    trio.cut.add(old.id)
    assert old.leading
    assert trio.tell(old, wire.CancelRequest(1, JOB_ID), COMMAND) == [], "its word would be false"
    assert answered(trio, new, wire.CancelRequest(2, JOB_ID)) == ""
    trio.cut.clear()
    trio.later(1_000)
    assert not [each for each in trio.heard[(old.id, COMMAND)] if isinstance(each, wire.Answer)]
    assert trio.job(new).state == "cancelled"
    trio.agree()
