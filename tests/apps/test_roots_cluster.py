"""The root finder as a job: the scheduler and the node as the cluster runs them, without the processes.

A small player hands out tasks in any order, with pieces and values as JSON text, and delivers their ends in the order
of ids, as an ordered scheduler is promised. The answer must not depend on how it plays.
"""

import json
import random

import pytest

from tasksprint.apps.roots import command, local, report
from tasksprint.apps.roots.external import ALLOWED
from tasksprint.apps.roots.node import RootNode
from tasksprint.apps.roots.problem import Problem
from tasksprint.apps.roots.scheduler import RootFinder
from tasksprint.sdk import saving
from tasksprint.sdk.desk import Desk
from tasksprint.sdk.scheduler import deliver

DEMO = "sin(3*x)*cos(x/2)"


class Player:
    """A cluster of one page."""

    def __init__(self, args, seed, *, lose=(), save_every=0):
        self.random = random.Random(seed)
        self.lose, self.lost, self.save_every = set(lose), set(), save_every
        self.lines, self.pieces, self.released, self.finished, self.log = [], {}, set(), None, []
        self.node = RootNode.__new__(RootNode)
        self.node.log = self.log.append
        self.waiting, self.ends, self.seq, self.next_end = {}, {}, 0, 1
        self.scheduler = self.made()
        self.event({"event": "init", "args": json.loads(json.dumps(args))})

    def made(self):
        scheduler = RootFinder.__new__(RootFinder)
        scheduler._sprint.seed = 77
        scheduler._sprint.desk = Desk(self.lines.append)
        return scheduler

    def event(self, event):
        self.seq += 1
        deliver(self.scheduler, {**event, "seq": self.seq, "now": self.seq * 10})
        self.scheduler._sprint.desk.answer(self.seq)
        if self.save_every and self.seq % self.save_every == 0:  # as when a coordinator dies and another takes over
            state = json.loads(saving.save(self.scheduler))
            self.scheduler = self.made()
            saving.restore(self.scheduler, state)
        while self.lines:
            for answer in json.loads(self.lines.pop(0))["answers"]:
                for action in answer.get("actions", []):
                    getattr(self, action["action"])(action)

    def start_task(self, action):
        for number, _ in action.get("prerequisites", []):
            assert number not in self.released
        self.waiting[action["task"]] = action

    def release(self, action):
        self.released.add(action["task"])
        self.pieces.pop(action["task"], None)

    def finish(self, action):
        self.finished = action["values"]

    def fail(self, action):
        raise AssertionError(action["error"])

    def run(self, number, action):
        inputs = [json.loads(self.pieces[task][key]) for task, key in action.get("prerequisites", [])]
        result = getattr(self.node, action["name"])(*inputs, **json.loads(json.dumps(action["args"])))
        self.pieces[number] = {key: json.dumps(value, allow_nan=False) for key, value in result.items()}
        values = {key: json.loads(self.pieces[number][key]) for key in action["keys"]}
        self.ends[number] = {"event": "task_done", "task": number, "name": action["name"], "values": values}

    def play(self):
        while self.finished is None:
            ready = [
                number
                for number, action in self.waiting.items()
                if all(task in self.pieces or task in self.lost for task, _ in action.get("prerequisites", []))
            ]
            number = self.random.choice(ready)
            action = self.waiting.pop(number)
            if number in self.lose or any(task in self.lost for task, _ in action.get("prerequisites", [])):
                self.ends[number] = {"event": "task_failed", "task": number, "name": action["name"], "error": "lost"}
                self.lost.add(number)
            else:
                self.run(number, action)
            while self.next_end in self.ends and self.finished is None:
                self.event(self.ends.pop(self.next_end))
                self.next_end += 1
        return self.finished


@pytest.fixture(scope="module")
def demo():
    return command.described([DEMO], (-20, 20), budget=3000, seed=5, width=4)


@pytest.fixture(scope="module")
def expected(demo):
    return report.as_json(Player(demo, 0).play())


def test_the_demo_is_found_whole(demo, expected):
    values = json.loads(expected)
    kinds = [root["kind"] for root in values["roots"]]
    assert len(kinds) == 39
    assert kinds.count("tangential") == 6
    assert [root["multiplicity"] for root in values["roots"]].count(2) == 6
    assert values["evaluations"] <= 3000
    assert values["answer"] == "roots"
    assert "39 roots" in "\n".join(report.table(values))


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_order_in_which_tasks_end_does_not_matter(demo, expected, seed):
    assert report.as_json(Player(demo, seed).play()) == expected


def test_a_scheduler_restored_between_events_goes_on_alike(demo, expected):
    assert report.as_json(Player(demo, 4, save_every=1).play()) == expected


def test_one_process_finds_the_same(demo, expected):
    problem = Problem.from_arguments(demo["problem"])
    state = local.search(problem, demo["options"])
    assert report.as_json(report.result(state)) == expected


def test_results_are_released_when_nobody_can_need_them(demo):
    player = Player(demo, 1)
    player.play()
    assert len(player.released) > 0.3 * player.next_end


def test_a_system_with_two_rounds_under_way():
    args = command.described(["x1 - sin(5*pi*x2)", "x1 - x2"], (-1, 1), budget=6000, seed=1, rounds=10)
    one, two = (report.as_json(Player(args, seed).play()) for seed in (1, 2))
    assert one == two
    assert len(json.loads(one)["roots"]) == 11


def test_a_lost_task_costs_its_part_only(demo):
    values = Player(demo, 2, lose={3}).play()
    assert values["lost_tasks"] >= 1
    assert values["evaluations"] <= 3000
    assert any("failed for good" in warning for warning in values["warnings"])


def test_no_task_is_lost_where_most_of_the_box_is_undefined():
    values = Player(command.described(["sqrt(x-0.5)"], (-1, 1), budget=1000, seed=0), 1).play()
    assert values["lost_tasks"] == 0
    assert [root["point"] for root in values["roots"]] == [pytest.approx([0.5], abs=1e-6)]


def test_roots_are_announced_in_the_log_of_the_node(demo):
    player = Player(demo, 1)
    player.play()
    assert sum("possible root" in line for line in player.log) >= 39


def test_a_time_limit_stops_and_tells_the_round():
    args = command.described([DEMO], (-20, 20), budget=100_000, seed=5, time_s=0.1)
    values = Player(args, 1).play()
    assert values["stopped"] == "time"
    again = command.described([DEMO], (-20, 20), budget=100_000, seed=5, last_round=values["rounds"])
    repeated = Player(again, 2).play()
    assert repeated["roots"] == values["roots"]


def test_an_own_function_needs_the_owners_leave(monkeypatch):
    args = command.described(callable="cmath:cos", box=(0, 1), dimensions=1, budget=100)
    player = Player(args, 1)
    monkeypatch.delenv(ALLOWED, raising=False)
    with pytest.raises(ValueError, match="does not allow the module cmath"):
        player.play()
    with pytest.raises(command.InputError, match="written module:function"):
        command.described(callable="os;x", box=(0, 1), dimensions=1, budget=100)
    args["problem"]["callable"] = "os;x"  # by whoever writes the arguments without our command
    with pytest.raises(ValueError, match="written module:function"):
        Player(args, 1).play()


def test_an_own_function_is_searched_where_it_is_allowed(monkeypatch, tmp_path):
    (tmp_path / "mine_of_roots.py").write_text(
        "import numpy as np\ndef f(points):\n    return np.sin(points)\ndef g(point):\n    return point[0] - 2\n"
        "g.single = True\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv(ALLOWED, "other, mine_of_roots")
    args = command.described(callable="mine_of_roots:f", box=(1, 10), dimensions=1, budget=800, seed=1)
    points = [root["point"][0] for root in Player(args, 1).play()["roots"]]
    assert points == pytest.approx([3.14159265, 6.28318531, 9.42477796])
    monkeypatch.setenv(ALLOWED, str(tmp_path / "mine_of_roots.py"))
    args = command.described(callable="mine_of_roots:g", box=(1, 10), dimensions=1, budget=400, seed=1)
    assert [root["point"][0] for root in Player(args, 1).play()["roots"]] == pytest.approx([2.0])
