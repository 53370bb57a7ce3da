"""The programs that the transcripts are recorded with."""

from tasksprint import File, Node, Scheduler, task


class Clerk(Node):
    @task
    def add(self, a, b):
        return {"sum": a + b}

    @task
    def write(self, text):
        (self.folder / "out").mkdir()
        path = self.folder / "out" / "copy.txt"
        path.write_text(text)
        self.progress(read=len(text.encode()))
        return {"copy": File(path), "size": len(text.encode())}

    @task
    def read(self, copy, size):
        return {"same": len(copy.read_bytes()) == copy.size == size}

    @task
    def say(self):
        print("one\ntwo")
        print("three", end="")

    @task
    def broken(self):
        raise ValueError("it is broken")


class Boss(Scheduler):
    def __init__(self):
        self.clients = 0

    def init(self, args):
        first = self.start_task("work", {"i": 0}, keys=["x"])
        second = self.start_task(
            "work", {"i": 1}, keys=["x"], replicas=2, timeout_s=1.5, labels=["big"], side_effects=True
        )
        self.tasks = [first, second]
        self.set_timer("soon", 2)

    def client_joined(self, client):
        self.clients += 1

    def client_dead(self, client):
        self.clients -= 1

    def timer(self, name):
        self.kill_task(self.tasks[0])

    def task_done(self, task, values):
        if task == self.tasks[1]:
            self.sum = self.start_task("sum", prerequisites=[each["x"] for each in self.tasks], keys=["sum"])
            self.release(task)
        elif task == self.sum:
            self.finish({"sum": values["sum"], "at": self.now}, files=[task["file"]])
