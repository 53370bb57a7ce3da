"""Tasks that print, wait for a file to appear, and ask for labels, as the arguments say."""

import time
from pathlib import Path

from tasksprint import Node, Scheduler, task


class Talkers(Scheduler):
    def init(self, args):
        print("the scheduler begins")
        self.wanted = args["tasks"]
        self.ends = 0
        self.makers = []
        for number in range(args["tasks"]):
            self.start_task("talk", {"number": number, "gate": args.get("gate")}, keys=["pid"])
        if args.get("labels"):
            self.start_task("talk", {"number": -1, "gate": None}, labels=args["labels"])

    def task_done(self, task, values):
        self.ends += 1
        if values["pid"] not in self.makers:
            self.makers.append(values["pid"])
        if self.ends == self.wanted:
            print(f"the scheduler ends with {self.wanted} tasks")
            self.finish({"nodes": len(self.makers)})


class Voices(Node):
    @task
    def talk(self, number, gate):
        print(f"task {number} speaks")
        self.progress(0.25)
        while gate is not None and not Path(gate).exists():
            time.sleep(0.02)
        return {"pid": str(self.folder)}
