"""An error of our own ends a daemon at once, in a line: one that has lost effects must not say that it lives."""

from __future__ import annotations

import asyncio
import errno
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import uvloop
from tests.cli.by_hand import LIMIT_S, SECRET, one_line

from tasksprint.cli.ending import end_on_errors, raise_files_limit
from tasksprint.cli.local import free_ports


async def _fails() -> None:
    raise KeyError("lost")


@pytest.mark.parametrize("factory", [asyncio.new_event_loop, uvloop.new_event_loop])
@pytest.mark.parametrize("kind", ["callback", "task", "reader"])
def test_whatever_fails_the_process_is_left(kind: str, factory: type, capsys: pytest.CaptureFixture[str]) -> None:
    async def story() -> list[int]:
        loop = asyncio.get_running_loop()
        left: asyncio.Future[int] = loop.create_future()
        end_on_errors(loop, "client x", lambda: False, left.set_result)
        if kind == "callback":
            loop.call_soon({}.__getitem__, "lost")
        elif kind == "task":
            loop.create_task(_fails())  # noqa: RUF006
        else:
            reader, writer = os.pipe()
            os.close(writer)

            def readable() -> None:
                loop.remove_reader(reader)
                os.close(reader)
                raise KeyError("lost")

            loop.add_reader(reader, readable)
        async with asyncio.timeout(LIMIT_S):
            return [await left]

    with asyncio.Runner(loop_factory=factory) as runner:
        assert runner.run(story()) == [1]
    said = capsys.readouterr().err
    assert said.startswith("tasksprint client x: ended by an error of its own: KeyError: 'lost'")
    assert said.count("\n") == 1


def test_what_the_system_says_of_one_connection_ends_nothing() -> None:
    left: list[int] = []
    loop = asyncio.new_event_loop()
    over = False
    end_on_errors(loop, "client x", lambda: over, left.append)
    full = OSError(errno.EMFILE, "Too many open files")
    loop.call_exception_handler({"message": "accept", "exception": full, "socket": None})
    loop.call_exception_handler({"message": "a warning"})
    over = True
    loop.call_exception_handler({"message": "it ends anyway", "exception": KeyError()})
    loop.close()
    assert not left


@pytest.mark.parametrize(("hard", "expected"), [(2_048, 2_048), (100_000, 65_536), (-1, 65_536)])
def test_the_limit_of_open_files_is_raised(hard: int, expected: int, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1_024, hard))
    monkeypatch.setattr(resource, "setrlimit", lambda _, limits: told.append(limits))
    raise_files_limit(65_536)
    assert told == [(expected, hard)]
    monkeypatch.setattr(resource, "getrlimit", lambda _: (-1, -1))
    raise_files_limit(65_536)
    assert len(told) == 1


@pytest.mark.cluster
@pytest.mark.parametrize("daemon", ["client", "coordinator"])
def test_a_daemon_whose_pump_fails_ends_with_one_line(daemon: str, tmp_path: Path) -> None:
    (tmp_path / "secret").touch(0o600)
    (tmp_path / "secret").write_bytes(SECRET)
    words = ["--secret-file", "secret"]
    if daemon == "client":
        owner = "tasksprint.client.agent.Agent._do_dial"
        words += ["--coordinators", "127.0.0.1:9", "--folder", "here"]
    else:
        owner = "tasksprint.coordinator.server.CoordinatorServer._append_writes"
        words += ["--id", "1", "--data-dir", "here", "--peers", f"1=127.0.0.1:{free_ports(1)[0]}"]
    code = (
        "import sys\nfrom unittest import mock\nfrom tasksprint.cli import main\n"
        f"sys.argv[1:] = {[daemon, *words]}\n"
        f"with mock.patch({owner!r}, side_effect=OSError(24, 'Too many open files')): main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        stdin=subprocess.DEVNULL,
    )
    assert "Too many open files" in one_line(done.stderr.replace("tasksprint c", "tasksprint: c"), done.returncode, 1)


@pytest.mark.parametrize("asked", [False, True])
def test_a_loop_that_stands_still_says_where(asked: bool) -> None:
    code = (
        "import asyncio, os, sys\nfrom tasksprint.cli.ending import show_stalls\n"
        "def stands_still():\n    print('now', flush=True)\n    os.read(0, 1)\n    sys.exit()\n"
        "async def main():\n    loop = asyncio.get_running_loop()\n"
        f"    show_stalls(loop, {1e6 if asked else 0.05})\n    loop.call_soon(stands_still)\n"
        "    await loop.create_future()\n"
        "asyncio.run(main())\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdin and process.stdout and process.stderr
        assert process.stdout.readline() == b"now\n"
        if asked:
            process.send_signal(signal.SIGUSR1)
        for line in process.stderr:
            if b"in stands_still" in line:
                break
        else:
            pytest.fail("it said nothing")
        process.kill()


TIDY = """
import asyncio, signal, os, sys
from tasksprint.cli import commands, ending
import uvloop

signal.signal(signal.SIGINT, signal.default_int_handler)  # whatever shell started the tests in the background
signal.signal(signal.SIGHUP, signal.SIG_DFL)

@ending.ends_in_a_line
async def work():
    try:
        os.kill(os.getpid(), signal.{first})
        await asyncio.sleep(30)
    finally:
        os.kill(os.getpid(), signal.{second})
        try:
            await asyncio.sleep(30)
        finally:
            os.kill(os.getpid(), signal.{second})

def program(**options):
    try:
        uvloop.run(work())
    finally:
        {last}

commands.program.main = program
commands.run_program(ends_process=True)
"""


@pytest.mark.parametrize(
    ("first", "second", "last", "code", "said"),
    [
        ("SIGINT", "SIGINT", "pass", 130, "ended by Ctrl-C"),
        ("SIGINT", "SIGINT", "os.kill(os.getpid(), signal.SIGINT)", 130, "ended by Ctrl-C"),
        ("SIGTERM", "SIGINT", "pass", 143, "ended by SIGTERM"),
        ("SIGHUP", "SIGHUP", "pass", 129, "ended by SIGHUP"),
    ],
)
def test_signals_while_a_command_tidies_up_are_one_line(
    first: str, second: str, last: str, code: int, said: str
) -> None:
    script = TIDY.format(first=first, second=second, last=last)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=LIMIT_S, check=False)
    assert (done.returncode, done.stderr) == (code, f"tasksprint: {said}\n")
