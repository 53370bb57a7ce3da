from tasksprint import Node, task


class Darts(Node):
    @task
    def throw(self, darts):
        random = self.random.random  # seeded from the task's seed: each task throws its own darts
        return {"hits": sum(random() ** 2 + random() ** 2 <= 1 for _ in range(darts))}

    @task
    def merge(self, *hits, darts):
        return {"pi": f"{4 * sum(hits) / (darts * len(hits)):.8f}"}
