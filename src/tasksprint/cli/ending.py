"""How processes end that nobody asked to: by a signal, or by an error of our own.

A daemon with an unexpected exception in a callback or a task may have lost effects that its core believes done; it
would go on saying that it lives while its work hangs for ever.  So it ends at once, in a line, as `kill -9` would end
it, which everything is made for: its keeper kills its programs, and the cluster or its supervisor replaces it.
"""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import functools
import os
import resource
import signal
import sys
import traceback
from collections.abc import Callable, Coroutine
from typing import Any

from tasksprint.cli.commands import Failure

STALL_S = 10.0
ENDED_BY: dict[int, str] = {signal.SIGINT: "Ctrl-C", signal.SIGTERM: "SIGTERM", signal.SIGHUP: "SIGHUP"}


def raise_files_limit(most: int) -> None:
    """More open files, as far as the system lets us: links of strangers must not take those that work needs."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = most if hard == resource.RLIM_INFINITY else min(hard, most)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def end_on_errors(
    loop: asyncio.AbstractEventLoop, name: str, over: Callable[[], bool], leave: Callable[[int], object] = os._exit
) -> None:
    """From now on an unexpected exception ends this process: one line, exit code 1.

    `over`: it is ending anyway.  What the system says of one connection (OSError with its socket or transport) is
    not unexpected.
    """

    def told(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if not isinstance(error, Exception) or over():
            return
        if isinstance(error, OSError) and ("socket" in context or "transport" in context):
            return
        frames = traceback.extract_tb(error.__traceback__)
        place = f" in {frames[-1].filename}:{frames[-1].lineno}" if frames else ""
        said = " ".join(f"{type(error).__name__}: {error}".split())
        with contextlib.suppress(OSError):
            print(f"tasksprint {name}: ended by an error of its own: {said}{place}", file=sys.stderr, flush=True)
        leave(1)

    loop.set_exception_handler(told)


def show_stalls(loop: asyncio.AbstractEventLoop, after_s: float = STALL_S) -> None:
    """A loop that stands still says on stderr where it is; so it does when it gets SIGUSR1."""

    def arm() -> None:
        faulthandler.dump_traceback_later(after_s)
        loop.call_later(after_s / 4, arm)

    faulthandler.register(signal.SIGUSR1)
    arm()


def ends_in_a_line(
    function: Callable[..., Coroutine[Any, Any, None]],
) -> Callable[..., Coroutine[Any, Any, None]]:
    """For a command's whole work: a signal cancels it, and when it has tidied up, a Failure says which.

    The loop hears Ctrl-C too, so that no second one lands in the middle of anything: it cancels what is waited for
    while tidying up, and the line that is said in the end is one, whoever asked how often.
    """

    @functools.wraps(function)
    async def wrapped(*arguments: Any, **options: Any) -> None:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None
        heard: list[int] = []

        def end(number: int) -> None:
            heard.append(number)
            task.cancel()

        numbers = [number for number in ENDED_BY if signal.getsignal(number) is not signal.SIG_IGN]  # as nohup has it
        for number in numbers:
            loop.add_signal_handler(number, end, number)
        try:
            await function(*arguments, **options)
        except asyncio.CancelledError:
            if not heard:
                raise
            raise Failure(f"ended by {ENDED_BY[heard[0]]}", 128 + heard[0]) from None
        finally:
            if not heard:  # else more of them change nothing until the loop is closed
                for number in numbers:
                    loop.remove_signal_handler(number)

    return wrapped
