"""The deterministic world: whole clusters in virtual time, with faults, each from one seed.

It runs the very cores that the shells run (`paxos.Replica`, `view.Machine`, `coordinator.core`, `client.core`), with
simulated disks, links, nodes and schedulers around them, and looks at every promise after every event.

- `world` is the heap of events, the clock and the chance; `network`, `disk` are what fails; `faults`, `client_faults`
  say how and when.
- `agreement` is the small world (replicas alone), `cluster` the whole one: `seat`, `coordinators`, `schedulers`,
  `clients`, `nodes`, `fetching` and `submitters` do the shells' duties.
- `programs` is the seam to what runs in them: `scripts`, whose answers are known before, or a user's own scheduler
  and node (`sdk_programs`, with their `loading` and `surroundings`).  `job_world` has the worlds with such a job,
  undisturbed and under all faults.
- `truth` computes from the disks what is chosen; `checkers/` has an invariant a file.
- `plants` puts a known bug into a core; `campaign` runs seeds, finds plants and counts how often the rare came up.

Promises: the same seed gives the same trace, on every machine and under every PYTHONHASHSEED; a failing seed
replays; each planted bug is found.
"""
