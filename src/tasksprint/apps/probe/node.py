"""The node of the measuring jobs."""

from __future__ import annotations

from typing import Any

from tasksprint.sdk import File, Node, task


class Probe(Node):
    @task
    def echo(self, *inputs: Any, value: int) -> dict[str, Any]:
        """Do nothing, and show what came."""
        return {"value": value}

    @task
    def step(self, before: int = 0) -> dict[str, Any]:
        """A step of a chain."""
        return {"value": before + 1}

    @task
    def total(self, *inputs: int) -> dict[str, Any]:
        return {"value": sum(inputs)}

    @task
    def scatter(self, parts: int, size: int) -> dict[str, Any]:
        """Files of `size` bytes, one a part."""
        result = {}
        for part in range(parts):
            (self.folder / f"{part}").write_bytes(bytes([part % 256]) * size)
            result[f"{part}"] = File(f"{part}")
        return result

    @task
    def collect(self, *pieces: File) -> dict[str, Any]:
        """Read every piece, and show how many bytes there were."""
        size = 0
        for piece in pieces:
            with open(piece, "rb") as file:
                size += len(file.read())
        return {"value": size}
