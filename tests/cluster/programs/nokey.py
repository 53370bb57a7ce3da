"""A scheduler that finishes with a piece that its task does not make, or of a task that no client may run."""

from __future__ import annotations

from tasksprint import Node, Scheduler, task


class NoSuchPiece(Scheduler):
    def init(self, args):
        made = self.start_task("w", labels=args.get("labels", []))
        self.finish({}, files=[made[args.get("key", "nokey")]])


class Work(Node):
    @task
    def w(self):
        return {"v": 1}
