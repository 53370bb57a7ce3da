"""Every number that TaskSprint lives by, each with its unit, and the relations between them.

A limit is named here once and nowhere else.  Times end in ``_MS``, sizes in ``_BYTES``; all of them
are integers, so that pure code can use them without ever touching a float.
"""

from __future__ import annotations

from typing import Final

KIB: Final = 1 << 10
MIB: Final = 1 << 20

# --- versions -------------------------------------------------------------------------------------
WIRE_VERSION: Final = 1  # links between our own processes
NODE_PROTOCOL_VERSION: Final = 1  # JSON lines between a client and a node
SCHEDULER_PROTOCOL_VERSION: Final = 1  # JSON lines between a coordinator and a scheduler
JOURNAL_VERSION: Final = 1
SNAPSHOT_VERSION: Final = 1

# --- time -----------------------------------------------------------------------------------------
TICK_MS: Final = 100  # the leader logs a tick this often
TICK_IDLE_MS: Final = 180  # ... and this often while nothing else is logged, and no timer is near
TICK_STEP_MAX_MS: Final = 2 * TICK_MS  # cluster time moves by at most this much in a tick
HEARTBEAT_MS: Final = 100  # leader to followers
ELECTION_MS: Final = 500  # a follower that hears nothing for this long (to twice this) stands
ALIVE_MS: Final = 300  # a client says that it lives this often
CLIENT_TIMEOUT_MS: Final = 1_500  # of cluster time, unheard: the client is dead
CLIENT_SWITCH_MS: Final = CLIENT_TIMEOUT_MS // 2  # no fresh answer for this long: try the next coordinator
POLL_HELD_MS: Final = 500  # a poll without news is answered after this long: a sign of life from the leader
SPARE_MS: Final = 20  # loaded: a follower that the quorum does not need gets entries this often, many at once
FOLLOW_MS: Final = 10  # a follower applies what is decided this much later, many entries at once
FOLLOW_WAIT_MS: Final = 240  # ... but nothing else wakes it for so long: an idle log's next tick does
WARM_FEED_MS: Final = 50  # events gather this long for copies of schedulers that do not decide
GATHER_MS: Final = 2  # loaded: operations, reports and writes gather for up to this long
CANCEL_GRACE_MS: Final = 200  # a node has this long to answer `cancel`, then its group is killed
START_MS: Final = 30_000  # a program must say `ready` within this time
SCHEDULER_ANSWER_MS: Final = 60_000  # an event unanswered for this long restarts the scheduler's copy
FINISHING_MS: Final = 3_600_000  # of cluster time: outputs of a finished job wait this long to be collected
FETCH_STALL_MS: Final = 5_000  # a supplier that answers no ping for this long: the try has failed
FETCH_UNKNOWN_MS: Final = 2_000  # a supplier that does not know an attempt waits this long for its own view
HANDSHAKE_MS: Final = 5_000
CONNECT_MS: Final = 2_000
RECONNECT_MIN_MS: Final = 20
RECONNECT_MAX_MS: Final = 500
REFUSED_RETRY_MS: Final = 5_000  # the other side refused us for good: still tried again, this often
SUBMIT_MS: Final = 30_000  # a submitter gives up when no coordinator answers for this long

# --- bytes ----------------------------------------------------------------------------------------
FRAME_BYTES: Final = 4 * MIB  # one frame on a link
SLOT_BYTES: Final = 1 * MIB  # one slot of the log (it carries many operations)
LINE_BYTES: Final = 16 * MIB  # one JSON line from a node or a scheduler
SCHEDULER_PART_BYTES: Final = 256 * KIB  # one part of a scheduler's answer
VALUES_BYTES: Final = 64 * KIB  # values of a task that go through the log, by default
VALUES_MAX_BYTES: Final = 1 * MIB - 64 * KIB  # ... and at most: they fit into a slot
ARGS_BYTES: Final = 1 * MIB - 64 * KIB  # a task's arguments
SAVE_BYTES: Final = 8 * MIB  # the saved state of a scheduler
SAVE_PART_BYTES: Final = 256 * KIB  # ... in parts of this size
PROGRAM_BYTES: Final = 8 * MIB  # a job's files, packed
PROGRAM_CHUNK_BYTES: Final = 512 * KIB
CHUNK_BYTES: Final = 256 * KIB  # one chunk of a piece between clients
LINK_BUFFER_BYTES: Final = 16 * MIB  # what may wait to be written on one link
ASSIGNED_BYTES: Final = 2 * MIB  # arguments of the attempts at one client; above it no more are placed there
EVENTS_BYTES: Final = 64 * MIB  # unanswered events of a job
CHILD_BUFFER_BYTES: Final = 64 * MIB  # what may wait for a program that does not read its input
SHELF_MEMORY_BYTES: Final = 256 * MIB  # JSON pieces held in memory by a client before they spill
INLINE_HASH_BYTES: Final = 256 * KIB  # larger files are hashed in a thread
JOURNAL_SEGMENT_BYTES: Final = 16 * MIB
SNAPSHOT_EVERY_BYTES: Final = 64 * MIB  # of log since the last snapshot
SNAPSHOT_CHUNK_BYTES: Final = 512 * KIB
JOB_LOG_BYTES: Final = 8 * MIB  # a job's kept output, on each machine
STDERR_TAIL_BYTES: Final = 4 * KIB  # how much of a program's stderr an error shows
ERROR_BYTES: Final = 8 * KIB  # an error that goes through the log is cut to this

# --- counts ---------------------------------------------------------------------------------------
PART_ACTIONS: Final = 1_000  # actions in one part of a scheduler's answer
EVENTS_UNANSWERED: Final = 100_000  # of a job; above it no further task of the job is placed
EVENTS_WITHOUT_SAVE: Final = 50_000  # seen by a scheduler that cannot save
EVENTS_WITHOUT_SAVE_BYTES: Final = 10 * MIB
SAVE_EVERY_EVENTS: Final = 5_000  # a scheduler that can save is asked to, this often
SCHEDULER_CRASHES: Final = 3  # on the same event: the job fails
CLIENT_DEATHS: Final = 3  # a task on which this many clients died fails
DEATHS_PER_TICK: Final = 8
WINDOW_PER_SLOT: Final = 2  # ready attempts at a client: at least this many a slot
WINDOW_MAX: Final = 512  # ... and at most this many
WINDOW_WORK_MS: Final = 50  # ... about this much work
MOVE_BYTES: Final = 16 * MIB  # a task with larger inputs waits for a core of the client that has them
WAITING_PER_SLOT: Final = 64  # attempts that wait at a client for their prerequisites
ASIDE_MAX: Final = 64  # cores=0 attempts at a client
CLIENTS_REMEMBERED: Final = 1_000  # dead ones
TIMERS_MAX: Final = 10_000  # of a job
NODE_NICE: Final = 5  # by which a computing node's priority is below its client's
NODE_QUEUE: Final = 8  # `run` lines sent ahead to one node
SLOTS_IN_FLIGHT: Final = 64  # proposals of the log that are not yet chosen
CHANGES_KEPT: Final = 4_096  # of a client's part; a client further behind gets the whole part
PARKED_REPORTS: Final = 10_000  # of a job: reports whose inputs are not yet confirmed
REPORTS_PER_BATCH: Final = 1_000
FETCH_TRIES: Final = 3  # then the fetcher says `unreachable`
REPLICAS_MAX: Final = 7  # coordinators
TASK_REPLICAS_MAX: Final = 8
PREREQUISITES_MAX: Final = 100_000  # of one task
LABELS_MAX: Final = 100  # of a task or a client
RETRIES_MAX: Final = 1_000
CORES_MAX: Final = 4_096  # of a task
KEYS_MAX: Final = 10_000  # pieces of one result
NAME_CHARS: Final = 200  # names of tasks, keys, labels, timers, jobs
LINKS_MAX: Final = 1_024  # open links of one process
HALF_OPEN_MAX: Final = 256  # ... and connections that have not shown the secret yet; then the oldest goes
FILES_MAX: Final = 65_536  # open files that a daemon asks the system for
PROGRAMS_SPARE: Final = 8  # packed programs that no job uses
PROGRESS_ROWS: Final = 1_000  # tasks whose progress goes with one sign of life
PROGRESS_KEPT: Final = 10_000  # ... and of which a leader remembers it
JOBS_KEPT: Final = 100  # ended jobs that `status` remembers

# --- how they hang together -----------------------------------------------------------------------
assert TICK_STEP_MAX_MS <= CLIENT_TIMEOUT_MS // 5, "a client must survive several late ticks"
assert ALIVE_MS * 5 <= CLIENT_TIMEOUT_MS, "five lost signs of life before a client is dead"
assert HEARTBEAT_MS * 5 <= ELECTION_MS, "five lost heartbeats before an election"
assert POLL_HELD_MS + TICK_IDLE_MS < CLIENT_SWITCH_MS, "a quiet leader is not a silent one"
assert CLIENT_SWITCH_MS + ALIVE_MS < CLIENT_TIMEOUT_MS, "a client finds the new leader before it is declared dead"
assert TICK_IDLE_MS < TICK_STEP_MAX_MS, "an idle cluster's time does not fall behind"
assert TICK_IDLE_MS < FOLLOW_MS + FOLLOW_WAIT_MS, "an idle follower is woken by ticks alone"
assert ELECTION_MS < CLIENT_TIMEOUT_MS
assert SCHEDULER_PART_BYTES < SLOT_BYTES < FRAME_BYTES
assert VALUES_BYTES <= VALUES_MAX_BYTES < SLOT_BYTES
assert PROGRAM_CHUNK_BYTES < SLOT_BYTES and SNAPSHOT_CHUNK_BYTES < FRAME_BYTES and CHUNK_BYTES < FRAME_BYTES
assert SLOT_BYTES < JOURNAL_SEGMENT_BYTES < SNAPSHOT_EVERY_BYTES
assert LINE_BYTES < CHILD_BUFFER_BYTES
assert 2 * (LINKS_MAX + HALF_OPEN_MAX) < FILES_MAX, "links leave room for nodes, logs and results"
