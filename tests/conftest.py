"""What all tests share: a source of randomness that says how to repeat it, nothing left running, both loops."""

import os

import pytest
from hypothesis import settings
from tests.loops import play

__all__ = ["play"]

settings.register_profile("tasksprint", deadline=None, print_blob=True)
settings.load_profile("tasksprint")

# Children of tests see what a user's shell would give them, whoever started pytest.
for name in [name for name in os.environ if name.startswith("TASKSPRINT_") and name != "TASKSPRINT_WITHOUT_PEERS"]:
    del os.environ[name]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Real processes on a shared machine: a cluster test that fails has one more try, and the closing line says so."""
    for item in items:
        if item.get_closest_marker("cluster"):
            item.add_marker(pytest.mark.flaky(reruns=1))
