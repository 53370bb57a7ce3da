"""Chains of dependent tasks, each step a few milliseconds of work on what the step before made."""

import hashlib
import time

from tasksprint import File, Node, Scheduler, task


class Chains(Scheduler, ordered=True):
    def init(self, args):
        self.ends = []
        for chain in range(args["chains"]):
            step = self.start_task("begin", {"chain": chain})
            for _ in range(args["steps"]):
                wait = {"wait_s": args["wait_s"]}
                step = self.start_task("step", wait, prerequisites=[step["state"]], keys=["digest"])
            self.ends.append(step)
        self.digests = []

    def task_done(self, task, values):
        if task in self.ends:
            self.digests.append(values["digest"])
        if len(self.digests) == len(self.ends):
            self.finish({"digests": self.digests}, files=[end["state"] for end in self.ends])


class Steps(Node):
    @task
    def begin(self, chain):
        return self.made(f"chain {chain}".encode())

    @task
    def step(self, before, wait_s):
        time.sleep(wait_s)
        return self.made(hashlib.sha256(open(before, "rb").read()).hexdigest().encode() * 20)

    def made(self, data):
        path = self.folder / "state"
        path.write_bytes(data)
        return {"state": File(path), "digest": hashlib.sha256(data).hexdigest()}
