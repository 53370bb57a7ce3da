"""The user of a link that the tests play."""

import asyncio
from collections.abc import Callable

from tasksprint.transport import Handlers, Identity, Link


class User:
    """Handlers that write down what they are told, and can be waited for."""

    def __init__(self) -> None:
        self.links: list[Link] = []
        self.payloads: list[bytes] = []
        self.batches: list[int] = []
        self.closed: list[str] = []
        self.down: list[tuple[str, bool]] = []
        self.events: list[str] = []
        self._news = asyncio.Event()
        self.handlers = Handlers(
            on_messages=self._on_messages,
            on_up=self._on_up,
            on_closed=self._on_closed,
            on_pause=lambda _: self._tell("pause"),
            on_drain=lambda _: self._tell("drain"),
        )

    async def until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            self._news.clear()
            await self._news.wait()

    def on_down(self, reason: str, final: bool) -> None:
        self.down.append((reason, final))
        self._tell("down")

    def _tell(self, event: str) -> None:
        self.events.append(event)
        self._news.set()

    def _on_up(self, link: Link) -> None:
        self.links.append(link)
        self._tell("up")

    def _on_messages(self, link: Link, payloads: list[bytes]) -> None:
        self.payloads += payloads
        self.batches.append(len(payloads))
        self._tell("messages")

    def _on_closed(self, link: Link, reason: str) -> None:
        self.closed.append(reason)
        self._tell("closed")


def identity(sender: str, secret: bytes = b"s" * 32, cluster: str = "test") -> Identity:
    return Identity(secret, cluster, sender)
