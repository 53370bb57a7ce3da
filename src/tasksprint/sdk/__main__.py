"""``python -m tasksprint.sdk FILE_OR_MODULE[:CLASS] scheduler|node``: a user's program, speaking its protocol."""

from __future__ import annotations

import os
import sys


def main(words: list[str]) -> int:
    if len(words) != 2 or words[1] not in ("scheduler", "node"):
        print("usage: python -m tasksprint.sdk FILE_OR_MODULE[:CLASS] scheduler|node", file=sys.stderr)
        return 2
    from tasksprint.sdk.faults import HandlerFailed, whole
    from tasksprint.sdk.loading import Unloadable
    from tasksprint.sdk.streams import Closed, Unknown

    sys.stdout = sys.stderr  # what a program prints while it is imported is no message
    try:
        if words[1] == "node":
            _serve_node(words[0])
        else:
            _serve_scheduler(words[0])
    except (Unloadable, Unknown) as error:
        print(f"tasksprint: {error}", file=sys.stderr)
        return 2
    except (Closed, KeyboardInterrupt):
        return 1
    except HandlerFailed as error:
        print(str(error).rstrip(), file=sys.stderr)
        return 1
    except Exception as error:  # while the file was imported, or the class made
        print(whole(error).rstrip(), file=sys.stderr)
        return 1
    return 0


def _serve_node(where: str) -> None:
    from tasksprint.sdk import node_loop
    from tasksprint.sdk.loading import load
    from tasksprint.sdk.node import Node

    node_loop.serve(load(where, Node))


def _serve_scheduler(where: str) -> None:
    from tasksprint.sdk import scheduler_loop
    from tasksprint.sdk.loading import load
    from tasksprint.sdk.scheduler import Scheduler

    scheduler_loop.serve(load(where, Scheduler))


if __name__ == "__main__":
    code = main(sys.argv[1:])
    for stream in (sys.stdout, sys.__stdout__, sys.stderr):
        if stream is not None:
            stream.flush()
    os._exit(code)  # at once: what the user's threads still do has nobody to tell
