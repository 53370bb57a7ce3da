"""A scheduler that starts very many tasks."""

from tasksprint import Scheduler


class Many(Scheduler):
    def init(self, args):
        self.more = args.get("more", 0)
        for number in range(args["tasks"]):
            self.start_task("work", {"number": number})

    def task_done(self, task, values):
        for number in range(self.more):
            self.start_task("work", {"after": task.number, "number": number})
