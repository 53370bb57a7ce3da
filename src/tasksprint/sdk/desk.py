"""The scheduler's desk: where decisions are written down and become parts of an answer.

An answer covers all events of one line, and is written in parts of bounded size.  Where an event's decisions are
cut must not depend on which other events came on the same line, since copies of a scheduler on other machines may
get the same events in other lines, and their decisions are compared.  So each event's decisions are cut into
chunks on their own (at PART_ACTIONS, or CHUNK_BYTES), and parts are filled with whole chunks.

A part is written as soon as it is full, in the middle of a handler if need be: a scheduler that starts a million
tasks in `init` holds one part of them, and waits in its write while the log catches up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from tasksprint.limits import KIB, PART_ACTIONS, SCHEDULER_PART_BYTES
from tasksprint.sdk.plain import NotPlain, dumps
from tasksprint.sdk.tasks import Task

CHUNK_BYTES = SCHEDULER_PART_BYTES - KIB
_NAMES_KEPT = 4096


class Desk:
    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write
        self._names: dict[str, str] = {}  # names as JSON: the same few come again and again
        self._chunk: list[str] = []
        self._chunk_bytes = 0
        self._part: list[str] = []
        self._part_actions = 0
        self._part_bytes = 0
        self._seq = 0
        self.next_task = 1
        self.cause = 0  # the task whose end is being delivered, where the event is another one's; 0: none
        self.finished = False

    # --- an answer ---------------------------------------------------------------------------------------

    def begin(self, seq: int) -> None:
        """The decisions that follow belong to this event."""
        if self._chunk:
            self._close_chunk()
        self._seq = seq

    def answer(self, last: int) -> None:
        """Every event up to `last` has been handled: writes the last part."""
        if self._chunk:
            self._close_chunk()
        if not self._part or self._seq != last or not self._part[-1].startswith(f'{{"seq":{last},'):
            self._part.append(f'{{"seq":{last}}}')
        self._write_part("false")

    def _add(self, text: str) -> None:
        size = len(text) if text.isascii() else len(text.encode())
        if self._chunk and (len(self._chunk) == PART_ACTIONS or self._chunk_bytes + size >= CHUNK_BYTES):
            self._close_chunk()
        self._chunk.append(text)
        self._chunk_bytes += size + 1

    def _close_chunk(self) -> None:
        full = self._part_actions + len(self._chunk) > PART_ACTIONS
        if self._part and (full or self._part_bytes + self._chunk_bytes > CHUNK_BYTES):
            self._write_part("true")
        self._part.append(f'{{"seq":{self._seq},"actions":[{",".join(self._chunk)}]}}')
        self._part_actions += len(self._chunk)
        self._part_bytes += self._chunk_bytes + 40
        self._chunk, self._chunk_bytes = [], 0

    def _write_part(self, more: str) -> None:
        self._write(f'{{"answers":[{",".join(self._part)}],"more":{more}}}\n')
        self._part, self._part_actions, self._part_bytes = [], 0, 0

    # --- decisions ---------------------------------------------------------------------------------------

    def start(
        self,
        name: str,
        args: Any,
        prerequisites: Iterable[tuple[Task, str]],
        keys: Iterable[str],
        options: str,
    ) -> Task:
        """`options`: further fields as JSON text, each after a comma."""
        if self.finished:
            raise RuntimeError(f"start_task({name!r}) after the job has finished")
        number = self.next_task
        text = f'{{"action":"start_task","task":{number},"name":{self.name(name)}'
        if args is not None:
            text += f',"args":{_plain(args, name)}'
        if prerequisites:
            text += f',"prerequisites":{self._references(prerequisites)}'
        if keys:
            text += f',"keys":{self._key_list(keys, "keys")}'
        if self.cause:
            text += f',"cause":{self.cause}'
        self._add(f"{text}{options}}}")
        self.next_task = number + 1
        return Task(number, name)

    def name(self, name: str) -> str:
        text = self._names.get(name)
        if text is None:
            if not isinstance(name, str) or not name:
                raise TypeError(f"a name is a string with at least one character, not {name!r}")
            if len(self._names) >= _NAMES_KEPT:
                self._names.clear()
            text = self._names[name] = dumps(name)
        return text

    def _references(self, references: Iterable[tuple[Task, str]]) -> str:
        parts = []
        for reference in references:
            if not isinstance(reference, tuple) or len(reference) != 2 or not isinstance(reference[0], Task):
                raise TypeError(f'a piece is named task["key"], not {reference!r}')
            parts.append(f"[{reference[0].number},{self.name(reference[1])}]")
        return f"[{','.join(parts)}]"

    def _key_list(self, keys: Iterable[str], what: str) -> str:
        if isinstance(keys, str):
            raise TypeError(f"{what} is a list of names, not one string: {what}=[{keys!r}]")
        return f"[{','.join([self.name(key) for key in keys])}]"

    def labels(self, labels: Iterable[str]) -> str:
        return self._key_list(labels, "labels")

    def kill(self, number: int) -> None:
        self._unless_finished(f'{{"action":"kill_task","task":{number}}}')

    def release(self, number: int) -> None:
        self._unless_finished(f'{{"action":"release","task":{number}}}')

    def set_timer(self, name: str, delay_s: float) -> None:
        if not 0 <= delay_s <= 1e9:
            raise ValueError(f"set_timer({name!r}): a delay of {delay_s!r} s; 0 to 1e9 are possible")
        self._unless_finished(f'{{"action":"set_timer","name":{self.name(name)},"delay_s":{dumps(delay_s)}}}')

    def finish(self, values: Any, files: Iterable[tuple[Task, str]]) -> None:
        try:
            text = dumps(values)
        except NotPlain as error:
            raise NotPlain(f"finish: {error}") from None
        self._unless_finished(f'{{"action":"finish","values":{text},"files":{self._references(files)}}}')
        self.finished = True

    def fail(self, error: str) -> None:
        self._unless_finished(f'{{"action":"fail","error":{dumps(str(error))}}}')
        self.finished = True

    def _unless_finished(self, text: str) -> None:
        if not self.finished:
            self._add(text)


def _plain(args: Any, name: str) -> str:
    try:
        return dumps(args)
    except NotPlain as error:
        raise NotPlain(f"start_task({name!r}): args: {error}") from None
