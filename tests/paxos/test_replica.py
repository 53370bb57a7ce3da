"""One replica, spoken to by hand: what it says, when, and what it waits for."""

from __future__ import annotations

from typing import Any

import pytest

from tasksprint.limits import SLOTS_IN_FLIGHT
from tasksprint.paxos import Output, Replica, Timing
from tasksprint.paxos import messages as said
from tasksprint.paxos.messages import HOLE, AnyMessage, Appended, Promised

TIMING = Timing(heartbeat_ms=10, election_ms=100)
BALLOT = (5, 2)


def replica(*records: Any, voters: tuple[int, ...] = (1, 2, 3), now_ms: int = 0) -> Replica:
    return Replica(1, voters, TIMING, 3, now_ms, records=records)


def done(one: Replica, now_ms: int = 0) -> Output:
    """A turn whose writes are durable at once."""
    output = one.take()
    if output.write:
        one.written(output.write, now_ms)
    return output


def said_to(output: Output, to: int) -> list[AnyMessage]:
    return [message for receiver, message, _ in output.messages if receiver == to]


def following(*entries: bytes, decided: int = 0) -> Replica:
    """Replica 1 follows 2 in BALLOT, its log is durable."""
    one = replica(Promised(BALLOT), Appended(BALLOT, 1, list(entries)))
    one.step(2, said.Heartbeat(1, BALLOT, decided, 1), 0)
    done(one)
    return one


def leading(*entries: bytes) -> Replica:
    """Replica 1 leads; 2 promised, with an empty log."""
    one = replica(Promised((1, 1)), Appended((1, 1), 1, list(entries)))
    now = one.next_wake()
    one.tick(now)
    (ask,) = said_to(one.take(), 2)
    assert isinstance(ask, said.PreVote)
    one.step(2, said.PreVoteReply(1, ask.ballot, True, said.ZERO), now)
    done(one, now)
    one.step(2, said.Promise(1, ask.ballot, said.ZERO, 0, 0, 0, []), now)
    assert one.is_leader
    return one


# --- standing ---------------------------------------------------------------------------------------
def test_silence_makes_it_ask_before_it_stands() -> None:
    one = replica(Promised(BALLOT))
    deadline = one.next_wake()
    assert 100 <= deadline < 200
    one.tick(deadline - 1)
    assert not one.take().messages
    one.tick(deadline)
    output = one.take()
    assert said_to(output, 2) == said_to(output, 3) == [said.PreVote(1, (6, 1), said.ZERO, 0, 0)]
    assert not output.records, "asking promises nothing"


def test_prepare_waits_for_our_own_promise() -> None:
    one = replica(Promised(BALLOT))
    now = one.next_wake()
    one.tick(now)
    one.take()
    one.step(3, said.PreVoteReply(1, (6, 1), True, said.ZERO), now)
    output = one.take()
    assert output.records == [Promised((6, 1))]
    assert [(type(message), after) for _, message, after in output.messages] == [(said.Prepare, output.write)] * 2


def test_a_refused_candidate_asks_for_a_higher_ballot() -> None:
    one = replica(Promised(BALLOT))
    now = one.next_wake()
    one.tick(now)
    one.take()
    one.step(3, said.PreVoteReply(1, (6, 1), False, (9, 3)), now)
    one.tick(one.next_wake())
    assert said_to(one.take(), 2) == [said.PreVote(1, (10, 1), said.ZERO, 0, 0)]


def test_who_hears_a_leader_grants_nothing() -> None:
    one = following()
    question = said.PreVote(1, (9, 3), BALLOT, 0, 0)
    one.step(3, question, 99)
    assert said_to(one.take(), 3) == [said.PreVoteReply(1, (9, 3), False, BALLOT)]
    one.step(3, question, 100)
    assert said_to(one.take(), 3) == [said.PreVoteReply(1, (9, 3), True, BALLOT)]


def test_a_leader_grants_nothing() -> None:
    one = leading()
    one.take()
    one.step(3, said.PreVote(1, (99, 3), (98, 3), 50, 50), 100_000)
    (reply,) = [message for message in said_to(one.take(), 3) if isinstance(message, said.PreVoteReply)]
    assert not reply.granted


def test_a_cluster_of_one_leads_at_once() -> None:
    one = replica(voters=(1,))
    done(one)
    assert one.is_leader
    assert one.propose(b"a") == 1
    assert one.read(7)
    output = done(one)
    assert output.committed == []
    assert output.reads == [(7, 0)]
    assert one.take().committed == [(1, b"a")]


def test_a_new_cluster_does_not_wait_for_silence() -> None:
    assert replica().next_wake() < TIMING.heartbeat_ms


# --- promising --------------------------------------------------------------------------------------
def test_a_promise_leaves_after_its_write() -> None:
    one = following(b"a", b"b")
    one.step(3, said.Prepare(1, (9, 3), 0, (4, 3), 7), 0)
    output = one.take()
    assert output.records == [Promised((9, 3))]
    assert output.messages == [(3, said.Promise(1, (9, 3), BALLOT, 2, 0, 1, [b"a", b"b"]), output.write)]


def test_what_was_accepted_just_before_is_waited_for_too() -> None:
    one = following()
    one.step(2, said.Accept(1, BALLOT, 1, [b"a"], 0), 0)
    one.step(3, said.Prepare(1, (9, 3), 0, said.ZERO, 0), 0)
    output = one.take()
    assert output.records == [Appended(BALLOT, 1, [b"a"]), Promised((9, 3))]
    assert {after for _, _, after in output.messages} == {output.write}


def test_nothing_below_the_promise_is_taken() -> None:
    one = following(b"a")
    old = (4, 3)
    for message in (
        said.Prepare(1, old, 0, said.ZERO, 0), said.Accept(1, old, 2, [b"x"], 0), said.Heartbeat(1, old, 1, 5),
        said.AcceptSync(1, old, 1, 1, 1, [b"x"], 0), said.SnapshotChunk(1, old, 5, 0, 0, b"", b""),
    ):
        one.step(3, message, 0)
        output = one.take()
        assert said_to(output, 3) == [said.Reject(1, BALLOT)]
        assert not output.records
    assert one.leader == 2
    assert one.length == 1


def test_other_configurations_and_strangers_are_not_heard() -> None:
    one = following()
    one.step(3, said.Prepare(2, (9, 3), 0, said.ZERO, 0), 0)
    one.step(4, said.Prepare(1, (9, 4), 0, said.ZERO, 0), 0)
    output = one.take()
    assert (output.messages, output.records) == ([], [])


# --- accepting --------------------------------------------------------------------------------------
def test_one_answer_for_a_turn_after_its_write() -> None:
    one = following()
    one.step(2, said.Accept(1, BALLOT, 1, [b"a"], 0), 0)
    one.step(2, said.Accept(1, BALLOT, 2, [b"b"], 0), 0)
    output = one.take()
    assert output.messages == [(2, said.Accepted(1, BALLOT, 2), output.write)]
    one.step(2, said.Accept(1, BALLOT, 2, [b"b"], 0), 0)
    assert one.take().messages == [(2, said.Accepted(1, BALLOT, 2), output.write)], "that write may not be done yet"


def test_a_hole_is_told_once() -> None:
    one = following(b"a")
    for start in (3, 4, 5):
        one.step(2, said.Accept(1, BALLOT, start, [b"x"], 0), 0)
    assert one.take().messages == [(2, said.HeartbeatReply(1, BALLOT, HOLE, 1, 1), 0)]
    one.step(2, said.Heartbeat(1, BALLOT, 0, 4), 0)
    assert one.take().messages == [(2, said.HeartbeatReply(1, BALLOT, 4, 1, 1), 0)]
    one.step(2, said.Accept(1, BALLOT, 3, [b"x"], 0), 0)
    assert len(one.take().messages) == 1


def test_heartbeats_are_answered_with_what_is_durable_and_never_wait() -> None:
    one = following(b"a")
    one.step(2, said.Accept(1, BALLOT, 2, [b"b"], 0), 0)
    one.step(2, said.Heartbeat(1, BALLOT, 0, 4), 0)
    assert (2, said.HeartbeatReply(1, BALLOT, 4, 1, 2), 0) in one.take().messages


def test_decided_waits_for_our_own_disk() -> None:
    one = following(b"a")
    one.step(2, said.Accept(1, BALLOT, 2, [b"b"], 2), 0)
    output = one.take()
    assert output.committed == [(1, b"a")]
    one.written(output.write, 0)
    assert one.take().committed == [(2, b"b")]


def test_decided_says_nothing_about_a_log_of_another_ballot() -> None:
    one = replica(Promised(BALLOT), Appended((4, 3), 1, [b"a"]))
    one.step(2, said.Heartbeat(1, BALLOT, 1, 1), 0)
    assert one.decided == 0
    one.step(2, said.AcceptSync(1, BALLOT, 1, 1, 1, [b"A"], 1), 0)
    done(one)
    assert one.take().committed == [(1, b"A")]


# --- leading ----------------------------------------------------------------------------------------
def test_many_proposals_of_a_turn_are_one_message_and_one_record() -> None:
    one = leading()
    done(one)
    assert [one.propose(data) for data in (b"a", b"b", b"c")] == [1, 2, 3]
    output = one.take()
    assert output.records == [Appended(one.ballot, 1, [b"a", b"b", b"c"])]
    assert output.messages == [(2, said.Accept(1, one.ballot, 1, [b"a", b"b", b"c"], 0), 0)]


def test_the_leader_counts_itself_when_it_has_written() -> None:
    one = leading()
    done(one)
    one.propose(b"a")
    output = one.take()
    one.step(2, said.Accepted(1, one.ballot, 1), 0)
    assert one.decided == 0
    one.written(output.write, 0)
    assert one.decided == 1
    output = one.take()
    assert output.committed == [(1, b"a")]
    assert not output.messages, "nobody is woken for it alone"
    one.propose(b"b")
    assert said_to(one.take(), 2) == [said.Accept(1, one.ballot, 2, [b"b"], 1)]
    one.tick(one.next_wake())
    assert said_to(one.take(), 2) == [said.Heartbeat(1, one.ballot, 1, 2)]


def test_two_followers_decide_without_the_leaders_disk() -> None:
    one = leading()
    one.step(3, said.Promise(1, one.ballot, said.ZERO, 0, 0, 0, []), 0)
    done(one)
    one.propose(b"a")
    one.take()
    for follower in (2, 3):
        one.step(follower, said.Accepted(1, one.ballot, 1), 0)
    assert one.take().committed == [(1, b"a")]


def test_acceptances_of_other_ballots_count_nothing() -> None:
    one = leading(b"a")
    done(one)
    one.step(2, said.Accepted(1, (1, 1), 1), 0)
    one.step(2, said.HeartbeatReply(1, (1, 1), 1, 1, 1), 0)
    assert one.decided == 0


def test_too_much_in_flight_is_refused() -> None:
    one = leading()
    done(one)
    assert [one.propose(b"x") for _ in range(SLOTS_IN_FLIGHT)] == list(range(1, SLOTS_IN_FLIGHT + 1))
    assert one.propose(b"x") is None
    assert not one.can_propose
    assert one.in_flight == SLOTS_IN_FLIGHT
    done(one)
    one.step(2, said.Accepted(1, one.ballot, 5), 0)
    assert one.in_flight == SLOTS_IN_FLIGHT - 5
    assert one.can_propose


def test_large_entries_are_limited_by_their_weight() -> None:
    one = leading()
    done(one)
    proposed = 0
    while one.propose(bytes(1 << 20)) is not None:
        proposed += 1
    assert proposed == 8
    sizes = [sum(map(len, message.entries)) for message in said_to(done(one), 2) if isinstance(message, said.Accept)]
    assert sizes == [2 << 20] * 4


def test_no_heartbeat_while_everybody_accepts_everything() -> None:
    one = leading()
    one.step(3, said.Promise(1, one.ballot, said.ZERO, 0, 0, 0, []), 0)
    one.timing = Timing(heartbeat_ms=100, election_ms=500)
    now = one.next_wake()
    one.tick(now)
    done(one)
    for _ in range(10):
        now += 99
        one.tick(now)
        one.propose(b"a")
        output = done(one)
        assert [type(message) for _, message, _ in output.messages] == [said.Accept, said.Accept]
        for follower in (2, 3):
            one.step(follower, said.Accepted(1, one.ballot, one.length), now)
        assert one.next_wake() == now + 125
    one.tick(now + 125)
    assert one.is_leader, "acceptances are answers"
    assert isinstance(said_to(done(one), 3)[-1], said.Heartbeat)


def test_one_that_lacks_something_is_asked_for_it_by_heartbeats() -> None:
    one = leading()
    one.step(3, said.Promise(1, one.ballot, said.ZERO, 0, 0, 0, []), 0)
    done(one)
    start, beats = one.next_wake() - TIMING.heartbeat_ms, 0
    for now in range(start + 8, start + 60, 8):
        one.tick(now)
        one.propose(b"a")
        beats += any(isinstance(message, said.Heartbeat) for _, message, _ in done(one).messages)
        one.step(2, said.Accepted(1, one.ballot, one.length), now)
    assert beats >= 3


def test_without_answers_it_steps_down_and_says_so() -> None:
    one = leading()
    done(one)
    start = one.next_wake() - TIMING.heartbeat_ms
    one.tick(start + 100)
    assert one.is_leader
    one.take()
    one.tick(start + 101)
    assert not one.is_leader
    output = one.take()
    assert output.role_changed
    assert isinstance(said_to(output, 3)[0], said.Resigned)
    assert one.propose(b"x") is None
    assert not one.read(1)
    assert one.in_flight == 0


def test_answers_of_a_quorum_keep_it() -> None:
    one = leading()
    done(one)
    now = one.next_wake()
    for _ in range(50):
        one.tick(now)
        (beat,) = [message for message in said_to(one.take(), 2) if isinstance(message, said.Heartbeat)]
        one.step(2, said.HeartbeatReply(1, one.ballot, beat.round, 0, 0), now)
        now = one.next_wake()
    assert one.is_leader


def test_a_higher_promise_ends_it() -> None:
    one = leading()
    done(one)
    one.step(3, said.Reject(1, (9, 3)), 500)
    assert not one.is_leader
    other = leading()
    done(other)
    other.step(3, said.Prepare(1, (9, 3), 0, said.ZERO, 0), 500)
    assert (other.is_leader, other.promised) == (False, (9, 3))


def test_who_resigns_lets_others_stand_first() -> None:
    one = leading()
    done(one)
    one.resign(1_000)
    assert one.next_wake() >= 1_000 + 3 * TIMING.election_ms
    two = following()
    two.step(2, said.Resigned(1, BALLOT), 50)
    assert two.next_wake() < 50 + TIMING.heartbeat_ms
    assert two.leader == 0


def test_a_resignation_of_an_older_leader_means_nothing() -> None:
    one = following()
    one.step(3, said.Resigned(1, (4, 3)), 50)
    assert one.leader == 2


# --- reads ------------------------------------------------------------------------------------------
def test_waiting_reads_share_a_round() -> None:
    one = leading(b"a")
    done(one)
    assert one.read(70)
    assert one.read(71)
    (beat,) = said_to(one.take(), 2)
    assert isinstance(beat, said.Heartbeat)
    assert one.read(72)
    assert not one.take().messages, "the next round begins when this one is answered"
    one.step(2, said.HeartbeatReply(1, one.ballot, beat.round - 1, 0, 0), 0)
    assert one.take().reads == []
    one.step(2, said.HeartbeatReply(1, one.ballot, beat.round, 0, 0), 0)
    output = one.take()
    assert output.reads == [(70, 1), (71, 1)], "what older ballots may have chosen is in the adopted log"
    (beat,) = [message for message in said_to(output, 2) if isinstance(message, said.Heartbeat)]
    one.step(2, said.HeartbeatReply(1, one.ballot, beat.round, 1, 1), 0)
    assert one.take().reads == [(72, 1)]


# --- restart and compaction -------------------------------------------------------------------------
def test_what_was_decided_is_given_out_again_after_the_snapshot() -> None:
    records = [Promised(BALLOT), Appended(BALLOT, 1, [b"a", b"b", b"c"]), said.Decided(3)]
    one = Replica(1, (1, 2, 3), TIMING, 3, 0, records=records, snapshot=(1, b"state"))
    assert one.take().committed == [(2, b"b"), (3, b"c")]
    assert one.ballot == BALLOT


def test_a_journal_that_begins_after_the_snapshot_is_refused() -> None:
    with pytest.raises(AssertionError, match="begins after"):
        replica(said.Snapshotted(5))


def test_a_snapshot_of_what_was_not_given_out_is_refused() -> None:
    one = following(b"a", b"b", decided=1)
    with pytest.raises(AssertionError, match="only 1 was given out"):
        one.compact(2, b"state")


def test_a_snapshot_in_the_middle_of_a_turn_is_refused() -> None:
    """Its records would hold what the journal does not yet: a rotation may come late, or never."""
    one = following(b"a", b"b", decided=2)
    one.step(2, said.Accept(1, BALLOT, 3, [b"c"], 2), 0)
    with pytest.raises(AssertionError, match="take"):
        one.compact(2, b"state")
    done(one)
    assert one.compact(2, b"state")[0] == said.Snapshotted(2)


def test_a_tail_stays_for_those_that_lag_a_little() -> None:
    one = following(*[b"x"] * 3_000, decided=2_900)
    one.compact(2_500, b"state")
    assert one.first == 2_500 + 1 - 1_024
    heavy = following(*[bytes(1 << 20)] * 30, decided=30)
    heavy.compact(30, b"state")
    assert 22 < heavy.first <= 31
