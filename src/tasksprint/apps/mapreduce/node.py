"""The word count's node: map, reduce, top."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tasksprint.apps.mapreduce import words
from tasksprint.apps.mapreduce.plan import Range, output_name
from tasksprint.sdk import File, Node, task


class Cancelled(Exception):
    """Nobody wants the task any more; what this says is read by nobody."""


class Words(Node):
    """Each task is a function of its arguments and inputs alone."""

    def _worked(self, read: int) -> None:
        self.progress(read=read)
        if self.cancelled:
            raise Cancelled

    @task
    def map(self, ranges: list[list[Any]], parts: int) -> dict[str, File]:
        """Count the words of these ranges of files; a piece a part."""
        listed = [Range(*each) for each in ranges]
        pieces = words.count_ranges(listed, parts, self.folder, self._worked)
        return {f"part-{part}": File(piece) for part, piece in enumerate(pieces)}

    @task
    def reduce(self, *pieces: File, place: int, top: int) -> dict[str, Any]:
        """Merge one part of every map task."""
        folder, name = self.folder, output_name(place)
        count, distinct = words.merge([Path(piece) for piece in pieces], folder / name, folder / "top.msgpack", top)
        return {
            "counts": File(name),
            "top": File("top.msgpack"),
            "totals": {"words": count, "distinct": distinct},
        }

    @task
    def top(self, *inputs: Any, top: int) -> dict[str, Any]:
        """Rank the tops of all parts; `inputs` are a top and the totals of each reduce task, in turn."""
        tops, totals = inputs[::2], inputs[1::2]
        ranked = words.rank([Path(each) for each in tops], top)
        return {
            "table": [[words.shown(word), count] for word, count in ranked],
            "words": sum(each["words"] for each in totals),
            "distinct": sum(each["distinct"] for each in totals),
        }
