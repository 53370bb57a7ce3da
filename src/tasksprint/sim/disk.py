"""The simulated disk: it keeps what was synced, and a crash takes the rest at a random cut.

It gives the promise of `storage.journal` (append, rotate, install, all in order, one group sync at a
time) in virtual time.  A crash keeps a random prefix of what was asked for since the last sync: whole
writes, then perhaps some records of the next one.  A rotation that is cut leaves the old journal,
sometimes beside the new snapshot.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from tasksprint.sim.world import MS_US, World


@dataclass(slots=True)
class Write:
    """One thing asked of the disk: append `records`, or begin a fresh journal with them and a snapshot."""

    number: int  # 0: nobody waits for it
    records: list[bytes]
    snapshot: tuple[int, bytes] | None = None
    fresh: bool = False


@dataclass(slots=True)
class Platter:
    """What a restart finds."""

    records: list[bytes] = field(default_factory=list)
    snapshot: tuple[int, bytes] | None = None


class Disk:
    """`on_stored(write)` is called as each write reaches the platter; `on_durable(number)` after each sync."""

    def __init__(self, world: World, name: str, on_stored: Callable[[Write], None]):
        self.world = world
        self.name = name
        self.platter = Platter()
        self.sync_us = 300
        self.stall_per_mille = 0
        self.stall_us = 0
        self.trap: Callable[[Write], bool] | None = None  # told of the next writes, until it says that it is done
        self._on_stored = on_stored
        self._queue: list[Write] = []
        self._syncing: list[Write] = []
        self._since_us = -1
        self._on_durable: Callable[[int], None] | None = None
        self._epoch = 0  # a sync that was under way when the machine crashed ends nowhere

    def start(self, on_durable: Callable[[int], None]) -> None:
        self._on_durable = on_durable

    def append(self, number: int, records: list[bytes]) -> None:
        self._ask(Write(number, records))

    def install(self, index: int, snapshot: bytes) -> None:
        """Store a snapshot that came from another replica; the records about it follow."""
        self._ask(Write(0, [], (index, snapshot)))

    def rotate(self, index: int, snapshot: bytes, records: list[bytes], number: int = 0) -> None:
        self._ask(Write(number, records, (index, snapshot), True))

    def oldest_unsynced_us(self) -> int:
        """How long the oldest write has waited for its sync."""
        return self.world.now_us - self._since_us if self._syncing or self._queue else 0

    def _ask(self, write: Write) -> None:
        if not self._queue and not self._syncing:
            self._since_us = self.world.now_us
        self._queue.append(write)
        if not self._syncing:
            self._sync()
        if self.trap is not None and self.trap(write):
            self.trap = None

    def _sync(self) -> None:
        self._syncing, self._queue = self._queue, []
        delay = self.sync_us // 2 + int(self.world.random.random() * self.sync_us)
        if self.world.chance(self.stall_per_mille):
            stall = self.world.between(0, self.stall_us)
            if stall > 250 * MS_US:
                self.world.counters.hit("disk stalled")
            delay += stall
        self.world.after(delay, self._synced, self._epoch)

    def _synced(self, epoch: int) -> None:
        if epoch != self._epoch:
            return
        number = 0
        for write in self._syncing:
            self._store(write)
            number = max(number, write.number)
        self._syncing = []
        self._since_us = self.world.now_us
        if self._queue:
            self._sync()
        if number and self._on_durable:
            self._on_durable(number)

    def _store(self, write: Write) -> None:
        if write.fresh:
            self.platter.records = list(write.records)
        else:
            self.platter.records.extend(write.records)
        if write.snapshot and (self.platter.snapshot is None or write.snapshot[0] > self.platter.snapshot[0]):
            self.platter.snapshot = write.snapshot
        self._on_stored(write)

    def crash(self) -> None:
        """Power is cut: what was synced stays, and a random part of the rest."""
        self._epoch += 1
        unsynced = self._syncing + self._queue
        self._syncing, self._queue = [], []
        self._on_durable = None
        if not unsynced:
            return
        kept = self.world.between(0, len(unsynced))
        for write in unsynced[:kept]:
            self._store(write)
        if kept < len(unsynced):
            self.world.counters.hit("unsynced lost")
            self._tear(unsynced[kept])

    def _tear(self, write: Write) -> None:
        if write.fresh:
            if self.world.chance(500) and write.snapshot:
                self._store(Write(0, [], write.snapshot))
                self.world.counters.hit("rotation torn")
            return
        records = self.world.between(0, len(write.records))
        if 0 < records < len(write.records):
            self._store(Write(0, write.records[:records]))
            self.world.counters.hit("torn tail")
