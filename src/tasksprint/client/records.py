"""What a client remembers: jobs, attempts, nodes, fetches."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from tasksprint.view.part import Assign, JobInfo, Supplier
from tasksprint.wire.results import Piece, Result

WAITING, READY, SENT, MADE = range(4)  # states of an attempt; see core

AttemptId = tuple[int, int, int]  # (job, task, attempt)
PieceId = tuple[int, int, int, str]  # (job, task, attempt, key)


@dataclass(slots=True)
class Attempt:
    assign: Assign
    state: int = WAITING
    missing: int = 0
    inputs: dict[tuple[int, str], tuple[int, bytes, Piece]] = field(default_factory=dict)  # → (attempt, digest, piece)
    node: int = 0
    result: Result | None = None
    progress: int = -1  # in thousandths; -1: it has not said


@dataclass(slots=True)
class Fetching:
    """A piece that was asked for, and the attempts here that wait for it."""

    consumers: dict[AttemptId, None] = field(default_factory=dict)
    tries: int = 0
    remote: bool = False


@dataclass(slots=True)
class Node:
    number: int
    job: int
    extra: bool
    ready: bool = False
    began: bool = False  # it was ready once
    sent: deque[AttemptId] = field(default_factory=deque)
    cores: int = 0  # slots that it takes now
    closing: bool = False


@dataclass(slots=True)
class Job:
    info: JobInfo
    ready: deque[AttemptId] = field(default_factory=deque)
    ready_extra: deque[AttemptId] = field(default_factory=deque)
    nodes: dict[int, Node] = field(default_factory=dict)
    attempts: dict[AttemptId, Attempt] = field(default_factory=dict)
    suppliers: dict[int, Supplier] = field(default_factory=dict)
    results: dict[tuple[int, int], Result] = field(default_factory=dict)  # (task, attempt)
    consumers: dict[int, dict[AttemptId, None]] = field(
        default_factory=dict
    )  # prerequisite → attempts that wait for it
    run_us: int = 0  # running mean of a task's time; 0: unknown
