import asyncio
import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from tests.loops import Play
from tests.programs.witness import Witness, gone

from tasksprint.limits import CHILD_BUFFER_BYTES, MIB
from tasksprint.programs.child import Child, StartError, clean_environment, describe_exit
from tasksprint.programs.keeper import Keeper


class Watched(Witness):
    """A child, and what it wrote."""

    def __init__(self, command: list[str], folder: Path, keeper: Keeper, **more: object) -> None:
        super().__init__()
        self.output = b""
        self.child = Child(
            command,
            folder=folder,
            keeper=keeper,
            on_output=self._output,
            on_stderr=lambda data: self.tell("stderr", data),
            on_exit=lambda code: self.tell("exit", code),
            **more,  # type: ignore[arg-type]
        )

    def _output(self, data: bytes) -> None:
        self.output += data
        self.tell("output")


def test_what_goes_in_comes_out(play: Play, keeper: Keeper, tmp_path: Path) -> None:
    async def story() -> None:
        cat = Watched(["cat"], tmp_path, keeper)
        data = os.urandom(3 * MIB)
        for start in range(0, len(data), 100_000):
            cat.child.write(data[start : start + 100_000])
        cat.child.close_input()
        assert await cat.has("exit") == ("exit", 0)
        assert cat.output == data
        assert cat.child.backlog == 0

    play(story())


def session_of(pid: int) -> str:
    """What Linux calls the process's session, and its weight; nothing where it does not weigh sessions."""
    try:
        return Path(f"/proc/{pid}/autogroup").read_text()
    except OSError:
        return ""


def test_a_lower_priority_counts_against_other_sessions_too(play: Play, keeper: Keeper, tmp_path: Path) -> None:
    async def story() -> None:
        cat = Watched(["cat"], tmp_path, keeper, nice=7)
        assert os.getpriority(os.PRIO_PROCESS, cat.child.pid) == 7
        async with asyncio.timeout(20):  # everybody on this machine together may do it ten times a second
            while True:
                said = session_of(cat.child.pid)
                if not said or said.endswith("nice 7\n"):
                    break
                await asyncio.sleep(0)
        assert session_of(os.getpid()) != session_of(cat.child.pid) or not session_of(os.getpid())
        cat.child.close_input()
        await cat.has("exit")

    play(story())


def test_a_child_that_ends_before_its_session_could_be_lowered(
    play: Play, keeper: Keeper, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody else has just done it: it is tried again, but only while the child lives."""
    asked = []
    real = os.write

    def write(descriptor: int, data: bytes) -> int:
        if data != b"7":
            return real(descriptor, data)
        asked.append(data)
        raise BlockingIOError

    async def story() -> None:
        child = Watched(["cat"], tmp_path, keeper, nice=7)
        assert len(asked) in (0, 1)
        child.child.close_input()
        await child.has("exit")
        seen = len(asked)
        child.child._lower_session(7, 5)
        assert len(asked) == seen

    monkeypatch.setattr(os, "write", write)
    play(story())


def test_the_output_of_a_child_that_ends_comes_before_its_end(play: Play, keeper: Keeper, tmp_path: Path) -> None:
    async def story() -> None:
        child = Watched(["/bin/sh", "-c", "printf out; printf err >&2; exit 3"], tmp_path, keeper)
        assert await child.has("exit") == ("exit", 3)
        assert (child.output, child.child.tail, child.kinds()[-1]) == (b"out", "err", "exit")

    play(story())


def test_it_finds_a_clean_environment(
    play: Play, keeper: Keeper, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_TOKEN", "x")
    monkeypatch.setenv("PYTHONPATH", "/nowhere")
    monkeypatch.setenv("TASKSPRINT_TEST", "y")
    core_limits = resource.getrlimit(resource.RLIMIT_CORE)
    script = (
        "import os, json, resource, sys; print(json.dumps([dict(os.environ), os.getcwd(), os.getpgid(0) == os.getpid(),"
        " os.getsid(0) == os.getpid(), resource.getrlimit(resource.RLIMIT_CORE)[0]]))"
    )

    where = os.path.realpath(tmp_path)

    async def story() -> None:
        child = Watched(["@python", "-c", script], tmp_path, keeper, environment={"TASKSPRINT_MORE": "z"})
        await child.has("exit")
        environment, folder, leads_group, leads_session, core = json.loads(child.output)
        assert "SECRET_TOKEN" not in environment
        assert environment["PYTHONHASHSEED"] == "0"
        assert "/nowhere" not in environment.get("PYTHONPATH", "")
        assert (environment["TASKSPRINT_TEST"], environment["TASKSPRINT_MORE"]) == ("y", "z")
        assert folder == where
        assert leads_group
        assert leads_session
        assert core == 0, "from its first instruction on"

    resource.setrlimit(resource.RLIMIT_CORE, (core_limits[1], core_limits[1]))
    try:
        play(story())
    finally:
        resource.setrlimit(resource.RLIMIT_CORE, core_limits)
    assert "SECRET_TOKEN" not in clean_environment()


def test_its_whole_group_ends_with_it(play: Play, keeper: Keeper, tmp_path: Path) -> None:
    async def story() -> None:
        child = Watched(["/bin/sh", "-c", "sleep 1000 & echo $!; exit 0"], tmp_path, keeper)
        await child.has("exit")
        assert gone([int(child.output)])

    play(story())


def test_kill_ends_the_group(play: Play, keeper: Keeper, tmp_path: Path) -> None:
    async def story() -> None:
        child = Watched(["/bin/sh", "-c", "sleep 1000 & echo $!; wait"], tmp_path, keeper)
        await child.has("output")
        child.child.kill()
        assert await child.has("exit") == ("exit", -9)
        assert gone([int(child.output)])

    play(story())


def test_one_that_does_not_read_is_ended(play: Play, keeper: Keeper, tmp_path: Path) -> None:
    async def story() -> None:
        child = Watched(["sleep", "1000"], tmp_path, keeper)
        for _ in range(CHILD_BUFFER_BYTES // MIB + 2):
            child.child.write(b"x" * MIB)
        assert await child.has("exit") == ("exit", -9)
        assert "does not read its input" in child.child.trouble
        assert child.child.backlog == 0

    play(story())


def test_one_that_closes_its_output_and_goes_on_is_ended(play: Play, keeper: Keeper, tmp_path: Path) -> None:
    async def story() -> None:
        child = Watched(["/bin/sh", "-c", "exec >&-; sleep 1000"], tmp_path, keeper)
        await child.has("exit")
        assert "closed its output" in child.child.trouble

    play(story())


def test_a_pause_leaves_output_in_the_pipe(play: Play, keeper: Keeper, tmp_path: Path) -> None:
    async def story() -> None:
        child = Watched(["cat"], tmp_path, keeper)
        child.child.pause()
        child.child.write(b"x")
        marker = Watched(["cat"], tmp_path, keeper)  # started, fed and answered meanwhile
        marker.child.write(b"y")
        await marker.has("output")
        assert child.output == b""
        child.child.resume()
        await child.has("output")
        for each in (child, marker):
            each.child.kill()
            await each.has("exit")

    play(story())


@pytest.mark.parametrize(
    ("command", "error"),
    [(["no-such-program"], "no such program"), ([], "empty"), (["/etc/passwd"], "Permission denied")],
)
def test_what_cannot_be_started(play: Play, keeper: Keeper, tmp_path: Path, command: list[str], error: str) -> None:
    async def story() -> None:
        with pytest.raises(StartError, match=error):
            Watched(command, tmp_path, keeper)

    play(story())


def test_a_folder_that_is_not_there(play: Play, keeper: Keeper, tmp_path: Path) -> None:
    async def story() -> None:
        with pytest.raises(StartError, match="its folder .* does not exist"):
            Watched(["cat"], tmp_path / "nowhere", keeper)

    play(story())


def test_exits_are_described() -> None:
    assert describe_exit(3) == "exited with code 3"
    assert describe_exit(-11) == "was ended by SIGSEGV"
    assert "out of memory" in describe_exit(-9)


OWNER = """
import asyncio, sys
from tasksprint.programs.child import Child
from tasksprint.programs.keeper import Keeper

async def main():
    keeper = Keeper()
    def start(script):
        return Child(["/bin/sh", "-c", script], folder="/", keeper=keeper, on_output=out, on_stderr=None, on_exit=print)
    def out(data):
        sys.stdout.write(data.decode())
        sys.stdout.flush()
    ended = start("echo $$; exit 0")
    start("sleep 1000 & echo $!; echo $$; wait")
    start("trap '' TERM HUP; echo $$; sleep 1000")
    await asyncio.sleep(1000)

asyncio.run(main())
"""


def test_groups_end_when_their_owner_is_killed() -> None:
    environment = clean_environment()
    owner = subprocess.Popen([sys.executable, "-c", OWNER], stdout=subprocess.PIPE, env=environment, text=True)
    assert owner.stdout is not None
    lines = [owner.stdout.readline() for _ in range(5)]  # four pids, and the end of the first child
    pids = [int(line) for line in lines if int(line) > 0]
    assert len(pids) == 4
    owner.kill()
    owner.wait()
    owner.stdout.close()
    assert gone(pids)


def test_a_keeper_that_was_killed_is_replaced(tmp_path: Path) -> None:
    keeper = Keeper()
    sleepers = [subprocess.Popen(["sleep", "1000"], start_new_session=True) for _ in range(3)]
    keeper.add(sleepers[0].pid)
    assert keeper._shell is not None
    keeper._shell.kill()
    keeper._shell.wait()
    keeper.add(sleepers[1].pid)
    keeper.add(sleepers[2].pid)
    keeper.remove(sleepers[1].pid)
    keeper.close()
    assert sleepers[0].wait(10) == sleepers[2].wait(10) == -9
    assert sleepers[1].poll() is None
    sleepers[1].kill()
    sleepers[1].wait()


def test_many_children_at_once(play: Play, keeper: Keeper, tmp_path: Path) -> None:
    async def story() -> None:
        children = [Watched(["/bin/sh", "-c", f"exit {number}"], tmp_path, keeper) for number in range(10)]
        codes = await asyncio.gather(*[child.has("exit") for child in children])
        assert [code for _, code in codes] == list(range(10))

    play(story())


def test_the_keeper_removes_the_folder_that_it_was_told(tmp_path: Path) -> None:
    """Its owner's end is the end of its pipe; names that only a shell would misread are safe."""
    odd = tmp_path / "it's a $(touch no) folder "
    (odd / "deep").mkdir(parents=True)
    (odd / "deep" / "file").touch()
    kept = tmp_path / "kept"
    kept.mkdir()
    keeper = Keeper()
    keeper.remove_folder(kept)
    keeper.remove_folder(odd)  # the last one counts
    shell = keeper._shell
    assert shell is not None
    shell.kill()
    shell.wait()
    keeper._tell("-1\n")  # finds it dead, and starts another, which is told again
    keeper.close()
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]


@pytest.mark.parametrize("name", ["/", "/tmp", "relative/folder", "/tmp/two\nlines"])
def test_the_keeper_removes_nothing_that_is_no_temporary_folder(name: str) -> None:
    keeper = Keeper()
    keeper.remove_folder(Path(name))
    assert keeper._shell is None
    keeper.close()
