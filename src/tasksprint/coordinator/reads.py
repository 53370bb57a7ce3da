"""Questions that are answered as of everything acknowledged before they were asked (read-index).  Pure."""

from __future__ import annotations

from collections.abc import Callable

from tasksprint.wire.messages import StatusRequest


class Reads:
    """A read waits until Paxos confirms that we lead still, and then until its index is applied."""

    def __init__(self) -> None:
        self._asked: dict[int, tuple[int, StatusRequest]] = {}  # token → (link, question)
        self._confirmed: list[tuple[int, int]] = []  # (token, index)
        self._last = 0

    def ask(self, link: int, message: StatusRequest, read: Callable[[int], bool]) -> bool:
        """False when `read`, which is given the token, says that we do not lead."""
        self._last += 1
        if not read(self._last):
            return False
        self._asked[self._last] = (link, message)
        return True

    def confirmed(self, reads: list[tuple[int, int]]) -> None:
        self._confirmed += reads

    def due(self, applied: int) -> list[tuple[int, StatusRequest]]:
        """What can be answered now, each once."""
        if not self._confirmed:
            return []
        tokens = [token for token, index in self._confirmed if index <= applied]
        self._confirmed = [(token, index) for token, index in self._confirmed if index > applied]
        return [self._asked.pop(token) for token in tokens if token in self._asked]

    def drop_all(self) -> list[int]:
        """The lead is lost: the links of those who wait."""
        links = [link for link, _ in self._asked.values()]
        self._asked.clear()
        return links
