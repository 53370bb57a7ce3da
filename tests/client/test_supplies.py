"""What a client asks of whom: rows of suppliers come, change and move."""

from __future__ import annotations

from typing import Any

from tasksprint.client import effects
from tasksprint.client.core import Client
from tasksprint.view.operations import Unreachable
from tasksprint.view.part import Assign, JobInfo, Supplier
from tasksprint.wire import messages as wire
from tasksprint.wire.results import Piece

JOB = 7
OLD, NEW = "10.0.0.2:7001", "10.0.0.2:7002"


def registered() -> Client:
    client = Client("me", 1, "10.0.0.1:7000", 2, [], ["10.0.0.9:7700"], 0)
    client.connected(1, 0)
    client.message(wire.Registered(1, 5), 0)
    told(client, 6, JobInfo(JOB, "job", "name", ["node"], "", 0, 0))
    return client


def told(client: Client, number: int, *changes: Any) -> list[Any]:
    client.message(wire.View(number, 0, False, list(changes)), 0)
    return client.take()


def needs(task: int, *prerequisites: tuple[int, str]) -> Assign:
    return Assign(JOB, task, 1, "reduce", b"{}", 0, list(prerequisites), [], 0, 1, False)


def row(attempt: int, client: str, address: str, done: bool = False) -> Supplier:
    return Supplier(JOB, 1, attempt, client, address, done, b"d" * 16 if done else b"")


def fetches(said: list[Any]) -> list[Any]:
    return [each for each in said if isinstance(each, effects.FetchPiece | effects.StopFetching)]


def asked(attempt: int, client: str, address: str, key: str = "part") -> effects.FetchPiece:
    return effects.FetchPiece(JOB, "job", 1, attempt, key, client, address)


def test_a_piece_that_two_attempts_need_is_asked_for_once() -> None:
    client = registered()
    said = told(client, 7, row(1, "other", OLD), needs(2, (1, "part")), needs(3, (1, "part")))
    assert fetches(said) == [asked(1, "other", OLD)]


def test_a_supplier_that_came_back_at_another_address_is_asked_there() -> None:
    """It has the same attempt as before; asking on at the old address would end with an Unreachable against it."""
    client = registered()
    told(client, 7, row(1, "other", OLD), needs(2, (1, "part")), needs(3, (1, "part"), (1, "more")))
    said = told(client, 8, row(1, "other", NEW, done=True))
    assert fetches(said) == [
        effects.StopFetching(JOB, 1, 1, "part"), effects.StopFetching(JOB, 1, 1, "more"),
        asked(1, "other", NEW), asked(1, "other", NEW, "more"),
    ]  # fmt: skip
    for key in ("part", "more"):
        client.fetched_piece((JOB, 1, 1, key), b"d" * 16, Piece(1, b"p" * 16, False, b"1"), 0)
    assert [each.info.job for each in client.take() if isinstance(each, effects.StartNode)] == [JOB, JOB]


def test_a_row_that_only_says_that_it_is_done_changes_nothing() -> None:
    client = registered()
    told(client, 7, row(1, "other", OLD), needs(2, (1, "part")))
    assert fetches(told(client, 8, row(1, "other", OLD, done=True))) == []


def test_another_attempt_is_asked_of_its_client() -> None:
    client = registered()
    told(client, 7, row(1, "other", OLD), needs(2, (1, "part")), needs(3, (1, "part")))
    assert fetches(told(client, 8, row(0, "", ""))) == [effects.StopFetching(JOB, 1, 1, "part")]
    assert fetches(told(client, 9, row(2, "third", NEW))) == [asked(2, "third", NEW)]


def test_who_is_unreachable_is_said_and_asked_again_later() -> None:
    client = registered()
    told(client, 7, row(1, "other", OLD), needs(2, (1, "part")))
    client.fetch_failed((JOB, 1, 1, "part"), "unreachable", "silent", 10)
    said = client.take()
    reports = [each.message for each in said if isinstance(each, effects.SendCoordinator)]
    assert Unreachable(JOB, 1, 1, "other", 2, 1) in [
        report for message in reports if isinstance(message, wire.SendReports) for report in message.reports
    ]
    assert fetches(said) == []
    client.advance(1_010)
    assert asked(1, "other", OLD) in fetches(client.take())
