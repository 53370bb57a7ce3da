"""What goes wrong, and when: chosen at random for each seed, kind by kind.

Every seed has its own subset of the kinds (a run with all faults at once hides what a run with two of
them shows), its own rates and its own manners of the network and of the disks.  At the end of the
safety phase `heal` ends every fault for a random majority; the rest stays dead, stays cut off, or is healed as
well.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from tasksprint.sim.disk import Disk, Write
from tasksprint.sim.network import Link, Network
from tasksprint.sim.world import MS_US, World


class Target(Protocol):
    """A coordinator, as the faults see it."""

    name: str
    running: bool
    paused: bool
    disk: Disk

    @property
    def leads(self) -> bool: ...
    def start(self) -> None: ...
    def crash(self) -> None: ...
    def pause(self, length_us: int) -> None: ...
    def resume(self) -> None: ...


class Faults:
    """The faults of one run over the coordinators `targets`; `names` are all ends of links."""

    def __init__(self, world: World, network: Network, targets: Sequence[Target], names: Sequence[str]):
        self.world, self.network, self.targets, self.names = world, network, targets, list(names)
        self.over = False
        self.fragile = False  # new leaders are hit at once
        self.healed: list[Target] = list(targets)
        self.kinds: dict[str, Callable[[], None]] = {
            "crash": self.crash,
            "crash leader": self.crash_leader,
            "crash in a write": self.crash_in_write,
            "pause": self.pause,
            "pause leader": self.pause_leader,
            "isolate": self.isolate,
            "isolate leader": self.isolate_leader,
            "one-way": self.one_way,
            "partition": self.partition,
            "stop links": self.stop_links,
            "clog": self.clog,
            "power": self.power,
        }

    def begin(self) -> None:
        """Choose this seed's faults and set them going."""
        world = self.world
        self._choose_manners()
        self.fragile = world.chance(300)
        for name, act in self.kinds.items():
            if world.chance(350):
                self._repeat(name, act, world.between(800, 8_000) * MS_US)

    def _repeat(self, name: str, act: Callable[[], None], mean_us: int) -> None:
        self.world.after(self.world.exponential(mean_us), self._fire, name, act, mean_us)

    def _fire(self, name: str, act: Callable[[], None], mean_us: int) -> None:
        if self.over:
            return
        self.world.note(f"fault {name}")
        act()
        self._repeat(name, act, mean_us)

    def _choose_manners(self) -> None:
        """How bad the links and the disks are in this run."""
        world = self.world
        loss = world.between(0, 300) if world.chance(400) else 0
        duplicate = world.between(0, 300) if world.chance(400) else 0
        straggle = world.between(0, 60) if world.chance(400) else 0
        jitter_us = world.between(100, 20_000) if world.chance(600) else 300

        def manners(link: Link) -> None:
            link.loss, link.duplicate, link.straggle = loss, duplicate, straggle
            link.delay_us = world.between(20, 200)
            link.jitter_us = jitter_us

        self.network.manners = manners
        stalls = world.chance(400)
        for target in self.targets:
            target.disk.sync_us = world.between(100, 5_000)
            if stalls and world.chance(600):
                target.disk.stall_per_mille = world.between(1, 60)
                target.disk.stall_us = world.between(50, 4_000) * MS_US

    def _spell_us(self) -> int:
        """How long a fault lasts: mostly about an election, sometimes much longer."""
        world = self.world
        return world.between(10, 1_500) * MS_US if world.chance(700) else world.between(1_000, 5_000) * MS_US

    def _any(self) -> Target:
        return self.targets[self.world.between(0, len(self.targets) - 1)]

    def _leader(self) -> Target | None:
        leaders = [target for target in self.targets if target.running and target.leads]
        return leaders[self.world.between(0, len(leaders) - 1)] if leaders else None

    # --- processes -----------------------------------------------------------------------------------

    def crash(self, target: Target | None = None) -> None:
        target = target or self._any()
        if target.running:
            self.world.note(f"crash {target.name}")
            target.crash()
            self.world.after(self._spell_us(), self._restart, target)

    def _restart(self, target: Target) -> None:
        if not self.over and not target.running:
            self.world.counters.hit("restart")
            target.start()

    def crash_in_write(self) -> None:
        """Between a write and its sync, or between a snapshot and the journal that begins with it."""
        world, target = self.world, self._any()
        wanted = world.chance(500)

        def trap(write: Write) -> bool:
            if write.fresh != wanted:
                return False
            world.after(world.between(0, target.disk.sync_us), self._crash_now, target)
            return True

        target.disk.trap = trap

    def _crash_now(self, target: Target) -> None:
        if not self.over:
            self.crash(target)

    def crash_leader(self) -> None:
        if leader := self._leader():
            self.world.counters.hit("leader crashed")
            self.crash(leader)

    def elected(self, target: Target) -> None:
        """A leader in its first moments, its log half given out, is where the old bugs live."""
        if self.fragile and not self.over and self.world.chance(400):
            self.world.after(self.world.exponential(3 * MS_US), self._hit_new_leader, target)

    def _hit_new_leader(self, target: Target) -> None:
        if self.over or not target.running:
            return
        self.world.counters.hit("new leader hit")
        if self.world.chance(500):
            self.crash(target)
        else:
            self.isolate(target)

    def power(self) -> None:
        """Every coordinator at once."""
        for target in self.targets:
            self.crash(target)

    def pause(self) -> None:
        self._any().pause(self._spell_us())

    def pause_leader(self) -> None:
        if leader := self._leader():
            self.world.counters.hit("leader paused")
            leader.pause(self._spell_us())

    # --- links ---------------------------------------------------------------------------------------

    def isolate(self, target: Target | None = None) -> None:
        name = (target or self._any()).name
        others = [other for other in self.names if other != name]
        self.cut_for([(name, other) for other in others] + [(other, name) for other in others], self._spell_us())

    def isolate_leader(self) -> None:
        if leader := self._leader():
            self.world.counters.hit("leader cut off")
            self.isolate(leader)

    def one_way(self) -> None:
        """One direction of a random part of one coordinator's links."""
        name = self._any().name
        out = self.world.chance(500)
        others = [other for other in self.names if other != name and self.world.chance(700)]
        if others:
            self.world.counters.hit("one-way cut")
        self.cut_for([(name, other) if out else (other, name) for other in others], self._spell_us())

    def partition(self) -> None:
        left = [name for name in self.names if self.world.chance(500)]
        right = [name for name in self.names if name not in left]
        pairs = [pair for one in left for other in right for pair in ((one, other), (other, one))]
        self.cut_for(pairs, self._spell_us())

    def stop_links(self) -> None:
        """FoundationDB's: stop a random subset one by one, restore it in another order."""
        world = self.world
        pairs = [(one, other) for one in self.names for other in self.names if one != other and world.chance(400)]
        world.random.shuffle(pairs)
        for number, pair in enumerate(pairs):
            world.after(number * world.between(1, 100) * MS_US, self._cut, [pair])
        later = len(pairs) * 100 * MS_US
        world.random.shuffle(pairs)
        for pair in pairs:
            later += world.between(1, 300) * MS_US
            world.after(later, self._restore, [pair])

    def clog(self) -> None:
        one, other = self.world.random.sample(list(self.names), 2) if len(self.names) > 1 else ("", "")
        if one:
            self.network.clog(one, other, self._spell_us())

    def cut_for(self, pairs: list[tuple[str, str]], length_us: int) -> None:
        self._cut(pairs)
        self.world.after(length_us, self._restore, pairs)

    def _cut(self, pairs: list[tuple[str, str]]) -> None:
        if not self.over:
            self.world.note("cut " + " ".join(f"{one}→{other}" for one, other in pairs))
            for pair in pairs:
                self.network.cut(*pair)

    def _restore(self, pairs: list[tuple[str, str]]) -> None:
        if not self.over:
            for pair in pairs:
                if self.network.link(*pair).cuts:
                    self.network.restore(*pair)

    # --- the end -------------------------------------------------------------------------------------

    def heal(self) -> list[Target]:
        """Stop every fault for a random majority and return it; the others may stay dead or cut off."""
        world = self.world
        self.over = True
        order = list(self.targets)
        world.random.shuffle(order)
        majority = order[: len(order) // 2 + 1]
        self.network.heal()
        fate = world.between(0, 2)
        for target in order[len(majority) :]:
            if fate == 0:
                majority.append(target)
            elif fate == 1 and target.running:
                target.crash()
            elif fate == 2:
                self._leave_cut_off(target)
        for target in majority:
            target.disk.stall_per_mille = 0
            if target.paused:
                target.resume()
            if not target.running:
                target.start()
        world.note("heal " + " ".join(target.name for target in majority))
        self.healed = sorted(majority, key=lambda target: target.name)
        return self.healed

    def _leave_cut_off(self, target: Target) -> None:
        out, into = self.world.chance(700), self.world.chance(700)
        for name in self.names:
            if name != target.name:
                if out:
                    self.network.cut(target.name, name)
                if into or not out:
                    self.network.cut(name, target.name)
