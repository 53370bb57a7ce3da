"""The miner on the command line: arguments from words, and the answer for a person."""

from __future__ import annotations

import json
import secrets
from collections.abc import Sequence
from typing import Any

from tasksprint.apps.miner.address import CHAINS, AddressError, script_of
from tasksprint.apps.miner.ranges import EXTRANONCES

__all__ = ["InputError", "arguments", "output_name", "summary"]

LABEL = "bitcoin"
MESSAGE = "TaskSprint"
MESSAGE_BYTES = 84  # what the coinbase's script of 100 bytes leaves beside height and extranonce; less with flags


class InputError(ValueError):
    """Nothing can be mined with these; the text says why."""


def arguments(words: Sequence[str]) -> dict[str, Any]:
    """The job's arguments from words: address=ADDR, and optionally blocks=N, stop_after=S, max_age=S, message=TEXT."""
    options: dict[str, Any] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals:
            raise InputError(f"{word!r} is not name=value; `tasksprint run miner --help` tells more")
        options[name] = value if name in ("address", "message", "label") else _number(name, value)
    if "address" not in options:
        raise InputError("say whom the blocks shall pay: address=ADDRESS (or `tasksprint run miner --address ADDRESS`)")
    known = defaults(options["address"])
    unknown = sorted(set(options) - set(known))
    if unknown:
        raise InputError(f"no option {unknown[0]!r}; there are {', '.join(sorted(known))}")
    return checked({**known, **options})


def defaults(address: str) -> dict[str, Any]:
    return {
        "address": address,
        "message": MESSAGE,
        "blocks": 0,  # 0: no end
        "stop_after": 0.0,  # seconds; 0: no end
        "max_age": 30.0,  # of a template, in seconds
        "poll": 0.5,  # seconds between two plain looks at the tip
        "longpoll": 1800.0,  # seconds that a longpoll may take; then the plain looks at the tip must do
        "unit": 4.0,  # seconds that a node searches before it reports
        "harder": 0,  # search for hashes 2**harder times rarer than the network asks for
        "label": LABEL,  # of the clients that may talk to the Bitcoin node
        "extranonce": str(secrets.randbits(31) << 32),  # where to begin, so that two miners do different work
        "log": 0,  # 1: each unit of work in the scheduler's log
    }


def checked(args: dict[str, Any]) -> dict[str, Any]:
    """The arguments, if they make sense; InputError when not."""
    limits = {"blocks": (0, 10**9), "stop_after": (0, 10**9), "max_age": (1, 10**6), "poll": (0.05, 3600)}
    limits |= {"longpoll": (1, 3600), "unit": (0.05, 60), "harder": (0, 200)}
    for name, (least, most) in limits.items():
        if not least <= args[name] <= most:
            raise InputError(f"{name} is {least:g} to {most:g}, not {args[name]:g}")
    args = {**args, **{name: _whole(name, args[name]) for name in ("blocks", "harder")}}
    extranonce = _whole("extranonce", args["extranonce"])
    if not 0 <= extranonce < EXTRANONCES:
        raise InputError(f"extranonce is 0 to {EXTRANONCES - 1}, not {extranonce}")
    args["extranonce"] = str(extranonce)  # as a number it would be beyond what JSON carries
    _check_message(args["message"])
    _check_address(args["address"])
    return args


def _check_message(text: str) -> None:
    try:
        message = text.encode()
    except UnicodeEncodeError:
        raise InputError("the message in the blocks is no text in UTF-8") from None
    if len(message) > MESSAGE_BYTES:
        raise InputError(f"the message in the blocks has at most {MESSAGE_BYTES} bytes")


def _check_address(address: str) -> None:
    """It must be one on some network; the node will say on which it is."""
    reasons = []
    for chain in CHAINS:
        try:
            script_of(address, chain)
            return
        except AddressError as error:
            reasons.append(str(error))
    raise InputError(next((reason for reason in reasons if "the node is on" not in reason), reasons[0]))


def _whole(name: str, value: Any) -> int:
    try:
        number = int(value)
    except (ValueError, OverflowError):
        number = -1
    if number != value and str(number) != value:
        raise InputError(f"{name} is a whole number, not {value}")
    return number


def _number(name: str, value: str) -> float | int:
    try:
        number = json.loads(value)
    except ValueError:
        number = None
    if isinstance(number, bool) or not isinstance(number, int | float) or number != number:
        raise InputError(f"{name} is a number, not {value!r}")
    return number


def output_name(place: int) -> str:
    """A miner has no files; its result is in the chain."""
    return f"{place}"


def summary(values: dict[str, Any]) -> list[str]:
    """How it went, for a person."""
    counts = ", ".join(f"{values[name]} {name}" for name in ("found", "accepted", "stale", "rejected"))
    blocks = values["blocks"]
    lines = [*blocks, f"blocks: {counts}; {int(values['hashes']):,} hashes"]
    if len(blocks) < values["accepted"]:
        lines.append(f"(these are the last {len(blocks)} of the accepted ones)")
    left = values["found"] - values["accepted"] - values["stale"] - values["rejected"]
    if left > 0:
        lines.append(f"(the Bitcoin node has not said what became of {left} of those that were found)")
    return lines
