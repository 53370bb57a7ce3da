import os
import signal
from pathlib import Path

import pytest
from tests.loops import Play
from tests.programs.witness import NodeWitness

from tasksprint.programs import user_process
from tasksprint.programs.keeper import Keeper

READY = """read -r hello; echo '{"type":"ready","version":1,"tasks":["a"]}'; """
CLERK = ["@python", "-m", "tasksprint.sdk", str(Path(__file__).parents[1] / "sdk" / "clerk.py"), "node"]


def shell(script: str) -> list[str]:
    return ["/bin/sh", "-c", READY + script]


async def started(script: str, folder: Path, keeper: Keeper) -> NodeWitness:
    node = NodeWitness(shell(script), folder, keeper)
    await node.has("ready")
    return node


def test_a_node_of_the_sdk(play: Play, keeper: Keeper, tmp_path: Path) -> None:
    async def story() -> None:
        node = NodeWitness(CLERK, tmp_path, keeper)
        _, ready = await node.has("ready")
        assert ready.folders == "lazy"
        assert node.node.is_ready
        for task in range(1, 101):
            node.run(task, "add", b'{"a":%d,"b":1}' % task)
        node.run(101, "say")
        node.run(102, "broken")
        _, task, kind, error = await node.has("failed")
        assert (task, kind) == (102, "error")
        assert error.startswith("ValueError: it is broken\nTraceback")
        assert "clerk.py" in error
        assert "node_loop" not in error
        done = [(task, each.result) for what, task, *rest in node.told if what == "done" for each in rest]
        assert done == [*[(task, {"sum": b"%d" % (task + 1)}) for task in range(1, 101)], (101, {})]
        assert [what[1:] for what in node.told if what[0] == "log"] == [(101, "one"), (101, "two"), (101, "three")]
        assert not (tmp_path / "1").exists()
        node.node.close()
        assert await node.has("ended") == ("ended", "closed", "", [])
        assert node.node.ended

    play(story())


def test_folders_are_made_for_others(play: Play, keeper: Keeper, tmp_path: Path) -> None:
    async def story() -> None:
        node = await started("read -r run; exit 0", tmp_path, keeper)
        node.run(1)
        assert (tmp_path / "1").is_dir()
        await node.has("ended")

    play(story())


def test_a_crash_fails_the_task_at_hand_only(play: Play, keeper: Keeper, tmp_path: Path) -> None:
    async def story() -> None:
        script = 'read -r run; echo \'{"type":"done","task":1,"result":{}}\'; read -r run; echo oops >&2; kill -SEGV $$'
        node = await started(script, tmp_path, keeper)
        for task in (1, 2, 3, 4):
            node.run(task)
        assert node.node.cancel(3, 1)
        await node.has("ended")
        assert node.kinds()[-4:] == ["done", "failed", "cancelled", "ended"] or "log" in node.kinds()
        _, task, kind, error = await node.has("failed")
        assert (task, kind) == (2, "crash")
        assert "SIGSEGV" in error
        assert error.endswith("stderr:\noops")
        assert (await node.has("cancelled"))[1] == 3
        assert (await node.has("ended"))[1] == "crash"
        assert (await node.has("ended"))[3] == [4]
        assert node.log == "oops\n"

    play(story())


def test_one_that_exits_at_once(play: Play, keeper: Keeper, tmp_path: Path) -> None:
    async def story() -> None:
        node = NodeWitness(["/bin/sh", "-c", "echo no licence >&2; exit 3"], tmp_path, keeper)
        _, kind, error, unstarted = await node.has("ended")
        assert (kind, unstarted) == ("start", [])
        assert "exited with code 3 before it said 'ready'" in error
        assert "no licence" in error

    play(story())


def test_one_that_cannot_be_started(play: Play, keeper: Keeper, tmp_path: Path) -> None:
    async def story() -> None:
        node = NodeWitness(["no-such-program"], tmp_path, keeper)
        assert node.told == [("ended", "start", "cannot start 'no-such-program': no such program", [])]

    play(story())


def test_one_that_never_says_ready(play: Play, keeper: Keeper, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(user_process, "START_MS", 200)

    async def story() -> None:
        node = NodeWitness(["/bin/sh", "-c", "sleep 1000"], tmp_path, keeper)
        assert (await node.has("ended"))[1:3] == ("start", "the node did not say 'ready' within 0.2 s")

    play(story())


@pytest.mark.parametrize(
    ("script", "error"),
    [
        ("echo garbage; sleep 1000", "no JSON object: 'garbage'"),
        ("head -c 41943040 /dev/zero | tr '\\0' x; sleep 1000", "longer than 16 MiB: write large results to a file"),
        ('echo \'{"type":"done","task":7,"result":{}}\'; sleep 1000', "the task at hand is 1"),
        ('echo \'{"type":"oops"}\'; sleep 1000', "unknown type 'oops'"),
        ('echo \'{"type":"done","task":1,"result":{"a":{"$file":"../b"}}}\'; sleep 1000', "inside the task's folder"),
    ],
)
def test_one_that_breaks_the_protocol(play: Play, keeper: Keeper, tmp_path: Path, script: str, error: str) -> None:
    async def story() -> None:
        node = await started("read -r run; echo about to >&2; " + script, tmp_path, keeper)
        node.run(1)
        node.run(2)
        _, task, kind, text = await node.has("failed")
        assert (task, kind) == (1, "protocol")
        assert error in text
        assert "about to" in text
        assert (await node.has("ended"))[1] == "protocol"
        assert (await node.has("ended"))[3] == [2]

    play(story())


def test_one_that_dies_in_the_middle_of_a_line(play: Play, keeper: Keeper, tmp_path: Path) -> None:
    async def story() -> None:
        node = await started('read -r run; printf \'{"type":"do\'; exit 0', tmp_path, keeper)
        node.run(1)
        assert 'in the middle of the line \'{"type":"do\'' in (await node.has("failed"))[3]

    play(story())


def test_one_that_is_killed_from_outside(play: Play, keeper: Keeper, tmp_path: Path) -> None:
    async def story() -> None:
        node = await started("read -r run; sleep 1000", tmp_path, keeper)
        node.run(1)
        os.kill(node.node.pid, signal.SIGKILL)
        assert "SIGKILL" in (await node.has("failed"))[3]

    play(story())


def test_a_cancel_that_is_answered_spares_the_node(play: Play, keeper: Keeper, tmp_path: Path) -> None:
    async def story() -> None:
        answer = 'echo \'{"type":"failed","task":1,"error":"cancelled"}\'; '
        node = await started(f"read -r run; read -r cancel; {answer} read -r bye", tmp_path, keeper)
        node.run(1)
        assert node.node.cancel(1, 1)
        assert node.node.cancel(1, 1)
        assert not node.node.cancel(1, 2)
        assert not node.node.cancel(2, 1)
        await node.has("cancelled")
        assert node.node.is_ready
        node.node.close()
        assert (await node.has("ended"))[1] == "closed"
        assert "failed" not in node.kinds()

    play(story())


def test_one_that_ignores_cancel_is_replaced(play: Play, keeper: Keeper, tmp_path: Path) -> None:
    async def story() -> None:
        node = await started("read -r run; sleep 1000", tmp_path, keeper)
        node.run(1)
        node.run(2)
        node.node.cancel(1, 1)
        await node.has("ended")
        assert [what for what in node.told if what[0] != "ready"] == [
            ("cancelled", 1), ("ended", "killed", "it did not answer `cancel`", [2])
        ]  # fmt: skip

    play(story())


def test_a_task_out_of_time(play: Play, keeper: Keeper, tmp_path: Path) -> None:
    async def story() -> None:
        done = 'echo \'{"type":"done","task":7,"result":{}}\''
        script = f"read -r run; echo before >&2; {done}; read -r run; echo oops >&2; sleep 1000"
        node = await started(script, tmp_path, keeper)
        node.run(7)
        await node.until(lambda: "done" in node.kinds() and "before" in node.log)
        node.run(1, timeout_ms=400)
        node.run(2, timeout_ms=1)
        _, task, kind, error = await node.has("failed")
        said = "no result within its timeout_s of 0.4 s; the end of its stderr:\noops"
        assert (task, kind, error) == (1, "timeout", said), "what earlier tasks have said explains nothing"
        assert (await node.has("ended"))[1] == "killed"
        assert (await node.has("ended"))[3] == [2]

    play(story())


def test_one_that_answers_too_late_has_failed_and_stays(play: Play, keeper: Keeper, tmp_path: Path) -> None:
    async def story() -> None:
        late = 'echo \'{"type":"done","task":1,"result":{}}\''
        node = await started(f"read -r run; read -r cancel; {late}; read -r bye", tmp_path, keeper)
        node.run(1, timeout_ms=50)
        assert (await node.has("failed"))[2] == "timeout"
        assert node.node.is_ready
        node.node.close()
        await node.has("ended")
        assert "done" not in node.kinds()

    play(story())


def test_a_task_in_time_is_not_disturbed_by_its_limit(play: Play, keeper: Keeper, tmp_path: Path) -> None:
    async def story() -> None:
        node = NodeWitness(CLERK, tmp_path, keeper)
        await node.has("ready")
        node.run(1, "add", b'{"a":1,"b":1}', timeout_ms=5_000)
        await node.has("done")
        assert node.node._timer is None
        node.node.close()
        await node.has("ended")

    play(story())


def test_what_is_open_when_a_node_is_closed_goes_back(play: Play, keeper: Keeper, tmp_path: Path) -> None:
    async def story() -> None:
        node = await started("read -r run; sleep 1000", tmp_path, keeper)
        node.run(1)
        node.run(2)
        node.node.close()
        assert await node.has("ended") == ("ended", "closed", "", [1, 2])

    play(story())


def test_a_flood_on_stderr_leaves_a_tail(play: Play, keeper: Keeper, tmp_path: Path) -> None:
    async def story() -> None:
        node = await started("head -c 3000000 /dev/zero | tr '\\0' e >&2; echo END >&2; exit 1", tmp_path, keeper)
        error = (await node.has("ended"))[2]
        assert error.endswith("eEND")
        assert len(error) < 5_000

    play(story())
