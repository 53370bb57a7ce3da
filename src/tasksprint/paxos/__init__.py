"""Agreement: a few replicas, of which a minority may be dead, hold one log.

Promises: at each index one value is chosen, for ever; what is chosen is on a quorum's disks; nothing is
said that depends on what is not yet written; with a quorum that can talk, there is a leader soon.

Pure: messages, time and the disk's progress go in, an `Output` comes out.  `Replica` is the only class
that others touch.  A file a role: `acceptor` (the essay on safety is there), `proposer`, `election`,
`snapshot_transfer`, `log`; `replica` puts them together; `messages` is what is said and written.
"""

from tasksprint.paxos.election import Timing
from tasksprint.paxos.messages import AnyMessage, AnyRecord
from tasksprint.paxos.output import NOTHING, Output
from tasksprint.paxos.replica import Replica

__all__ = ["NOTHING", "AnyMessage", "AnyRecord", "Output", "Replica", "Timing"]
