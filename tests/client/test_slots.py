"""Which nodes a client starts, and when."""

from __future__ import annotations

from typing import Any

from tasksprint.client import effects
from tasksprint.client.core import Client
from tasksprint.view.part import Assign, JobInfo
from tasksprint.wire import messages as wire


def a_client(slots: int, *changes: Any) -> Client:
    client = Client("me", 1, "10.0.0.1:7000", slots, [], ["10.0.0.9:7700"], 0)
    client.connected(1, 0)
    client.message(wire.Registered(1, 5), 0)
    client.message(wire.View(6, 0, False, list(changes)), 0)
    return client


def job(number: int) -> JobInfo:
    return JobInfo(number, f"job {number}", "name", ["node"], "", 0, 0)


def tasks(number: int, count: int, cores: int = 1) -> list[Assign]:
    return [Assign(number, task, 1, "work", b"{}", 0, [], [], 0, cores, False) for task in range(1, count + 1)]


def started(client: Client) -> list[int]:
    """The jobs of the nodes that are started now."""
    return [each.info.job for each in client.take() if isinstance(each, effects.StartNode)]


def test_all_nodes_that_are_needed_start_at_once() -> None:
    """Not one after the other, each when the one before it has come up."""
    client = a_client(4, job(1), *tasks(1, 10))
    assert started(client) == [1, 1, 1, 1]
    client.node_ready(1, 0)
    assert started(client) == []


def test_no_more_nodes_start_than_there_are_tasks_or_slots() -> None:
    assert started(a_client(8, job(1), *tasks(1, 3))) == [1, 1, 1]
    assert started(a_client(1, job(1), *tasks(1, 3))) == [1]


def test_jobs_start_their_nodes_in_turn() -> None:
    assert started(a_client(2, job(1), *tasks(1, 5), job(2), *tasks(2, 5))) == [1, 2, 1, 2]


def test_a_task_beside_the_slots_gets_a_node_of_its_own() -> None:
    client = a_client(1, job(1), *tasks(1, 1, cores=0))
    (start,) = [each for each in client.take() if isinstance(each, effects.StartNode)]
    assert start.extra
