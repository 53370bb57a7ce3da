"""What a small cluster says, word for word, in a few scenes.  A change of the protocol shows as a diff of
`transcripts/*.txt`; set REWRITE_TRANSCRIPTS=1 to write them anew, and read the diff.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.paxos.world import Node, World

from tasksprint.paxos import snapshot_transfer

FOLDER = Path(__file__).parent / "transcripts"


def still_world(seed: int = 1) -> World:
    """Every message takes a millisecond, every write too, and nothing is lost unless the scene says so."""
    world = World(seed)
    world.delay_ms = world.disk_ms = 1
    world.trace = []
    return world


def leader(world: World) -> Node:
    while True:
        leaders = [node for node in world.nodes.values() if node.replica is not None and node.replica.is_leader]
        if leaders:
            return max(leaders, key=lambda node: node.replica.ballot if node.replica else (0, 0))
        world.run(world.now + 1)


def settled(world: World) -> Node:
    """Somebody leads, everybody knows; the transcript begins here."""
    node = leader(world)
    world.run(world.now + 10)
    world.trace = []
    return node


def propose(node: Node, *values: str) -> None:
    assert node.replica is not None
    for value in values:
        assert node.replica.propose(value.encode()) is not None
    node.turn()


def scene(world: World, title: str) -> None:
    assert world.trace is not None
    world.trace.append(f"--- {title}")


def others(world: World, node: Node) -> list[int]:
    return [id for id in world.voters if id != node.id]


def election() -> World:
    world = still_world()
    leader(world)
    world.run(world.now + 5)
    return world


def replication() -> World:
    world = still_world()
    node = settled(world)
    scene(world, "one proposal")
    propose(node, "a")
    world.run(world.now + 5)
    scene(world, "three proposals of one turn")
    propose(node, "b", "c", "d")
    world.run(world.now + 5)
    scene(world, "an Accept is lost: the next one shows the hole")
    world.cuts = {(node.id, others(world, node)[0])}
    propose(node, "e")
    world.cuts = set()
    propose(node, "f")
    world.run(world.now + 6)
    return world


def leader_change() -> World:
    world = still_world()
    node = settled(world)
    first, second = others(world, node)
    scene(world, f"one entry reaches only {first}, on its disk; then the leader crashes")
    world.cuts = {(node.id, second), (first, node.id)}
    propose(node, "adopted")
    world.run(world.now + 4)
    node.crash()
    world.cuts = set()
    scene(world, f"{second} stands first, and must take over what {first} accepted")
    assert world.nodes[second].replica is not None
    world.nodes[second].replica.election.deadline_ms = world.now
    world.nodes[first].replica.election.heard_ms = 0  # type: ignore[union-attr]
    while leader(world).id == node.id:
        world.run(world.now + 1)
    world.run(world.now + 5)
    scene(world, "the old leader comes back")
    node.start()
    world.run(world.now + 45)
    return world


def snapshot_catch_up() -> World:
    world = still_world()
    node = settled(world)
    late = world.nodes[others(world, node)[1]]
    late.crash()
    world.trace, trace = None, []
    for number in range(30):
        propose(node, f"value {number}")
        world.run(world.now + 3)
    while node.disk.snapshot is None:
        node.compact()
        world.run(world.now + 3)
    world.trace = trace
    scene(world, f"{late.id} comes back and needs what is compacted")
    late.start()
    world.run(world.now + 60)
    return world


def one_way_cut() -> World:
    world = still_world()
    node = settled(world)
    scene(world, "what the leader says is lost, what it is told is not")
    world.cuts = {(node.id, other) for other in others(world, node)}
    while leader(world) is node:
        world.run(world.now + 1)
    world.run(world.now + 10)
    scene(world, "the cut heals: the old leader follows")
    world.cuts = set()
    world.run(world.now + 45)
    return world


def resignation() -> World:
    world = still_world()
    node = settled(world)
    scene(world, "a slow disk: the leader resigns, and nobody waits for its silence")
    assert node.replica is not None
    node.replica.resign(world.now)
    node.turn()
    leader(world)
    world.run(world.now + 5)
    return world


SCENES: dict[str, Callable[[], World]] = {
    "election": election,
    "replication": replication,
    "leader_change": leader_change,
    "snapshot_catch_up": snapshot_catch_up,
    "one_way_cut": one_way_cut,
    "resignation": resignation,
}


@pytest.mark.parametrize("name", SCENES)
def test_it_is_said_as_written(name: str, small: Callable[[], None], monkeypatch: pytest.MonkeyPatch) -> None:
    if name == "snapshot_catch_up":
        small()
        monkeypatch.setattr(snapshot_transfer, "SNAPSHOT_CHUNK_BYTES", 100)
    said = "\n".join(SCENES[name]().trace or []) + "\n"
    path = FOLDER / f"{name}.txt"
    if os.environ.get("REWRITE_TRANSCRIPTS"):
        path.write_text(said)
    assert said == path.read_text(), "the protocol changed: REWRITE_TRANSCRIPTS=1 writes the transcripts anew"
