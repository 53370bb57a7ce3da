from pathlib import Path

import pytest
from tests.loops import Play
from tests.programs.witness import SchedulerWitness

from tasksprint.programs import user_process
from tasksprint.programs.keeper import Keeper
from tasksprint.view.operations import StartTask
from tasksprint.view.records import Event

READY = """read -r hello; echo '{"ready":{"version":1}}'; """
PROGRAMS = Path(__file__).parents[1] / "sdk"


def sdk(name: str) -> list[str]:
    return ["@python", "-m", "tasksprint.sdk", str(PROGRAMS / name), "scheduler"]


def init(args: bytes = b"{}") -> Event:
    return Event(1, "init", 1_000, values={"args": args})


def done(seq: int, task: int, name: str = "work", **values: bytes) -> Event:
    return Event(seq, "task_done", 1_000 + seq, task=task, name=name, values=values)


async def started(script: str, folder: Path, keeper: Keeper, **more: int) -> SchedulerWitness:
    scheduler = SchedulerWitness(["/bin/sh", "-c", READY + script], folder, keeper, **more)
    await scheduler.has("ready")
    return scheduler


def test_a_scheduler_of_the_sdk(play: Play, keeper: Keeper, tmp_path: Path) -> None:
    async def story() -> None:
        boss = SchedulerWitness(sdk("clerk.py"), tmp_path, keeper)
        _, ready = await boss.has("ready")
        assert (ready.ordered, ready.save) == (False, True)
        boss.scheduler.feed([init()])
        _, part = await boss.has("part")
        assert (part.seq, part.part, part.more) == (1, 0, False)
        boss.scheduler.feed([done(2, 2, x=b"5")])  # not waiting for each other
        boss.scheduler.save()
        boss.scheduler.feed([done(3, 1, x=b"4")])
        await boss.until(lambda: boss.kinds() == ["ready", "part", "part", "saved", "part"])
        assert boss.told[3][1].seq == 2
        assert boss.scheduler.fed == 3
        boss.scheduler.close()
        await boss.has("closed")

    play(story())


def test_a_copy_goes_on_from_a_save(play: Play, keeper: Keeper, tmp_path: Path) -> None:
    async def story() -> None:
        events = [init(), done(2, 2, x=b"5"), done(3, 3, "sum", sum=b"9")]
        first = SchedulerWitness(sdk("clerk.py"), tmp_path, keeper)
        await first.has("ready")
        first.scheduler.feed(events[:2])
        first.scheduler.save()
        _, saved = await first.has("saved")
        first.scheduler.feed(events[2:])
        await first.until(lambda: first.kinds().count("part") == 2)
        second = SchedulerWitness(sdk("clerk.py"), tmp_path, keeper, saved=(saved.seq, saved.state))
        await second.has("ready")
        second.scheduler.feed(events[2:])
        assert (await second.has("part"))[1] == first.told[-1][1]
        for each in (first, second):
            each.scheduler.kill()
            await each.has("closed")

    play(story())


def test_a_million_starts_come_in_parts_and_wait(play: Play, keeper: Keeper, tmp_path: Path) -> None:
    """Two hundred thousand of them are enough to fill a pipe."""

    async def story() -> None:
        many = SchedulerWitness(sdk("many.py"), tmp_path, keeper)
        await many.has("ready")
        many.scheduler.feed([init(b'{"tasks":20000}')])
        many.scheduler.pause()
        await many.until(lambda: True)
        assert many.kinds() == ["ready"]
        many.scheduler.resume()
        await many.until(lambda: many.kinds()[-1] == "part" and not many.told[-1][1].more)
        parts = [what[1] for what in many.told if what[0] == "part"]
        assert [part.part for part in parts] == list(range(20))
        tasks = [each.task for part in parts for _, actions in part.answers for each in actions]
        assert tasks == list(range(1, 20_001))
        many.scheduler.close()
        await many.has("closed")

    play(story())


def test_a_pause_within_a_callback_holds_the_rest(play: Play, keeper: Keeper, tmp_path: Path) -> None:
    async def story() -> None:
        many = SchedulerWitness(sdk("many.py"), tmp_path, keeper)
        tell = many.scheduler_part

        def tell_and_pause(scheduler: object, part: object) -> None:
            tell(scheduler, part)
            many.scheduler.pause()

        many.scheduler_part = tell_and_pause  # type: ignore[method-assign]
        await many.has("ready")
        many.scheduler.feed([init(b'{"tasks":5000}')])
        for count in range(1, 6):
            await many.until(lambda count=count: many.kinds().count("part") >= count)  # type: ignore[misc]
            assert many.kinds().count("part") == count
            many.scheduler.resume()
        assert not many.told[-1][1].more
        many.scheduler.kill()
        await many.has("closed")

    play(story())


def test_cuts_do_not_depend_on_what_comes_along(play: Play, keeper: Keeper, tmp_path: Path) -> None:
    """The same events, one a line or all in one: every event's actions come in the same pieces."""

    async def story() -> None:
        args = b'{"tasks":3,"more":700}'
        events = [init(args), *[done(seq, seq - 1) for seq in (2, 3, 4)]]
        rows = []
        for lines in ([events], [[event] for event in events]):
            many = SchedulerWitness(sdk("many.py"), tmp_path, keeper)
            await many.has("ready")
            for line in lines:
                many.scheduler.feed(line)
            await many.until(lambda many=many: not many.scheduler.talk.owes)  # type: ignore[misc]
            rows.append([row for what in many.told if what[0] == "part" for row in what[1].answers])
            many.scheduler.kill()
            await many.has("closed")
        assert rows[0] == rows[1]
        assert len(rows[0]) == 4
        assert isinstance(rows[0][1][1][0], StartTask)

    play(story())


@pytest.mark.parametrize(
    ("script", "kind", "error"),
    [
        ("read -r events; echo oops >&2; exit 4", "crash", "exited with code 4 at an event up to 1"),
        ("read -r events; echo oops >&2; echo nonsense; sleep 1000", "protocol", "no JSON object: 'nonsense'"),
        (
            "read -r events; echo oops >&2; head -c 41943040 /dev/zero | tr '\\0' x; sleep 1000",
            "protocol", "longer than 16 MiB",
        ),
        (
            "read -r events; echo oops >&2; "
            'echo \'{"answers":[{"seq":1,"actions":[{"action":"explode"}]}]}\'; sleep 1000',
            "protocol", "Invalid value 'explode'",
        ),
        ("echo oops >&2; sleep 1000", "hang", "no answer to event 1 within 0.3 s"),
    ],
)  # fmt: skip
def test_one_that_goes_wrong(play: Play, keeper: Keeper, tmp_path: Path, script: str, kind: str, error: str) -> None:
    async def story() -> None:
        scheduler = await started(script, tmp_path, keeper, answer_ms=300)
        scheduler.scheduler.feed([init()])
        _, found, text = await scheduler.has("failed")
        assert found == kind
        assert error in text
        assert text.endswith("the end of its stderr:\noops")
        assert scheduler.scheduler.ended
        assert scheduler.log == "oops\n"

    play(story())


def test_time_passes_only_for_one_that_owes_an_answer(play: Play, keeper: Keeper, tmp_path: Path) -> None:
    async def story() -> None:
        answer = 'read -r events; echo \'{"answers":[{"seq":%d}]}\'; '
        script = answer % 1 + "read -r line; " + 'echo \'{"answers":[{"seq":2}],"more":true}\'; sleep 1000'
        scheduler = await started(script, tmp_path, keeper, answer_ms=300)
        scheduler.scheduler.feed([init()])
        await scheduler.has("part")
        idle = SchedulerWitness(["/bin/sh", "-c", READY + "sleep 1000"], tmp_path, keeper, answer_ms=100)
        await idle.has("ready")
        idle.scheduler.feed([init()])
        await idle.has("failed")  # a hundred milliseconds have passed, and more
        assert "failed" not in scheduler.kinds()
        scheduler.scheduler.feed([done(2, 1)])
        assert (await scheduler.has("failed"))[1] == "hang"
        assert scheduler.kinds().count("part") == 2

    play(story())


def test_one_that_exits_at_once(play: Play, keeper: Keeper, tmp_path: Path) -> None:
    async def story() -> None:
        scheduler = SchedulerWitness(["/bin/sh", "-c", "echo missing >&2; exit 2"], tmp_path, keeper)
        _, kind, error = await scheduler.has("failed")
        assert kind == "start"
        assert "exited with code 2 before it said 'ready'; the end of its stderr:\nmissing" in error

    play(story())


def test_one_that_cannot_be_started(play: Play, keeper: Keeper, tmp_path: Path) -> None:
    async def story() -> None:
        scheduler = SchedulerWitness(["no-such-program"], tmp_path, keeper)
        assert scheduler.told == [("failed", "start", "cannot start 'no-such-program': no such program")]

    play(story())


def test_one_that_never_says_ready(play: Play, keeper: Keeper, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(user_process, "START_MS", 200)

    async def story() -> None:
        scheduler = SchedulerWitness(["/bin/sh", "-c", "sleep 1000"], tmp_path, keeper)
        assert (await scheduler.has("failed"))[1:] == ("start", "the scheduler did not say 'ready' within 0.2 s")

    play(story())


def test_one_that_does_not_end_when_asked_is_killed(play: Play, keeper: Keeper, tmp_path: Path) -> None:
    async def story() -> None:
        scheduler = await started("trap '' TERM; sleep 1000", tmp_path, keeper)
        scheduler.scheduler.close()
        await scheduler.has("closed")
        assert "failed" not in scheduler.kinds()

    play(story())


def test_an_exception_shows_its_trace(play: Play, keeper: Keeper, tmp_path: Path) -> None:
    async def story() -> None:
        scheduler = SchedulerWitness(sdk("many.py"), tmp_path, keeper)
        await scheduler.has("ready")
        scheduler.scheduler.feed([init(b'{"tasks":"many"}')])
        _, kind, error = await scheduler.has("failed")
        assert kind == "crash"
        assert "TypeError" in error
        assert "many.py" in error

    play(story())
