"""Which texts use a word: every word with the files that it stands in."""

import os

from tasksprint.apps.mapreduce.general import Job, MapReduce

__all__ = ["Index", "Job"]


class Index(MapReduce):
    def map(self, path, line):
        for word in line.lower().split():
            yield word.strip(".,;:!?"), os.path.basename(path)

    def reduce(self, word, paths):
        yield word, " ".join(sorted(set(paths)))

    def combine(self, word, paths):
        for path in sorted(set(paths)):
            yield word, path
