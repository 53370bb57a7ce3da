"""What a client waits for that no coordinator takes in: said when it has lasted, and again when the reason changes.

A client goes on trying for as long as it lives; whoever started it must not have to guess what is missing.
"""

from __future__ import annotations

SAID_AFTER_MS = 5_000  # the coordinators of a cluster that starts, or elects, or has a slow disk, need a moment
SAID_MAX = 100  # different reasons in one wait; a stranger on a port may think of many


class Waits:
    def __init__(self, coordinators: list[str], now_ms: int) -> None:
        self._coordinators = coordinators
        self._since_ms = now_ms
        self._was_in = False
        self._reasons: dict[str, str] = {}  # address → why it did not help, at the last try
        self._said: set[tuple[str, str]] = set()

    def failed(self, address: str, reason: str) -> None:
        """What was tried at this coordinator led to nothing."""
        plain = "".join(letter if letter.isprintable() else "?" for letter in reason)
        self._reasons[address] = plain.removeprefix(f"{address}: ")

    def heard(self, now_ms: int) -> None:
        """The leader has spoken: whatever was said is over."""
        self._since_ms, self._was_in = now_ms, True
        if self._reasons:
            self._reasons.clear()
            self._said.clear()

    def news(self, now_ms: int) -> str:
        """What to say now; "" when it was said, or when it may be over in a moment."""
        tried = [address for address in self._coordinators if address in self._reasons]
        if now_ms - self._since_ms < SAID_AFTER_MS or len(tried) < len(self._coordinators):
            return ""
        reasons = {(address, self._reasons[address]) for address in tried}
        if reasons <= self._said or len(self._said) >= SAID_MAX:
            return ""
        self._said |= reasons
        what = "no coordinator answers any more" if self._was_in else "no coordinator takes it in yet"
        why = "; ".join(f"{address}: {self._reasons[address]}" for address in tried)
        return f"{what} ({why}); it goes on trying"
