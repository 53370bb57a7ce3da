"""What all tests share: a source of randomness that says how to repeat it, nothing left running, both loops."""

import os
import signal

from hypothesis import settings
from tests.loops import play

__all__ = ["play"]

settings.register_profile("tasksprint", deadline=None, print_blob=True)
settings.load_profile("tasksprint")

# Children of tests see what a user's shell would give them, whoever started pytest.
signal.signal(signal.SIGINT, signal.default_int_handler)
for name in [name for name in os.environ if name.startswith("TASKSPRINT_") and name != "TASKSPRINT_WITHOUT_PEERS"]:
    del os.environ[name]
