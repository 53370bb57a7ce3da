from __future__ import annotations

from tasksprint.paxos.election import Dice, Election, Timing

TIMING = Timing(heartbeat_ms=10, election_ms=100)


def test_patience_is_drawn_from_the_seed() -> None:
    drawn = [Election(2, TIMING, seed, 1_000).deadline_ms for seed in range(200)]
    assert drawn == [Election(2, TIMING, seed, 1_000).deadline_ms for seed in range(200)]
    assert min(drawn) >= 1_100
    assert max(drawn) < 1_200
    assert len(set(drawn)) > 60
    assert drawn != [Election(3, TIMING, seed, 1_000).deadline_ms for seed in range(200)]


def test_the_dice_reach_every_side() -> None:
    dice = Dice(5)
    assert {dice.below(6) for _ in range(200)} == set(range(6))


def test_hearing_a_leader_keeps_it() -> None:
    election = Election(1, TIMING, 0, 0)
    assert not election.hears(0)
    election.heard(500)
    assert election.hears(599)
    assert not election.hears(600)
    assert 600 <= election.deadline_ms < 700
    election.hurry(510)
    assert not election.hears(510)
    assert election.deadline_ms < 520


def test_a_ballot_is_above_everything_seen_and_our_own() -> None:
    election = Election(2, TIMING, 0, 0)
    assert election.next_ballot((4, 3)) == (5, 2)
    election.saw((9, 1))
    election.saw((3, 1))
    assert election.next_ballot((4, 3)) == (10, 2)
