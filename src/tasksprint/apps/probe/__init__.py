"""The jobs that `tasksprint bench tasks` measures: no-ops whose echoed values are checked.

Promises: the scheduler's decisions depend on its events alone; the times that it takes go to its log, never into a
decision, so that its copies stay equal.
"""
