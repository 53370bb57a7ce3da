from tasksprint import Scheduler


class MonteCarlo(Scheduler, ordered=True):
    def init(self, args):
        throws = [self.start_task("throw", {"darts": args["darts"]}) for _ in range(args["tasks"])]
        hits = [each["hits"] for each in throws]
        self.merged = self.start_task("merge", {"darts": args["darts"]}, prerequisites=hits, keys=["pi"])

    def task_done(self, task, values):
        if task == self.merged:
            self.finish(values)
