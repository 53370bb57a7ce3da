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


EXPECTED: dict[str, str] = {
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
    "message lost": "a datagram was dropped",
    "message duplicated": "a datagram came twice",
    "message reordered": "a message overtook another on its link",
    "disk stalled": "a sync took longer than half an election",
    "leader resigned": "the leader stepped down for its slow disk",
    "read served": "a read-index read was confirmed",
    "two leaders": "two replicas believed to lead at the same moment, in different ballots",
    # --- the whole cluster
    "rotation torn": "a crash left a new snapshot beside the old journal",
    "answer in parts": "a scheduler's answer came in parts",
    "leader change within an answer": "the leader changed between two parts of one answer",
    "scheduler crashed": "a scheduler's copy died",
    "scheduler saved": "a scheduler's state was saved",
    "scheduler restarted": "no copy agreed with the log: a new generation began",
    "report parked": "a result came before one that it was made of",
    "task run again": "a lost result was made again",
    "job nondeterministic": "a result that was made again differed",
    "third attempt": "a task ran for the third time",
    "result lost": "a client lost a result that it held",
    "results kept over restart": "a client came back with what it held",
    "leftover dropped": "a client came back with a result that nobody wanted any more",
    "results gone after restart": "a client came back without",
    "client crashed": "a client was killed",
    "client left": "a client handed its work back",
    "client joined late": "a client joined when jobs were running",
    "clients apart": "two clients could not talk to each other",
    "link broken": "a link closed between two messages",
    "node crashed": "a node died within a task",
    "node killed after grace": "a node did not stop when it was told to",
    "piece fetched": "a result went from client to client",
    "fetch failed: unreachable": "a supplier could not be reached",
    "fetch failed: moved": "an attempt was taken away from its supplier while others waited for it",
    "state restored from its snapshot": "the view went through a snapshot and back, and went on",
}
