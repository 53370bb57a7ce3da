"""How often the rare situations came up: a simulator that never meets them proves nothing about them.

A campaign adds the counters of its seeds; `EXPECTED` are those that must not stay at zero over a
campaign of some size, with a word on what each means.
"""

from __future__ import annotations

from collections import Counter


class Counters(Counter[str]):
    """Situations by name; a name is made by counting it."""

    def hit(self, name: str, times: int = 1) -> None:
        self[name] += times

    def silent(self, expected: dict[str, str]) -> list[str]:
        """The names in `expected` that never came up, in order."""
        return [name for name in expected if not self[name]]


EXPECTED_AGREEMENT: dict[str, str] = {
    "election": "a replica became leader",
    "commit after two elections": "an entry was chosen at least two ballots after it was first accepted",
    "entries overwritten": "a follower cut accepted entries that were never chosen",
    "torn tail": "a crash cut an append in its middle",
    "unsynced lost": "a crash lost whole writes that were not synced",
    "restart": "a replica came back from its disk",
    "snapshot taken": "a log was compacted",
    "snapshot installed": "a replica got a snapshot from another",
    "leader crashed": "the leader was killed on purpose",
    "leader paused": "the leader stalled for a while",
    "leader cut off": "the leader lost its links while it led",
    "new leader hit": "a leader was killed or cut off in its first moments",
    "one-way cut": "a link worked in one direction only",
    "message lost": "",
    "message duplicated": "",
    "message reordered": "a message overtook another on its link",
    "disk stalled": "a sync took longer than half an election",
    "leader resigned": "the leader stepped down for its slow disk",
    "read served": "a read-index read was confirmed",
    "two leaders": "two replicas believed to lead at the same moment, in different ballots",
}
