"""The word count's scheduler: everything is declared in `init`, and runs as its inputs appear.

Reduce task r waits for part r of every map task, the top task for every reduce task; they are assigned ahead and start
the moment the last of their inputs is there.
"""

from __future__ import annotations

from typing import Any

from tasksprint.apps.mapreduce import plan
from tasksprint.sdk import Scheduler, Task


class WordCount(Scheduler, ordered=True):
    def init(self, args: dict[str, Any]) -> None:
        parts, top = args["parts"], args["top"]
        maps = [
            self.start_task("map", {"ranges": ranges, "parts": parts})
            for ranges in plan.tasks(args["files"], args["split_bytes"])
        ]
        self.reduces = [
            self.start_task("reduce", {"place": part, "top": top}, prerequisites=[m[f"part-{part}"] for m in maps])
            for part in range(parts)
        ]
        inputs = [task[key] for task in self.reduces for key in ("top", "totals")]
        self.top = self.start_task("top", {"top": top}, prerequisites=inputs, keys=["table", "words", "distinct"])

    def task_done(self, task: Task, values: dict[str, Any]) -> None:
        if task == self.top:
            self.finish(values, files=[reduce["counts"] for reduce in self.reduces])
