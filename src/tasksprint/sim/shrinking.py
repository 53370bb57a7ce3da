"""Small limits in some runs, so that what takes hours with the real ones happens in a few seconds.

A cap that is never reached is a branch that is never simulated: logs that are cut, messages that are split, answers in
parts, a client that is told its whole part, reports over the cap of parked ones, a cache that evicts.
"""

from __future__ import annotations

from tasksprint import limits
from tasksprint.client import supplies
from tasksprint.coordinator import copies, pending
from tasksprint.paxos import acceptor as paxos_acceptor
from tasksprint.paxos import proposer as paxos_proposer
from tasksprint.paxos import replica as paxos_replica
from tasksprint.paxos import snapshot_transfer
from tasksprint.sim.patch import Patch
from tasksprint.sim.world import World
from tasksprint.view import invariants, lanes, placement, reports, tasks
from tasksprint.view import world as view_world


def shrink_agreement(world: World, patch: Patch) -> None:
    if world.chance(700):
        patch.set(paxos_replica, "KEPT_ENTRIES", world.between(0, 30))  # a follower lags behind the log's beginning
    if world.chance(400):
        message_bytes = world.between(40, 400)  # a log travels in many pieces
        for module in (paxos_replica, paxos_acceptor, paxos_proposer):
            patch.set(module, "MESSAGE_BYTES", message_bytes)
        patch.set(paxos_proposer, "UNANSWERED_BYTES", 8 * message_bytes)
    if world.chance(500):
        patch.set(snapshot_transfer, "SNAPSHOT_CHUNK_BYTES", world.between(300, 2_000))


def shrink_cluster(world: World, patch: Patch) -> None:
    shrink_agreement(world, patch)
    patch.set(tasks, "CLIENT_DEATHS", 1_000)  # or the faults themselves would fail a job
    if world.chance(600):
        patch.set(limits, "SNAPSHOT_EVERY_BYTES", world.between(2_000, 40_000))
    if world.chance(500):
        patch.set(limits, "PART_ACTIONS", world.between(1, 8))
    if world.chance(500):
        patch.set(limits, "SAVE_EVERY_EVENTS", world.between(1, 20))
    if world.chance(400):
        kept = world.between(1, 20)  # changes of a client's part: one further behind is told the whole
        patch.set(view_world, "CHANGES_KEPT", kept)
        patch.set(invariants, "CHANGES_KEPT", kept)
    if world.chance(300):
        parked = world.between(0, 3)
        patch.set(reports, "PARKED_REPORTS", parked)
        patch.set(invariants, "PARKED_REPORTS", parked)
    if world.chance(300):
        patch.set(lanes, "EVENTS_UNANSWERED", world.between(2, 20))
    if world.chance(300):
        patch.set(placement, "WAITING_PER_SLOT", world.between(1, 5))
    if world.chance(300):
        patch.set(supplies, "FETCHED_CACHE_BYTES", world.between(0, 100))
    if world.chance(300):
        patch.set(limits, "REPORTS_PER_BATCH", world.between(1, 5))
    if world.chance(300):
        patch.set(copies, "FEED_EVENTS", world.between(1, 5))
    if world.chance(300):
        patch.set(pending, "SLOT_FILL_BYTES", world.between(100, 1_000))
