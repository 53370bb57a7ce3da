"""A client's part of the view: what it is told, as changes or whole."""

from __future__ import annotations

from msgspec import Struct


class Change(Struct, array_like=True, frozen=True, gc=False):
    job: int


class JobInfo(Change, tag="job", frozen=True, gc=False):
    """Comes before the first attempt of a job at this client."""

    job_id: str
    name: str
    node: list[str]
    program: str
    seed: int
    values_bytes: int


class JobEnded(Change, tag="job_ended", frozen=True, gc=False):
    """Drop everything of the job: attempts, results, nodes."""


class Assign(Change, tag="assign", frozen=True, gc=False):
    task: int
    attempt: int
    name: str
    args: bytes
    seed: int
    prerequisites: list[tuple[int, str]]
    keys: list[str]
    timeout_ms: int
    cores: int
    side_effects: bool


class Supplier(Change, tag="supplier", frozen=True, gc=False):
    """Who has, or is making, the result of a prerequisite of this client's attempts."""

    task: int
    attempt: int  # 0: nobody at the moment; wait for another row
    client: str
    address: str
    done: bool  # its result is recorded, with this digest
    digest: bytes


class Cancel(Change, tag="cancel", frozen=True, gc=False):
    """The attempt is over (killed, superseded, taken away): stop it, report nothing."""

    task: int
    attempt: int


class GiveBack(Change, tag="give_back", frozen=True, gc=False):
    """If it has not started, answer with a Returned report; otherwise ignore."""

    task: int
    attempt: int


class Drop(Change, tag="drop", frozen=True, gc=False):
    """The result of this attempt is not needed any more."""

    task: int
    attempt: int


class Keep(Change, tag="keep", frozen=True, gc=False):
    """In a whole part only: this result, which the client holds, is still wanted."""

    task: int
    attempt: int


AnyChange = JobInfo | JobEnded | Assign | Supplier | Cancel | GiveBack | Drop | Keep
