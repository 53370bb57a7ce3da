from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.sdk.conftest import Talk

TalkTo = Callable[[str, str, Any], None]
SEED = f"{12345:016x}"


def run(task: int, name: str, args: Any = None, seed: str = SEED, **more: Any) -> dict[str, Any]:
    run = {"type": "run", "task": task, "attempt": 1, "name": name, "args": args, "inputs": [], "seed": seed}
    return {**run, "folder": f"/nonexistent/{task}.1", **more}


def test_randomness_follows_the_seed(talk_to: TalkTo) -> None:
    source = """
import random
class N(Node):
    @task
    def draw(self):
        return {"own": self.random.random(), "module": random.random(), "seed": str(self.seed)}
    @task
    def numbers(self):
        import numpy
        return {"numpy": float(numpy.random.random())}
"""

    async def story(talk: Talk) -> None:
        await talk.hear()
        names = ("draw", "numbers", "numbers", "draw")
        talk.say(*[run(number, name) for number, name in enumerate(names)], run(9, "draw", seed=f"{1:016x}"))
        first, numbers, again, draw, other = [(await talk.hear())["result"] for _ in range(5)]
        assert first == draw
        assert numbers == again  # the first of them imported numpy
        assert first["own"] != first["module"]
        assert first["seed"] == "12345"
        assert {*first.values()}.isdisjoint(other.values())

    talk_to(source, "node", story)


def test_random_imported_in_a_task_is_seeded_for_it(talk_to: TalkTo) -> None:
    source = """
class N(Node):
    @task
    def draw(self):
        import random
        return {"x": random.random()}
"""

    async def story(talk: Talk) -> None:
        await talk.hear()
        assert (await talk.ask(run(1, "draw")))["result"] == (await talk.ask(run(2, "draw")))["result"]

    talk_to(source, "node", story)


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ("return [1]", "returns a dict of pieces"),
        ("return {1: 2}", "the key of a piece is a string"),
        ("return {'a': float('nan')}", "the piece 'a': NaN and Infinity are not JSON"),
        ("return {'a': {'b': [2**53 + 1]}}", "the piece 'a': the integer 9007199254740993 is beyond 2^53"),
        ("return {'a': b'x'}", "the piece 'a': JSON cannot carry this: Object of type bytes"),
        ("return {'a': [File('x')]}", "Object of type File"),
        ("return {'a': '\\udc80'}", "half a character"),
        ("return {'a': {'$file': 'x'}}", "return a File"),
        ("return {'a': File('/etc/passwd')}", "does not lie in self.folder"),
        ("return {'a': File('../x')}", "does not lie in self.folder"),
        ("return {'a': File('x')}", "does not exist"),
        ("return {'a': 'x' * (17 << 20)}", "more than 16 MiB as JSON: return a File"),
        ("a = []; a.append(a); return {'a': a}", "the piece 'a'"),
        ("raise OSError('\\udc80')", "OSError"),
        ("return self.go(1)", "TypeError"),
    ],
)
def test_what_a_task_may_not_do(talk_to: TalkTo, tmp_path: Path, body: str, error: str) -> None:
    source = f"class N(Node):\n    @task\n    def go(self):\n        {body}\n"
    source += "    @task\n    def fine(self): return dict(a=1)"

    async def story(talk: Talk) -> None:
        await talk.hear()
        outcome = await talk.ask(run(1, "go", folder=str(tmp_path / "1")))
        assert outcome["type"] == "failed"
        assert error in outcome["error"]
        assert await talk.ask(run(2, "fine")) == {"type": "done", "task": 2, "result": {"a": 1}}

    talk_to(source, "node", story)


def test_arguments_that_are_no_keywords(talk_to: TalkTo) -> None:
    async def story(talk: Talk) -> None:
        await talk.hear()
        assert "keywords" in (await talk.ask(run(1, "go", [1])))["error"]

    talk_to("class N(Node):\n    @task\n    def go(self): pass", "node", story)


def test_cancels_are_seen_between_and_within_tasks(talk_to: TalkTo) -> None:
    source = """
class N(Node):
    @task
    def long(self):
        self.log("begun")
        while not self.cancelled: pass
        return {"seen": True}
    @task
    def short(self): return {}
"""

    async def story(talk: Talk) -> None:
        await talk.hear()
        talk.say(run(1, "long"), run(2, "short"), run(3, "short"))
        assert (await talk.hear())["text"] == "begun"
        talk.say(*[{"type": "cancel", "task": task, "attempt": 1} for task in (7, 2, 1)])
        assert (await talk.hear())["result"] == {"seen": True}
        assert (await talk.hear()) == {"type": "failed", "task": 2, "error": "cancelled", "trace": ""}
        assert (await talk.hear())["type"] == "done"
        talk.say({"type": "cancel", "task": 3, "attempt": 1})  # too late
        assert (await talk.ask(run(3, "short")))["type"] == "done"  # and forgotten

    talk_to(source, "node", story)


def test_nothing_disturbs_the_protocol(talk_to: TalkTo) -> None:
    source = """
import os, subprocess, sys
print("imported")
os.write(1, b"raw\\n") if False else None
class N(Node):
    @task
    def noisy(self):
        os.write(1, b"written\\n")
        subprocess.run(["echo", "echoed"])
        sys.__stdout__.write("original\\n")
        return {"stdin": sys.stdin.read()}
"""

    async def story(talk: Talk) -> None:
        await talk.hear()
        assert (await talk.ask(run(1, "noisy")))["result"] == {"stdin": ""}
        talk.say({"type": "bye"})
        await talk.probe.ends_well()
        for word in ("imported", "written", "echoed", "original"):
            assert word in talk.probe.child.tail

    talk_to(source, "node", story)


def test_progress_is_said_at_most_ten_times_a_second(talk_to: TalkTo) -> None:
    source = """
class N(Node):
    @task
    def read(self):
        for part in range(1000):
            self.progress(part / 1000, read=10)
"""

    async def story(talk: Talk) -> None:
        await talk.hear()
        talk.say(run(1, "read"))
        messages = [await talk.hear()]
        while messages[-1]["type"] == "progress":
            messages.append(await talk.hear())
        assert messages[0] == {"type": "progress", "task": 1, "fraction": 0.0, "read": 10}
        assert messages[-1] == {"type": "done", "task": 1, "result": {}, "read": 10_000}
        assert len(messages) < 20

    talk_to(source, "node", story)


def test_queued_runs_are_answered_at_the_end_of_input(talk_to: TalkTo) -> None:
    async def story(talk: Talk) -> None:
        await talk.hear()
        talk.say(run(1, "go"), run(2, "go"))
        talk.probe.child.close_input()
        assert [(await talk.hear())["task"] for _ in range(2)] == [1, 2]
        await talk.probe.ends_well()

    talk_to("class N(Node):\n    @task\n    def go(self): pass", "node", story)


@pytest.mark.parametrize(
    ("source", "error"),
    [
        ("", "has no class that extends tasksprint.Node"),
        ("class A(Node): pass\nclass B(Node): pass", "has 2 classes that extend tasksprint.Node (A, B): name one"),
    ],
)
def test_programs_without_exactly_one_node(talk_to: TalkTo, source: str, error: str) -> None:
    async def story(talk: Talk) -> None:
        assert await talk.probe.exit_code() == 2
        assert error in talk.probe.child.tail
        assert "Traceback" not in talk.probe.child.tail

    talk_to(source, "node", story)


def test_the_last_of_a_family_is_meant(talk_to: TalkTo) -> None:
    async def story(talk: Talk) -> None:
        assert (await talk.hear())["name"] == "B"

    talk_to("class A(Node):\n    @task\n    def go(self): pass\nclass B(A): pass", "node", story)


def test_a_failure_shows_the_users_frames_and_a_task_failed_none(talk_to: TalkTo) -> None:
    source = """
from tasksprint import TaskFailed
class N(Node):
    @task
    def plain(self): raise TaskFailed("the sensor is off")
    @task
    def wrong(self): return {"x": {1}}
    @task
    def bug(self):
        try: return {}[1]
        except KeyError: raise ValueError("no one") from None
"""

    async def story(talk: Talk) -> None:
        await talk.hear()
        plain = await talk.ask(run(1, "plain"))
        assert (plain["error"], plain["trace"]) == ("the sensor is off", "")
        wrong = await talk.ask(run(2, "wrong"))
        assert wrong["error"].startswith("tasksprint.sdk.plain.NotPlain: the piece 'x'")
        assert wrong["trace"] == ""
        bug = await talk.ask(run(3, "bug"))
        assert bug["error"] == "ValueError: no one"
        assert bug["trace"].count("  File ") == 1

    talk_to(source, "node", story)
