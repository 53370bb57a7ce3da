import threading
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.sdk.conftest import Talk

from tasksprint import Scheduler, Task
from tasksprint.sdk import saving
from tasksprint.sdk.desk import Desk
from tasksprint.sdk.scheduler import deliver

TalkTo = Callable[[str, str, Any], None]


class Heard:
    """A scheduler without a process: events in, actions out."""

    def __init__(self, kind: type[Scheduler]) -> None:
        self.lines: list[dict[str, Any]] = []
        self.scheduler = kind.__new__(kind)
        self.scheduler._sprint.desk = Desk(self._write)
        self.scheduler.__init__()  # type: ignore[misc]
        self.seq = 0

    def _write(self, text: str) -> None:
        import json

        self.lines.append(json.loads(text))

    def event(self, event: str, **fields: Any) -> list[dict[str, Any]]:
        """The actions that it answers with."""
        self.seq += 1
        self.lines.clear()
        deliver(self.scheduler, {"event": event, "seq": self.seq, "now": 1000 * self.seq, **fields})
        self.scheduler._sprint.desk.answer(self.seq)
        return [action for line in self.lines for answer in line["answers"] for action in answer.get("actions", [])]

    def done(self, task: int, **values: Any) -> list[dict[str, Any]]:
        return self.event("task_done", task=task, name="t", values=values)

    def failed(self, task: int) -> list[dict[str, Any]]:
        return self.event("task_failed", task=task, name="t", error="no")


class Noted(Scheduler):
    def __init__(self) -> None:
        self.notes: list[Any] = []

    def init(self, args: Any) -> None:
        self.tasks = [self.start_task("t") for _ in range(args)]

    def task_done(self, task: Task, values: dict[str, Any]) -> None:
        self.notes.append(task.number)

    def task_failed(self, task: Task, error: str) -> None:
        self.notes.append(-task.number)


class Gathering(Noted):
    def init(self, args: Any) -> None:
        super().init(args)
        self.gather(self.tasks[:4])

    def task_done(self, task: Task, values: dict[str, Any]) -> None:
        super().task_done(task, values)
        self.start_task("after")


def test_tasks_and_pieces() -> None:
    task = Task(3, "map")
    assert task == Task(3, "reduce")
    assert task != Task(4, "map")
    assert task != 3
    assert sorted([Task(2, "b"), Task(1, "a")])[0].number == 1
    assert len({task, Task(3, "map")}) == 1
    assert task["part"] == (task, "part")
    with pytest.raises(TypeError, match="string"):
        task[0]  # type: ignore[index]
    with pytest.raises(TypeError):
        list(task)  # type: ignore[call-overload]


def test_gathered_ends_come_in_order_of_ids_each_the_cause_of_its_own() -> None:
    heard = Heard(Gathering)
    heard.event("init", args=5)
    assert heard.done(3) == []
    assert [action["task"] for action in heard.done(5)] == [6]
    assert heard.failed(1) == []
    assert heard.done(2) == []
    assert heard.scheduler.notes == [5]  # type: ignore[attr-defined]
    actions = heard.done(4)
    assert heard.scheduler.notes == [5, -1, 2, 3, 4]  # type: ignore[attr-defined]
    assert [(action["task"], action["cause"]) for action in actions] == [(7, 2), (8, 3), (9, 4)]
    assert "cause" not in heard.done(6)[0]


def test_a_killed_task_is_left_out_of_its_group() -> None:
    heard = Heard(Gathering)
    heard.event("init", args=5)
    for task in (4, 1, 3):
        heard.done(task)

    class Killer(Gathering):
        def timer(self, name: str) -> None:
            self.kill_task(self.tasks[1])

    heard.scheduler.__class__ = Killer
    actions = heard.event("timer", name="x")
    assert heard.scheduler.notes == [1, 3, 4]  # type: ignore[attr-defined]
    assert [action["action"] for action in actions] == ["kill_task", "start_task", "start_task", "start_task"]
    assert heard.done(2) == []  # its late end is dropped
    assert heard.scheduler.notes == [1, 3, 4]  # type: ignore[attr-defined]


def test_gather_leaves_out_what_has_ended() -> None:
    class Late(Noted):
        def timer(self, name: str) -> None:
            self.gather(self.tasks)

    heard = Heard(Late)
    heard.event("init", args=3)
    heard.done(2)
    heard.event("timer", name="x")
    heard.done(3)
    heard.done(1)
    assert heard.scheduler.notes == [2, 1, 3]  # type: ignore[attr-defined]


def test_nothing_is_delivered_after_the_end() -> None:
    class Ends(Noted):
        def task_done(self, task: Task, values: dict[str, Any]) -> None:
            super().task_done(task, values)
            self.finish({"a": 1}, files=[task["f"]])
            self.finish({"b": 1})
            self.fail("too late")

    heard = Heard(Ends)
    heard.event("init", args=2)
    assert heard.done(1) == [{"action": "finish", "values": {"a": 1}, "files": [[1, "f"]]}]
    assert heard.done(2) == []
    assert heard.scheduler.notes == [1]  # type: ignore[attr-defined]
    with pytest.raises(RuntimeError, match="after the job has finished"):
        heard.scheduler.start_task("t")


def test_a_failed_task_fails_the_job() -> None:
    class Plain(Scheduler):
        def init(self, args: Any) -> None:
            self.start_task("t")

    heard = Heard(Plain)
    heard.event("init", args=None)
    assert heard.failed(1) == [{"action": "fail", "error": "t (task 1) failed: no"}]


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda s: s.start_task("t", [1]), "a dict of keywords"),
        (lambda s: s.start_task("t", {"x": float("inf")}), r"start_task\('t'\): args: NaN and Infinity"),
        (lambda s: s.start_task("t", {"x": 1 << 60}), "beyond 2\\^53"),
        (lambda s: s.start_task("t", keys="table"), r"keys=\['table'\]"),
        (lambda s: s.start_task("t", prerequisites=[Task(1, "t")]), r'named task\["key"\]'),
        (lambda s: s.start_task("", {}), "at least one character"),
        (lambda s: s.start_task("t", replicas=9), "1 to 8 are possible"),
        (lambda s: s.start_task("t", cores=-1), "cores=-1"),
        (lambda s: s.start_task("t", retries=1.5), "retries=1.5"),
        (lambda s: s.start_task("t", timeout_s=0), "timeout_s=0"),
        (lambda s: s.set_timer("t", -1), "a delay of -1"),
        (lambda s: s.finish({"a": {1, 2}}), "finish: JSON cannot carry this"),
    ],
)
def test_mistakes_are_named_where_they_are_made(call: Callable[[Scheduler], Any], error: str) -> None:
    heard = Heard(Noted)
    heard.event("init", args=1)
    with pytest.raises((TypeError, ValueError), match=error):
        call(heard.scheduler)


def test_an_ordered_scheduler_has_no_timers() -> None:
    class Ordered(Noted, ordered=True):
        pass

    assert Ordered.ordered
    assert not Noted.ordered
    with pytest.raises(RuntimeError, match="no timers"):
        Heard(Ordered).scheduler.set_timer("t", 1)


def test_time_and_randomness_are_the_clusters() -> None:
    class Draws(Scheduler):
        def init(self, args: Any) -> None:
            self.drawn = [self.random.random(), self.now, self.seed]

    first, second = Heard(Draws), Heard(Draws)
    for heard in (first, second):
        heard.scheduler._sprint.seed = 5
        heard.event("init", args=None)
    assert first.scheduler.drawn == second.scheduler.drawn == [Random(5).random(), 1.0, 5]  # type: ignore[attr-defined]


# --- saving ---------------------------------------------------------------------------------------------------

scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary()
hashable = scalars | st.tuples(scalars, scalars) | st.builds(Task, st.integers(1, 100), st.just("t"))
plain = st.recursive(
    hashable,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(max_size=5), inner, max_size=4)
        | st.dictionaries(hashable, inner, max_size=4)
        | st.tuples(inner, inner)
        | st.sets(st.integers() | st.text(), max_size=4)
        | st.frozensets(st.integers(), max_size=4)
    ),
    max_leaves=10,
)


def restored(scheduler: Scheduler) -> Any:
    import json

    again = Heard(type(scheduler)).scheduler
    saving.restore(again, json.loads(saving.save(scheduler)))
    return again


@settings(max_examples=50)
@given(plain)
def test_plain_attributes_come_back(value: Any) -> None:
    scheduler = Heard(Noted).scheduler
    scheduler.value = value  # type: ignore[attr-defined]
    again = restored(scheduler).value
    assert again == value
    assert type(again) is type(value)


def test_containers_come_back_as_what_they_were() -> None:
    scheduler: Any = Heard(Noted).scheduler
    scheduler.values = [
        Counter("hello"), deque([1, 2], maxlen=5), OrderedDict(b=1, a=2), defaultdict(list, {1: [2]}),
        float("inf"), 1 << 70, {"$tuple": [1]}, Random(3),
    ]  # fmt: skip
    scheduler.random.random()
    values = restored(scheduler).values
    assert [type(each) for each in values] == [type(each) for each in scheduler.values]
    assert values[:-1] == scheduler.values[:-1]
    assert values[1].maxlen == 5
    values[3][9].append(1)
    assert values[-1].random() == scheduler.values[-1].random()
    assert restored(scheduler).random.random() == scheduler.random.random()


def test_what_cannot_be_saved_is_named() -> None:
    scheduler: Any = Heard(Noted).scheduler
    scheduler.table = {"locks": [1, threading.Lock()]}
    with pytest.raises(saving.CannotSave, match=r"self\.table\['locks'\]\[1\] is a _thread\.lock"):
        saving.save(scheduler)
    scheduler.table = scheduler.notes
    with pytest.raises(saving.CannotSave, match=r"self\.table is the same object as self\.notes"):
        saving.save(scheduler)
    scheduler.table = "x" * (9 << 20)
    with pytest.raises(saving.CannotSave, match="keep less in self"):
        saving.save(scheduler)


def test_gathered_and_killed_tasks_survive_a_save() -> None:
    heard = Heard(Gathering)
    heard.event("init", args=6)
    heard.done(3)
    heard.scheduler.kill_task(heard.scheduler.tasks[5])  # type: ignore[attr-defined]
    again = Heard(Gathering)
    import json

    saving.restore(again.scheduler, json.loads(saving.save(heard.scheduler)))
    again.seq = heard.seq
    for task in (6, 4, 1):
        assert again.done(task) == []
    assert [action["cause"] for action in again.done(2)] == [1, 2, 3, 4]
    assert again.scheduler.notes == [1, 2, 3, 4]  # type: ignore[attr-defined]


def test_live_tasks_take_little_room() -> None:
    heard = Heard(Noted)
    heard.event("init", args=20_000)
    heard.scheduler.tasks.clear()  # type: ignore[attr-defined]
    heard.done(7)
    assert len(saving.save(heard.scheduler)) < 300


# --- as a process ---------------------------------------------------------------------------------------------


def test_print_goes_to_the_log(talk_to: TalkTo) -> None:
    source = """
class S(Scheduler):
    def init(self, args):
        print("deciding", args)
        self.fail("no")
"""

    async def story(talk: Talk) -> None:
        await talk.hear()
        answer = await talk.ask({"events": [{"event": "init", "seq": 1, "now": 5, "args": "x"}]})
        assert answer["answers"][0]["actions"] == [{"action": "fail", "error": "no"}]
        talk.say({"type": "bye"})
        await talk.probe.ends_well()
        assert talk.probe.child.tail == "deciding x"

    talk_to(source, "scheduler", story)


def test_a_save_that_is_refused_leaves_the_job_going(talk_to: TalkTo) -> None:
    source = """
class S(Scheduler):
    def init(self, args):
        self.stream = open("/dev/null")
    def timer(self, name):
        self.finish(name)
"""

    async def story(talk: Talk) -> None:
        await talk.hear()
        await talk.ask({"events": [{"event": "init", "seq": 1, "now": 5, "args": "x"}]})
        answer = await talk.ask({"save": True})
        assert answer["saved"] is None
        assert "self.stream is a _io.TextIOWrapper" in answer["error"]
        answer = await talk.ask({"events": [{"event": "timer", "seq": 2, "now": 5, "name": "t"}]})
        assert answer["answers"][0]["actions"][0]["values"] == "t"

    talk_to(source, "scheduler", story)


def test_a_scheduler_without_init_says_so(talk_to: TalkTo) -> None:
    async def story(talk: Talk) -> None:
        await talk.hear()
        talk.say({"events": [{"event": "init", "seq": 1, "now": 5, "args": "x"}]})
        assert await talk.probe.exit_code() == 1
        assert "S defines no init(self, args)" in talk.probe.child.tail

    talk_to("class S(Scheduler): pass", "scheduler", story)


FAULTY = """
import inner
class S(Scheduler):
    def init(self, args): self.start_task("t", 5)
    def timer(self, name): inner.broken()
"""


@pytest.mark.parametrize(
    ("event", "said"),
    [
        ({"event": "init", "args": None}, "S.init raised at event 1:"),
        ({"event": "timer", "name": "x"}, "S.timer raised at event 1:"),
    ],
)
def test_an_exception_names_its_handler_and_shows_the_users_frames_alone(
    talk_to: TalkTo, tmp_path: Any, event: dict[str, Any], said: str
) -> None:
    (tmp_path / "inner.py").write_text("def broken():\n    raise ValueError('broken')\n")

    async def story(talk: Talk) -> None:
        await talk.hear()
        talk.say({"events": [{"seq": 1, "now": 0, **event}]})
        assert await talk.probe.exit_code() == 1
        lines = talk.probe.child.tail.splitlines()
        assert lines[0] == said
        frames = [line for line in lines if line.startswith("  File ")]
        assert [line.split('"')[1] for line in frames] in (
            [str(tmp_path / "program.py")],
            [str(tmp_path / "program.py"), str(tmp_path / "inner.py")],
        )
        assert lines[-1].startswith(("TypeError: start_task('t'): args is a dict", "ValueError: broken"))

    talk_to(FAULTY, "scheduler", story)


@pytest.mark.parametrize("role", ["scheduler", "node"])
def test_a_missing_module_is_an_error_with_a_hint_and_without_our_frames(talk_to: TalkTo, role: str) -> None:
    async def story(talk: Talk) -> None:
        assert await talk.probe.exit_code() == 1
        said = talk.probe.child.tail
        assert said.count("  File ") == 1
        assert "No module named 'helper'\n(it is not among the job's files" in said
        assert "tasksprint.toml" in said

    talk_to("import helper", role, story)
