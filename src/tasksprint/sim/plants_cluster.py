"""Bugs planted into the cores of coordinator and client."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tasksprint.client.core import Client
from tasksprint.client.effects import DropLeftovers
from tasksprint.client.session import Session
from tasksprint.coordinator import effects
from tasksprint.coordinator.copies import Copies
from tasksprint.coordinator.core import Coordinator
from tasksprint.coordinator.outbox import Outbox
from tasksprint.sim.patch import Patch
from tasksprint.sim.planting import plant
from tasksprint.view.operations import Submit
from tasksprint.wire import messages as wire

Old = Callable[..., Any]


@plant("answer-before-commit", "a submit is answered before it is chosen")
def answer_before_commit(patch: Patch) -> None:
    def submit(self: Coordinator, link: int, message: wire.SubmitJob) -> None:
        self._offer(Submit(message.job_id, message.spec))
        self._send(link, wire.Answer(message.request, "", b""))

    patch.set(Coordinator, "_submit", submit)
    patch.set(Coordinator, "_HANDLERS", {**Coordinator._HANDLERS, wire.SubmitJob: submit})


@plant("event-fed-twice", "a copy whose coordinator begins to lead is fed its last event again")
def event_fed_twice(patch: Patch) -> None:
    def make(old: Old) -> Old:
        def leadership(self: Copies, gained: bool) -> None:
            old(self, gained)
            for job, copy in self.copies.items():
                state = self.machine.job(job)
                saved = state.saved[0] if state is not None else 0
                if copy.fed == copy.answered > saved:
                    copy.fed = copy.answered = copy.fed - 1

        return leadership

    patch.wrap(Copies, "leadership", make)


@plant("save-leaves-gap", "a copy behind the leader's save is fed what comes after it")
def save_leaves_gap(patch: Patch) -> None:
    def feed(self: Copies, job: int) -> None:
        copy = self.copies.get(job)
        if copy is None or copy.state != "good" or copy.fed != copy.answered or copy.saving or copy.paused:
            return
        found = self.machine.events(job, copy.fed, 1_000, 1 << 20)
        if found:
            copy.fed = found[-1].seq
            self.effects.append(effects.FeedScheduler(job, copy.copy, found))

    patch.set(Copies, "feed", feed)


@plant("install-forgets-promise", "the journal after a snapshot from another replica holds nothing but that snapshot")
def install_forgets_promise(patch: Patch) -> None:
    def make(old: Old) -> Old:
        def turn(self: Coordinator) -> bool:
            before = len(self._effects)
            moved: bool = old(self)
            for place, effect in enumerate(self._effects[before:], before):
                if isinstance(effect, effects.Rotate) and effect.write:
                    self._effects[place] = effects.Rotate(
                        effect.write, effect.index, effect.snapshot, effect.records[:1]
                    )
            return moved

        return turn

    patch.wrap(Coordinator, "_turn", make)


@plant("offered-outlives-session", "the leader takes a new session's first reports for ones that it has")
def offered_outlives_session(patch: Patch) -> None:
    def make(old: Old) -> Old:
        def received(self: Coordinator, link: int, message: wire.SendReports) -> None:
            known = max((n for (name, _), n in self._offered.items() if name == message.client), default=0)
            if message.sequence > known:
                old(self, link, message)

        return received

    patch.wrap(Coordinator, "_reports", make)
    patch.set(Coordinator, "_HANDLERS", {**Coordinator._HANDLERS, wire.SendReports: Coordinator._reports})


@plant("reports-not-repeated", "a client does not send again what was not acknowledged when its link broke")
def reports_not_repeated(patch: Patch) -> None:
    def make(old: Old) -> Old:
        def connected(self: Session, number: int, held: list[Any], now_ms: int) -> None:
            batches = list(self._batches)
            self._batches.clear()
            old(self, number, held, now_ms)
            self._batches.extend(batches)

        return connected

    patch.wrap(Session, "connected", make)


@plant("session-kept-after-death", "a client that was declared dead goes on numbering its reports")
def session_kept_after_death(patch: Patch) -> None:
    def make(old: Old) -> Old:
        def expired(self: Session) -> None:
            sequence = self._sequence
            old(self)
            self._sequence = sequence

        return expired

    patch.wrap(Session, "expired", make)


@plant("leftovers-kept", "a client that starts again keeps on its shelf what nobody wants any more")
def leftovers_kept(patch: Patch) -> None:
    def make(old: Old) -> Old:
        def take(self: Client) -> list[Any]:
            return [effect for effect in old(self) if not isinstance(effect, DropLeftovers)]

        return take

    patch.wrap(Client, "take", make)


@plant("sent-before-durable", "the coordinator lets messages go that wait for a write")
def sent_before_durable(patch: Patch) -> None:
    def make(old: Old) -> Old:
        def put(self: Outbox, *arguments: Any, **named: Any) -> list[effects.Effect]:
            found: list[effects.Effect] = old(self, *arguments, **named)
            while self._held:
                _, to, message = self._held.popleft()
                found.append(effects.SendPeer(to, message))
            return found

        return put

    patch.wrap(Outbox, "put", make)


@plant("quiet-for-ever", "a leader never asks whether what it has written quietly is on its own disk")
def quiet_for_ever(patch: Patch) -> None:
    def wanted(self: Outbox) -> list[effects.Effect]:
        return []

    patch.set(Outbox, "wanted", wanted)
