"""The two checks, for the commands `tasksprint check-node` and `tasksprint check-scheduler`.

Each returns findings in the order in which things were tried; `str(finding)` is a line to print, `passed(findings)`
says whether all is well.
"""

from __future__ import annotations

from tasksprint.programs.check_node import check_node
from tasksprint.programs.check_scheduler import check_scheduler
from tasksprint.programs.probe import Finding, passed

__all__ = ["Finding", "check_node", "check_scheduler", "passed"]
