"""The world itself: order of events, clocks, lives and pauses of processes."""

from tasksprint.sim.world import MS_US, Clock, Process, World


def test_events_happen_in_time_and_ties_in_the_order_in_which_they_were_asked_for() -> None:
    world, seen = World(1), list[str]()
    world.after(20, seen.append, "late")
    world.after(10, seen.append, "first")
    world.after(10, seen.append, "second")
    world.run(15)
    assert seen == ["first", "second"]
    assert world.now_us == 15
    world.run(20)
    assert seen == ["first", "second", "late"]


def test_the_trace_hash_depends_on_what_happened_and_on_when() -> None:
    def hashed(delay_us: int, what: str) -> str:
        world = World(1)
        world.after(delay_us, world.note, what, b"payload")
        world.run(100)
        return world.trace_hash()

    assert hashed(10, "a") == hashed(10, "a")
    assert len({hashed(10, "a"), hashed(11, "a"), hashed(10, "b")}) == 3


def test_a_trace_is_kept_only_when_it_is_asked_for() -> None:
    world = World(1, trace=True)
    world.note("something", b"", lambda: "told")
    assert world.lines == ["  0.000000 something told"]
    assert World(1).lines is None


def test_a_clock_shows_a_time_when_its_wait_is_over() -> None:
    clock = Clock(500, 970)
    for ms in (501, 777, 12_345):
        wait_us = clock.us_until(ms, 0)
        assert clock.ms(wait_us) >= ms > clock.ms(wait_us - 2 * MS_US)


class Sleeper(Process):
    """Notes what reaches it."""

    def __init__(self, world: World) -> None:
        super().__init__(world, "sleeper")
        self.seen: list[str] = []

    def hear(self, what: str) -> None:
        self.seen.append(what)

    def wake(self) -> None:
        self.seen.append("woken")


def test_what_arrives_in_a_pause_waits_for_its_end() -> None:
    world = World(1)
    process = Sleeper(world)
    process.start()
    process.later(10, process.hear, "before")
    world.after(20, process.pause, 100)
    process.later(30, process.hear, "within")
    world.run(50)
    assert process.seen == ["before"]
    world.run(200)
    assert process.seen == ["before", "within"]


def test_what_is_addressed_to_one_life_never_reaches_the_next() -> None:
    world = World(1)
    process = Sleeper(world)
    process.start()
    process.later(50, process.hear, "old")
    world.after(10, process.crash)
    world.after(20, process.start)
    world.run(100)
    assert process.seen == []


def test_a_later_wish_to_be_woken_does_not_move_an_earlier_one() -> None:
    world = World(1)
    process = Sleeper(world)
    process.start()
    process.wake_at(process.now_ms() + 10)
    process.wake_at(process.now_ms() + 500)
    world.run(20 * MS_US)
    assert process.seen == ["woken"]


def test_a_core_that_always_wants_now_does_not_stop_the_world() -> None:
    world = World(1)
    process = Sleeper(world)
    process.turn = lambda: process.wake_at(0)  # type: ignore[method-assign]
    process.start()
    process.wake_at(0)
    world.run(50 * MS_US)
    assert 40 <= len(process.seen) <= 50
