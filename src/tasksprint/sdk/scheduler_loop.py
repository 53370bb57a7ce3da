"""The program around a user's scheduler: lines in, handlers called, decisions out."""

from __future__ import annotations

import gc
import json
from collections.abc import Callable
from typing import Any

from tasksprint.limits import SCHEDULER_PROTOCOL_VERSION
from tasksprint.sdk import streams
from tasksprint.sdk.desk import Desk
from tasksprint.sdk.plain import dumps
from tasksprint.sdk.scheduler import Scheduler, deliver


def serve(kind: type[Scheduler]) -> None:
    """Runs a scheduler of this class on stdin and stdout, until `bye` or the end of the input."""
    reader, writer = streams.take()
    with open(reader, "rb", buffering=1 << 18) as lines:
        hello = json.loads(lines.readline() or b"{}")
        if hello.get("type") != "hello":
            raise streams.Unknown(
                "expected `hello`: a coordinator starts this program, `tasksprint check-scheduler` tries it"
            )
        scheduler = made(kind, int(hello["seed"], 16), lambda text: streams.write(writer, text.encode()))
        ready = {"version": SCHEDULER_PROTOCOL_VERSION, "ordered": kind.ordered, "save": True}
        gc.freeze()  # what is there now stays: it need not be looked at again and again
        streams.write(writer, json.dumps({"ready": ready}).encode() + b"\n")
        for line in lines:
            message = json.loads(line)
            events = message.get("events")
            if events is not None:
                answer(scheduler, events)
            elif message.get("type") == "bye":
                return
            else:
                _other(scheduler, message, writer)


def made(kind: type[Scheduler], seed: int, write: Callable[[str], None]) -> Scheduler:
    """A scheduler of this class; `write` gets its lines, each a part of an answer."""
    scheduler = kind.__new__(kind)
    scheduler._sprint.seed = seed
    scheduler._sprint.desk = Desk(write)
    scheduler.__init__()  # type: ignore[misc]
    return scheduler


def answer(scheduler: Scheduler, events: list[dict[str, Any]]) -> None:
    """Deliver the events of one line and write the answer. HandlerFailed says which handler has raised, and where."""
    event = events[0]
    try:
        for event in events:
            deliver(scheduler, event)
    except streams.Closed:
        raise
    except Exception as error:
        from tasksprint.sdk.faults import HandlerFailed, whole

        about = f" (task {event['task']}, {event['name']})" if "task" in event else ""
        where = f"{type(scheduler).__name__}.{event['event']} raised at event {event['seq']}{about}"
        raise HandlerFailed(f"{where}:\n{whole(error)}") from None
    scheduler._sprint.desk.answer(events[-1]["seq"])


def _other(scheduler: Scheduler, message: dict[str, Any], writer: int) -> None:
    from tasksprint.sdk import saving

    if message.get("save"):
        try:
            line = f'{{"saved":{saving.save(scheduler)}}}\n'
        except saving.CannotSave as error:
            line = f'{{"saved":null,"error":{dumps(str(error))}}}\n'
        streams.write(writer, line.encode())
    elif "restore" in message:
        saving.restore(scheduler, message["restore"])
    else:
        raise streams.Unknown(f"an unknown message: {str(message)[:200]}")
