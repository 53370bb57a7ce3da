"""A local cluster whose clients may talk to the Bitcoin node, and the mining job."""

from __future__ import annotations

import json
from typing import Any

from tasksprint.apps import find
from tasksprint.cli.local import LocalCluster
from tasksprint.view.operations import JobSpec


class MinerCluster(LocalCluster):
    """Every client of this machine has the credentials, so each gets the label."""

    def __init__(self, *, label: str, **options: Any) -> None:
        super().__init__(**options)
        self.label = label

    def add_client(self, name: str, *extra: str) -> None:
        super().add_client(name, "--labels", self.label, *extra)


def job_of(arguments: dict[str, Any]) -> JobSpec:
    app = find("miner")
    return JobSpec("miner", app.scheduler, app.node, json.dumps(arguments).encode(), 0)
