"""The life of a scheduler's process: started, restored, fed with events, saved, and ended.

Each line of events is answered in order, in parts; the owner may stop reading parts (`pause`) while the log
catches up, and then the scheduler waits in its own write.  A scheduler that owes an answer and gives no part of it
for SCHEDULER_ANSWER_MS hangs: it is killed.  Whatever goes wrong becomes one `scheduler_failed`, with the end of the
program's stderr; nothing follows it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from tasksprint.limits import SCHEDULER_ANSWER_MS
from tasksprint.programs.child import Child
from tasksprint.programs.keeper import Keeper
from tasksprint.programs.user_process import UserProcess
from tasksprint.wire import scheduler_talk
from tasksprint.wire.lines import LineTooLong
from tasksprint.wire.scheduler_talk import Event, Part, Ready, Saved, SchedulerError, SchedulerTalk


class SchedulerOwner(Protocol):
    def scheduler_ready(self, scheduler: SchedulerProcess, ready: Ready) -> None: ...

    def scheduler_part(self, scheduler: SchedulerProcess, part: Part) -> None: ...

    def scheduler_saved(self, scheduler: SchedulerProcess, saved: Saved) -> None: ...

    def scheduler_log(self, scheduler: SchedulerProcess, text: str) -> None: ...

    def scheduler_failed(self, scheduler: SchedulerProcess, kind: str, error: str) -> None:
        """`kind`: start | crash | hang | protocol. The process is gone; `scheduler.fed` events were fed."""

    def scheduler_closed(self, scheduler: SchedulerProcess) -> None:
        """Gone, as asked by `close` or `kill`."""


class SchedulerProcess(UserProcess):
    NOUN = "the scheduler"
    talk: SchedulerTalk

    def __init__(
        self,
        command: Sequence[str],
        *,
        job: str,
        seed: int,
        folder: str | Path,
        owner: SchedulerOwner,
        keeper: Keeper,
        saved: tuple[int, bytes] | None = None,
        environment: Mapping[str, str] | None = None,
        answer_ms: int = SCHEDULER_ANSWER_MS,
    ) -> None:
        """`saved`: (last event that it knows, state) of a copy that takes over; it is sent before the first events."""
        super().__init__(command, folder=folder, keeper=keeper, environment=environment)
        self.talk = SchedulerTalk()
        self.fed = saved[0] if saved else 0  # the last event that was sent
        self._job, self._seed, self._owner, self._saved = job, seed, owner, saved
        self._answer_ms = answer_ms
        self._unread: list[bytes] = []  # lines that came with a part after which the owner paused
        self._paused = False
        self._deadline = 0.0

    # --- what the owner asks -----------------------------------------------------------------------------

    def feed(self, events: Sequence[Event]) -> None:
        """Sends events, each once, in order. Their answer comes as `scheduler_part`s; more may be fed before it."""
        assert self._child is not None
        assert events[0].seq > self.fed
        self._child.write(scheduler_talk.events(events), now=True)
        self.fed = events[-1].seq
        self.talk.asked_events(self.fed)
        self._expect()

    def save(self) -> None:
        """Asks for the state after the events fed so far; `scheduler_saved` follows."""
        assert self._child is not None
        self._child.write(scheduler_talk.save())
        self.talk.asked_save()
        self._expect()

    def pause(self) -> None:
        """Reads no further part until `resume`; the time that passes is not the scheduler's."""
        self._paused = True
        if self._child is not None:
            self._child.pause()

    def resume(self) -> None:
        if not self._paused:
            return
        self._paused = False
        self._renew()
        if self._unread:
            self._loop.call_soon(self._read_on)
        elif self._child is not None:
            self._child.resume()

    # --- what is said --------------------------------------------------------------------------------------

    def _greet(self, child: Child) -> None:
        child.write(scheduler_talk.hello(self._job, self._seed, self._folder))
        if self._saved is not None:
            seq, state = self._saved
            self._saved = None
            child.write(scheduler_talk.restore(state, seq))
            self.talk.restored(seq)

    def _say_bye(self, child: Child) -> None:
        child.resume()
        child.write(scheduler_talk.bye())

    def _heard_bytes(self, data: bytes) -> None:
        if self.closing or self._verdict is not None:
            return
        try:
            self._unread += self._lines.feed(data)
        except LineTooLong as error:
            self._end("protocol", f"the scheduler broke the protocol: {error}")
            return
        if not self._paused:
            self._read_on()

    def _read_on(self) -> None:
        lines, self._unread = self._unread, []
        for place, line in enumerate(lines):
            if self._paused:
                self._unread = lines[place:] + self._unread
                return
            if self.closing or self._verdict is not None:
                return
            try:
                self._heard(self.talk.hear(line))
            except SchedulerError as error:
                self._end("protocol", f"the scheduler broke the protocol: {error}")
                return
        if self._child is not None and not self._paused:
            self._child.resume()

    def _heard(self, message: Ready | Part | Saved) -> None:
        if not isinstance(message, Ready):
            self._renew()
        if isinstance(message, Part):
            self._owner.scheduler_part(self, message)
        elif isinstance(message, Saved):
            self._owner.scheduler_saved(self, message)
        else:
            self._stop_timer()
            self._owner.scheduler_ready(self, message)

    def _heard_stderr(self, data: bytes) -> None:
        self._owner.scheduler_log(self, data.decode("utf-8", "replace"))

    # --- time ----------------------------------------------------------------------------------------------

    def _expect(self) -> None:
        """Something is owed now: watch the time, unless it is watched already."""
        if self._timer is None and self.talk.ready is not None:
            self._renew()

    def _renew(self) -> None:
        """Something came, or the owner reads again: the scheduler has the whole time anew.

        The timer is moved only when it fires: an answer costs no timer of its own.
        """
        if self.closing or self.ended:
            return
        self._deadline = self._loop.time() + self._answer_ms / 1000
        if self.talk.ready is not None and self.talk.owes and self._timer is None:
            self._set_timer(self._answer_ms, self._check_time)

    def _check_time(self) -> None:
        self._timer = None
        if not self.talk.owes:
            return
        left_ms = 1000 * (self._deadline - self._loop.time())
        if self._paused or left_ms > 0:
            self._set_timer(max(left_ms, self._answer_ms if self._paused else 1), self._check_time)
            return
        waited = f"within {self._answer_ms / 1000:g} s"
        self._end("hang", f"the scheduler gave no answer to event {self.talk.owed_seq} {waited}")

    # --- the end ---------------------------------------------------------------------------------------------

    def _gone(self, kind: str, error: str) -> None:
        if self.closing:
            self._owner.scheduler_closed(self)
        else:
            self._owner.scheduler_failed(self, kind, error)

    def _at(self) -> str:
        return f" at an event up to {self.talk.owed_seq}" if self.talk.owed_seq else ""
