"""Coordinators that have refused this client, and when that is a reason to end.

A refusal comes before the other side has proved anything: whoever listens on the port of a dead coordinator can send
one.  So it ends a client only if nobody has ever accepted it and every coordinator in its list has refused it at the
last try: then its secret, its cluster's name or its version is wrong, and a person has to hear of it.
"""

from __future__ import annotations

SAID_MAX = 100  # different refusals that are shown; a stranger may think of many


class Refusals:
    def __init__(self, coordinators: list[str]) -> None:
        self._reasons: dict[str, str] = {}  # address → why, of those whose last answer was a refusal
        self._coordinators = set(coordinators)
        self._accepted = False
        self._said: set[tuple[str, str]] = set()

    def refused(self, address: str, reason: str) -> None:
        self._reasons[address] = "".join(letter if letter.isprintable() else "?" for letter in reason)

    def failed(self, address: str) -> None:
        """It did not answer; what it said earlier may be over."""
        self._reasons.pop(address, None)

    def accepted(self) -> None:
        """A coordinator has proved that it has the secret, and took our proof: from now on nothing ends this client."""
        self._accepted = True
        self._reasons.clear()

    @property
    def verdict(self) -> str:
        """Why this client should end; "" when it should go on."""
        if self._accepted or self._reasons.keys() != self._coordinators:
            return ""
        return "; ".join(self._reasons.values())

    def news(self, address: str) -> str:
        """The refusal of this coordinator, once; "" when it has been told before."""
        reason = self._reasons.get(address, "")
        if not reason or (address, reason) in self._said or len(self._said) >= SAID_MAX:
            return ""
        self._said.add((address, reason))
        return reason
