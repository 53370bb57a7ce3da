"""A node that does what no node should, and a scheduler that can too; `mode` says what."""

import os
import sys
import time

from tasksprint import Node, Scheduler, task


class Maker(Scheduler):
    def init(self, args):
        if args["mode"] == "scheduler crashes":
            print("the scheduler's last words", file=sys.stderr, flush=True)
            os._exit(7)
        if args["mode"] == "scheduler raises":
            raise RuntimeError("no plan")
        self.start_task("act", {"mode": args["mode"]}, retries=1, timeout_s=args.get("timeout_s"))

    def task_done(self, task, values):
        self.finish({"well": True})


class Actor(Node):
    @task
    def act(self, mode):
        print("about to misbehave", file=sys.stderr, flush=True)
        getattr(self, mode.replace(" ", "_"))()
        return {}

    def crashes(self):
        os.kill(os.getpid(), 11)

    def hangs(self):
        time.sleep(3600)

    def ignores_cancel(self):
        import signal

        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        while True:
            time.sleep(1)

    def prints_garbage(self):
        os.write(self._sprint._writer, b"\x00\xff garbage {{{\n")
        time.sleep(60)

    def writes_a_gigabyte(self):
        block = b"x" * (1 << 20)
        for _ in range(1024):
            os.write(self._sprint._writer, block)
        os.write(self._sprint._writer, b"\n")

    def raises(self):
        raise ValueError("the task does not like its input")
