"""The simulated disk: what was synced stays, the rest is cut at random."""

from tasksprint.sim.disk import Disk, Write
from tasksprint.sim.world import MS_US, SECOND_US, World


def disk(seed: int = 1) -> tuple[World, Disk, list[int], list[Write]]:
    world = World(seed)
    durable, stored = list[int](), list[Write]()
    made = Disk(world, "disk", stored.append)
    made.start(durable.append)
    return world, made, durable, stored


def test_one_sync_covers_all_that_waits() -> None:
    world, made, durable, stored = disk()
    for number in range(1, 6):
        made.append(number, [b"%d" % number])
    world.run(SECOND_US)
    assert durable == [1, 5]  # the first goes alone, the others gather meanwhile
    assert made.platter.records == [b"1", b"2", b"3", b"4", b"5"]
    assert len(stored) == 5


def test_a_crash_keeps_what_was_synced_and_a_prefix_of_the_rest() -> None:
    kept = set()
    for seed in range(60):
        world, made, durable, _ = disk(seed)
        made.append(1, [b"synced"])
        world.run(SECOND_US)
        for number in range(2, 5):
            made.append(number, [b"%d-%d" % (number, part) for part in range(3)])
        made.crash()
        world.run(2 * SECOND_US)
        assert durable == [1]
        wanted = [b"synced", *(b"%d-%d" % (number, part) for number in range(2, 5) for part in range(3))]
        found = made.platter.records
        assert found == wanted[: len(found)]
        kept.add(len(found))
    assert 1 in kept  # nothing of the rest
    assert len(wanted) in kept  # all of it
    assert any((length - 1) % 3 for length in kept), "a write was never torn"


def test_a_rotation_replaces_the_journal_or_leaves_it() -> None:
    seen = set()
    for seed in range(60):
        _, made, _, _ = disk(seed)
        made.platter.records = [b"old"]
        made.rotate(7, b"state", [b"new"])
        made.crash()
        seen.add((tuple(made.platter.records), made.platter.snapshot))
    assert seen == {((b"old",), None), ((b"new",), (7, b"state")), ((b"old",), (7, b"state"))}


def test_an_installed_snapshot_never_gives_way_to_an_older_one() -> None:
    world, made, _, _ = disk()
    made.install(9, b"nine")
    made.install(4, b"four")
    world.run(SECOND_US)
    assert made.platter.snapshot == (9, b"nine")


def test_a_stalled_sync_shows_in_the_age_of_what_waits() -> None:
    world, made, durable, _ = disk()
    made.stall_per_mille, made.stall_us = 1_000, 4 * SECOND_US
    made.append(1, [b"x"])
    world.run(50 * MS_US)
    assert durable == []
    assert made.oldest_unsynced_us() == 50 * MS_US
    world.run(5 * SECOND_US)
    assert durable == [1]
    assert made.oldest_unsynced_us() == 0
