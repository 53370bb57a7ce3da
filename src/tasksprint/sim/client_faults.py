"""What goes wrong with clients, their links, their results and the schedulers: kind by kind, as in `faults.py`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from tasksprint.sim.clients import ClientHost
from tasksprint.sim.world import MS_US

if TYPE_CHECKING:
    from tasksprint.sim.cluster import Cluster


class ClientFaults:
    def __init__(self, cluster: Cluster):
        self.cluster = cluster
        self.world = cluster.world
        self.over = False
        self.kinds: dict[str, Callable[[], None]] = {
            "client crash": self.crash,
            "client pause": self.pause,
            "client leaves": self.leave,
            "client isolated": self.isolate,
            "client from leader": self.cut_from_leader,
            "clients apart": self.clients_apart,
            "link breaks": self.break_link,
            "result lost": self.lose_result,
            "client joins": self.join,
        }

    def begin(self) -> None:
        for name, act in self.kinds.items():
            if self.world.chance(350):
                self._repeat(name, act, self.world.between(800, 6_000) * MS_US)

    def _repeat(self, name: str, act: Callable[[], None], mean_us: int) -> None:
        self.world.after(self.world.exponential(mean_us), self._fire, name, act, mean_us)

    def _fire(self, name: str, act: Callable[[], None], mean_us: int) -> None:
        if not self.over:
            self.world.note(f"fault {name}")
            act()
            self._repeat(name, act, mean_us)

    def _spell_us(self) -> int:
        world = self.world
        return world.between(10, 1_500) * MS_US if world.chance(700) else world.between(1_000, 5_000) * MS_US

    def _any(self) -> ClientHost:
        clients = self.cluster.clients
        return clients[self.world.between(0, len(clients) - 1)]

    def crash(self) -> None:
        client = self._any()
        if client.running:
            self.world.counters.hit("client crashed")
            self.world.note(f"crash {client.name}")
            client.crash()
            self.world.after(self._spell_us(), self.restart, client)

    def restart(self, client: ClientHost) -> None:
        if not client.running and not self.over:
            client.start()

    def pause(self) -> None:
        self._any().pause(self._spell_us())

    def leave(self) -> None:
        client = self._any()
        if client.running:
            client.leave()

    def isolate(self) -> None:
        name = self._any().name
        others = [other for other in self.cluster.faults.names if other != name]
        self._cut_for([pair for other in others for pair in ((name, other), (other, name))])

    def cut_from_leader(self) -> None:
        leaders = [host for host in self.cluster.coordinators.values() if host.leads]
        if leaders:
            client, leader = self._any().name, leaders[0].name
            pairs = [(client, leader), (leader, client)]
            self._cut_for(pairs if self.world.chance(600) else pairs[: self.world.between(0, 1) + 1][-1:])

    def clients_apart(self) -> None:
        if len(self.cluster.clients) > 1:
            one, other = self.world.random.sample(self.cluster.clients, 2)
            self.world.counters.hit("clients apart")
            self._cut_for([(one.name, other.name), (other.name, one.name)])

    def break_link(self) -> None:
        sessions = self.cluster.network.sessions()
        if sessions:
            self.world.counters.hit("link broken")
            sessions[self.world.between(0, len(sessions) - 1)].close(within_us=self._spell_us())

    def lose_result(self) -> None:
        self._any().lose_result()

    def join(self) -> None:
        """A client that was never there before."""
        if len(self.cluster.clients) < 5:
            self.world.counters.hit("client joined late")
            self.cluster.add_client()

    def _cut_for(self, pairs: list[tuple[str, str]]) -> None:
        self.cluster.faults.cut_for(pairs, self._spell_us())

    def heal(self) -> None:
        """At least one client works from here on; the others may stay dead."""
        self.over = True
        order = list(self.cluster.clients)
        self.world.random.shuffle(order)
        for place, client in enumerate(order):
            if client.paused:
                client.resume()
            if client.running and place and self.world.chance(200):
                client.crash()
            elif not client.running and (place == 0 or self.world.chance(500)):
                client.start()
