"""The conversation between a coordinator and a scheduler: JSON lines, as a pure state table.

The rules, in prose (docs/protocol.md has them in full):

1. The coordinator speaks first: ``hello``.  The scheduler answers ``{"ready": {...}}``.
2. A copy that takes over from a save is sent ``{"restore": state, "seq": n}`` before its first events.
3. The coordinator sends ``{"events": [...]}`` lines, and may send the next before the last is answered.  Each
   line is answered, in order, by one answer of one or more parts; every part but the last says ``more: true``.
   Events without actions may be left out, but the last part names the last event of the line.
4. ``{"save": true}`` is answered, in the same order, by ``{"saved": state}`` or ``{"saved": null, "error": why}``.
5. ``{"type": "bye"}``, or the end of its input, ends the scheduler.

So what the scheduler owes is a queue: answers and saves, in the order in which they were asked for.  Values,
arguments and states are never decoded here: they stay the JSON text that somebody wrote.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Annotated, NoReturn, Protocol

import msgspec
from msgspec import Meta, Raw, Struct

from tasksprint.limits import (
    ARGS_BYTES,
    CORES_MAX,
    ERROR_BYTES,
    KEYS_MAX,
    KIB,
    LABELS_MAX,
    MIB,
    NAME_CHARS,
    PART_ACTIONS,
    PREREQUISITES_MAX,
    RETRIES_MAX,
    SAVE_BYTES,
    SCHEDULER_PART_BYTES,
    SCHEDULER_PROTOCOL_VERSION,
    SLOT_BYTES,
    TASK_REPLICAS_MAX,
    VALUES_MAX_BYTES,
)
from tasksprint.sdk.plain import unsafe_number
from tasksprint.view.operations import AnyAction, Fail, Finish, KillTask, Release, SetTimer, StartTask, pack_actions
from tasksprint.wire.node_talk import quoted

PACKED_PART_BYTES = SLOT_BYTES - 32 * KIB  # one part is one operation of the log
PACKED_OVERHEAD_BYTES = 128  # an action takes at most so much more there than in its line


class SchedulerError(Exception):
    """The scheduler broke the protocol; the text says how, for a person."""


class Event(Protocol):
    """What `events` needs to know of the view's events."""

    @property
    def seq(self) -> int: ...
    @property
    def kind(self) -> str: ...  # init | client_joined | client_dead | task_done | task_failed | timer
    @property
    def task(self) -> int: ...
    @property
    def name(self) -> str: ...  # of the task, or of the timer
    @property
    def values(self) -> Mapping[str, bytes]: ...  # JSON text; of `init`: {"args": ...}
    @property
    def error(self) -> str: ...
    @property
    def client(self) -> str: ...
    @property
    def time_ms(self) -> int: ...  # cluster time when the event was logged


# --- what the coordinator says ---------------------------------------------------------------------------

_text = msgspec.json.Encoder().encode


def hello(job: str, seed: int, folder: str) -> bytes:
    message = {
        "type": "hello", "version": SCHEDULER_PROTOCOL_VERSION, "job": job, "seed": f"{seed:016x}", "folder": folder
    }  # fmt: skip
    return _text(message) + b"\n"


def events(events: Sequence[Event]) -> bytes:
    """One line that carries these events; raw values are spliced in as they are."""
    return b'{"events":[' + b",".join([event_text(event) for event in events]) + b"]}\n"


def event_text(event: Event) -> bytes:
    kind = event.kind
    if kind == "task_done":
        values = b",".join([b"%b:%b" % (_text(key), value) for key, value in event.values.items()])
        return b'{"event":"task_done","seq":%d,"now":%d,"task":%d,"name":%b,"values":{%b}}' % (
            event.seq, event.time_ms, event.task, _text(event.name), values
        )  # fmt: skip
    head = b'{"event":%b,"seq":%d,"now":%d' % (_text(kind), event.seq, event.time_ms)
    if kind == "task_failed":
        return head + b',"task":%d,"name":%b,"error":%b}' % (event.task, _text(event.name), _text(event.error))
    if kind == "init":
        return head + b',"args":%b}' % (event.values.get("args") or b"null")
    if kind == "timer":
        return head + b',"name":%b}' % _text(event.name)
    return head + b',"client":%b}' % _text(event.client)


def save() -> bytes:
    return b'{"save":true}\n'


def restore(state: bytes, seq: int) -> bytes:
    """`seq`: the last event that the state knows."""
    return b'{"restore":%b,"seq":%d}\n' % (state, seq)


def bye() -> bytes:
    return b'{"type":"bye"}\n'


# --- what the scheduler says -------------------------------------------------------------------------------

_Name = Annotated[str, Meta(min_length=1, max_length=NAME_CHARS)]
_Task = Annotated[int, Meta(ge=0, le=1 << 53)]
_Seconds = Annotated[float, Meta(ge=0, le=1e9)]
_Reference = tuple[_Task, _Name]
_null = Raw(b"null")
_absent = Raw(b"")


class _Action(Struct, tag_field="action"):
    pass


class _StartTask(_Action, tag="start_task"):
    task: _Task
    name: _Name
    args: Raw = _null
    prerequisites: Annotated[list[_Reference], Meta(max_length=PREREQUISITES_MAX)] = []
    keys: Annotated[list[_Name], Meta(max_length=KEYS_MAX)] = []
    replicas: Annotated[int, Meta(ge=1, le=TASK_REPLICAS_MAX)] = 1
    retries: Annotated[int, Meta(ge=0, le=RETRIES_MAX)] = 3
    timeout_s: _Seconds | None = None
    cores: Annotated[int, Meta(ge=0, le=CORES_MAX)] = 1
    labels: Annotated[list[_Name], Meta(max_length=LABELS_MAX)] = []
    side_effects: bool = False
    cause: _Task | None = None


class _KillTask(_Action, tag="kill_task"):
    task: _Task


class _Release(_Action, tag="release"):
    task: _Task


class _SetTimer(_Action, tag="set_timer"):
    name: _Name
    delay_s: _Seconds


class _Finish(_Action, tag="finish"):
    values: Raw = _null
    files: Annotated[list[_Reference], Meta(max_length=PREREQUISITES_MAX)] = []


class _Fail(_Action, tag="fail"):
    error: str


_AnyAction = _StartTask | _KillTask | _Release | _SetTimer | _Finish | _Fail


class _Answer(Struct):
    seq: int
    actions: list[_AnyAction] = []


class _ReadyForm(Struct):
    version: int
    ordered: bool = False
    save: bool = False


class _Line(Struct):
    """Any line of a scheduler: exactly one of the first three."""

    ready: _ReadyForm | None = None
    answers: list[_Answer] | None = None
    saved: Raw = _absent
    more: bool = False
    error: str = ""


class Ready(Struct, frozen=True):
    ordered: bool
    save: bool


class Part(Struct, frozen=True):
    """One part of an answer, as the log's `Decide` wants it."""

    seq: int  # the last event of the line that it answers
    part: int  # 0, 1, ... within the answer
    more: bool
    answers: list[tuple[int, list[AnyAction]]]  # (event, actions), events without actions left out


class Saved(Struct, frozen=True):
    seq: int  # the last event that the state knows
    state: bytes | None  # None: this scheduler cannot be saved ...
    error: str = ""  # ... and this is why


_decode = msgspec.json.Decoder(_Line).decode


def action_of(action: _AnyAction) -> AnyAction:
    """The log's form of an action."""
    if isinstance(action, _StartTask):
        return _start(action)
    if isinstance(action, _KillTask):
        return KillTask(action.task)
    if isinstance(action, _Release):
        return Release(action.task)
    if isinstance(action, _SetTimer):
        return SetTimer(action.name, round(action.delay_s * 1000))
    if isinstance(action, _Fail):
        return Fail(action.error if len(action.error) <= ERROR_BYTES // 4 else action.error[: ERROR_BYTES // 4] + "...")
    values = bytes(action.values)
    if len(values) > VALUES_MAX_BYTES:
        raise SchedulerError(
            f"`finish` with values of {len(values)} bytes, more than {VALUES_MAX_BYTES}: finish with files"
        )
    return Finish(values, action.files)


def _start(action: _StartTask) -> StartTask:
    args = bytes(action.args)
    if len(args) > ARGS_BYTES:
        raise SchedulerError(
            f"task {action.task} ({action.name}) has arguments of {len(args)} bytes, more than {ARGS_BYTES}: "
            "pass large things as results of other tasks, or as paths"
        )
    timeout_ms = 0 if action.timeout_s is None else max(1, round(action.timeout_s * 1000))
    return StartTask(
        action.task, action.name, args, action.prerequisites, action.keys, action.replicas, action.retries, timeout_ms,
        action.cores, action.labels, action.side_effects, -1 if action.cause is None else action.cause,
    )  # fmt: skip


# --- what is owed when ---------------------------------------------------------------------------------------


class SchedulerTalk:
    """Where the conversation stands. Call `asked_*` when a line is sent, `hear` with each line that comes."""

    def __init__(self) -> None:
        self.ready: Ready | None = None
        self._owed: deque[int] = deque()  # the last event of each line sent; -1 for a save
        self._part = 0
        self._answered = 0  # the last event of the last whole answer
        self._reached = 0  # the last event that the answer at hand has named

    @property
    def owes(self) -> bool:
        return bool(self._owed)

    @property
    def owed_seq(self) -> int:
        """The last event of the line that is to be answered now; 0 when none is."""
        return next((seq for seq in self._owed if seq >= 0), 0)

    def asked_events(self, last: int) -> None:
        self._owed.append(last)

    def asked_save(self) -> None:
        self._owed.append(-1)

    def restored(self, seq: int) -> None:
        self._answered = self._reached = seq

    def hear(self, line: bytes) -> Ready | Part | Saved:
        """One line, checked, in the log's form. SchedulerError says what is wrong with it."""
        form = _parse(line)
        if form.ready is not None:
            return self._hear_ready(form.ready)
        if self.ready is None:
            raise SchedulerError(f"something else before 'ready': {quoted(line)}")
        if not self._owed:
            raise SchedulerError(f"an answer, but nothing was asked: {quoted(line)}")
        if form.answers is not None:
            return self._hear_part(form.answers, form.more, line)
        return self._hear_saved(form)

    def _hear_ready(self, form: _ReadyForm) -> Ready:
        if self.ready is not None:
            raise SchedulerError("'ready' a second time")
        if form.version != SCHEDULER_PROTOCOL_VERSION:
            raise SchedulerError(
                f"the scheduler speaks version {form.version} of the protocol, "
                f"this coordinator {SCHEDULER_PROTOCOL_VERSION}"
            )
        self.ready = Ready(form.ordered, form.save)
        return self.ready

    def _hear_part(self, answers: list[_Answer], more: bool, line: bytes) -> Part:
        last = self._owed[0]
        if last < 0:
            raise SchedulerError(f"answers, but 'saved' was asked for: {quoted(line)}")
        count = sum(len(answer.actions) for answer in answers)
        _check_size(count, line)
        for answer in answers:
            first = max(self._answered + 1, self._reached)
            if not first <= answer.seq <= last:
                raise SchedulerError(f"an answer to event {answer.seq}; expected {first} to {last}, in order")
            self._reached = answer.seq
        if not more and self._reached != last:
            raise SchedulerError(f"the answer ends at event {self._reached}, but event {last} was asked last")
        rows = _rows(answers)
        if len(line) + count * PACKED_OVERHEAD_BYTES > PACKED_PART_BYTES:
            _check_packed(rows)
        part = Part(last, self._part, more, rows)
        self._part += 1
        if not more:
            self._owed.popleft()
            self._part, self._answered = 0, last
        return part

    def _hear_saved(self, form: _Line) -> Saved:
        if self._owed[0] >= 0:
            raise SchedulerError("'saved', but answers were asked for")
        self._owed.popleft()
        state = bytes(form.saved)
        if state == b"null":
            return Saved(self._answered, None, form.error or "the scheduler cannot be saved")
        if len(state) > SAVE_BYTES:
            return Saved(
                self._answered, None, f"the saved state takes {len(state) / MIB:.1f} MiB, more than {SAVE_BYTES // MIB}"
            )
        return Saved(self._answered, state)


def _rows(answers: list[_Answer]) -> list[tuple[int, list[AnyAction]]]:
    rows: list[tuple[int, list[AnyAction]]] = []
    for answer in answers:
        if not answer.actions:
            continue
        actions = [action_of(action) for action in answer.actions]
        if rows and rows[-1][0] == answer.seq:
            rows[-1][1].extend(actions)
        else:
            rows.append((answer.seq, actions))
    return rows


def _check_packed(rows: list[tuple[int, list[AnyAction]]]) -> None:
    packed = sum(len(pack_actions(actions)) for _, actions in rows)
    if packed > PACKED_PART_BYTES:
        raise SchedulerError(
            f"one part of an answer takes {packed} bytes in the log, more than {PACKED_PART_BYTES}: "
            "start tasks with very many prerequisites in stages, and keep arguments small"
        )


def _check_size(count: int, line: bytes) -> None:
    if count > PART_ACTIONS:
        raise SchedulerError(
            f"a part of an answer with {count} actions, more than {PART_ACTIONS}: split it with more=true"
        )
    if count > 1 and len(line) > SCHEDULER_PART_BYTES + KIB:
        raise SchedulerError(
            f"a part of an answer of {len(line)} bytes, more than {SCHEDULER_PART_BYTES}: split it with more=true"
        )


def _parse(line: bytes) -> _Line:
    if not line.isascii():
        try:
            line.decode()
        except UnicodeDecodeError:
            raise SchedulerError(f"a line that is not UTF-8: {quoted(line)}") from None
    try:
        form = _decode(line)
    except msgspec.ValidationError as error:
        raise SchedulerError(f"a wrong field: {error}: {quoted(line)}") from None
    except msgspec.DecodeError:
        raise SchedulerError(f"a line that is no JSON object: {quoted(line)}") from None
    if (form.ready is not None) + (form.answers is not None) + (len(bytes(form.saved)) > 0) != 1:
        _refuse_keys(line)
    wrong = unsafe_number(line)
    if wrong:
        raise SchedulerError(wrong)
    return form


def _refuse_keys(line: bytes) -> NoReturn:
    raise SchedulerError(f"a line needs exactly one of 'ready', 'answers' and 'saved': {quoted(line)}")
