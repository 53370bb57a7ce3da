"""`tasksprint run` as a user has it: the right answer, nothing left behind, whatever ends it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from tests.cluster import jobs
from tests.cluster.harness import awaited

pytestmark = pytest.mark.cluster
TASKSPRINT = [sys.executable, "-m", "tasksprint"]
COUNT = r"tr -s ' \t\n\v\f\r' '\n\n\n\n\n\n' | grep -av '^$' | sort | uniq -c"


def family(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    return psutil.Process(process.pid).children(recursive=True)


def running(processes: list[psutil.Process]) -> list[psutil.Process]:
    alive = []
    for each in processes:
        with contextlib.suppress(psutil.NoSuchProcess):  # it may end at any moment
            if each.is_running() and each.status() != psutil.STATUS_ZOMBIE:
                alive.append(each)
    return alive


def line(process: psutil.Process) -> str:
    """Its command line; empty when it has ended."""
    try:
        return " ".join(process.cmdline())
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return ""


def reference(path: Path) -> list[bytes]:
    """What the standard tools say, as `word TAB count` lines."""
    environment = {**os.environ, "LC_ALL": "C"}
    with path.open("rb") as text:
        done = subprocess.run(["sh", "-c", COUNT], stdin=text, env=environment, capture_output=True, check=True)
    counted = (line.strip(b" ").split(b" ", 1) for line in done.stdout.split(b"\n") if line)
    return sorted(word + b"\t" + count for count, word in counted)


def test_the_words_are_those_of_sort_and_uniq(tmp_path: Path) -> None:
    path = jobs.text(tmp_path / "text", 3_000_000)
    path.write_bytes(path.read_bytes() + b"\xff\x00\xfe odd\x0bbytes\x0c \xc3\xa4 " + b"long" * 5_000)
    command = [*TASKSPRINT, "run", "wordcount", str(path), "--replicas", "3", "--trace", "trace"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, check=True, timeout=60)
    parts = sorted((tmp_path / "wordcount-out").glob("part-*"))
    assert sorted(line for part in parts for line in part.read_bytes().split(b"\n") if line) == reference(path)
    assert len(done.stdout.splitlines()) == 11, "ten words and the totals"
    trace = [json.loads(line) for line in (tmp_path / "trace").read_text().splitlines()]
    assert {row["event"] for row in trace} >= {"run", "done"}


def test_bytes_of_the_first_map_travel_before_the_last_map_ends(tmp_path: Path) -> None:
    path = jobs.text(tmp_path / "text", 3_000_000)
    path.write_bytes(path.read_bytes() * 12)
    options = ["split_bytes=1000000", "--clients", "2", "--slots", "1", "--trace", "trace"]
    command = [*TASKSPRINT, "run", "wordcount", str(path), *options]
    subprocess.run(command, cwd=tmp_path, capture_output=True, check=True, timeout=60)
    trace = [json.loads(line) for line in (tmp_path / "trace").read_text().splitlines()]
    maps = {row["task"] for row in trace if row["event"] == "run" and row["name"] == "map"}
    last_map = max(row["time"] for row in trace if row["event"] == "done" and row["task"] in maps)
    fetched = [row["time"] for row in trace if row["event"] == "fetched" and row["task"] in maps and row["size"] > 0]
    assert len(maps) > 4
    assert fetched, "with two clients, some pieces must travel"
    assert min(fetched) < last_map


@pytest.mark.parametrize(
    ("numbers", "code", "said"),
    [
        ([signal.SIGINT], 130, "tasksprint: ended by Ctrl-C"),
        ([signal.SIGINT, signal.SIGINT], 130, "tasksprint: ended by Ctrl-C"),
        ([signal.SIGTERM], 143, "tasksprint: ended by SIGTERM"),
        ([signal.SIGHUP], 129, "tasksprint: ended by SIGHUP"),
        ([signal.SIGKILL], -9, ""),
    ],
    ids=["ctrl-c", "ctrl-c-twice", "terminate", "hang-up", "kill"],
)
def test_nothing_is_left_behind(numbers: list[signal.Signals], code: int, said: str, tmp_path: Path) -> None:
    """Whatever ends the parent while nodes run: no process, and no folder."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    forever = tmp_path / "forever.py"
    forever.write_text(
        "import time\nfrom tasksprint import Node, Scheduler, task\n"
        "class S(Scheduler):\n    def init(self, args):\n        for n in range(4): self.start_task('wait')\n"
        "class N(Node):\n    @task\n    def wait(self):\n        time.sleep(1000)\n"
    )
    hang_up = signal.signal(signal.SIGHUP, signal.SIG_DFL)  # whatever started the tests, `nohup` say
    process = subprocess.Popen(
        [*TASKSPRINT, "run", str(forever), "--replicas", "3"],
        cwd=tmp_path,
        env={**os.environ, "TMPDIR": str(temporary)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    signal.signal(signal.SIGHUP, hang_up)
    try:

        def nodes() -> int:
            return sum(" node" in line(each) for each in running(family(process)))

        awaited(lambda: nodes() == len(os.sched_getaffinity(0)), "a node for each core")
        children = family(process)
        lines = [line(each) for each in running(children)]
        assert sum("tasksprint coordinator --id" in line for line in lines) == 3, "ps shows the cluster"
        assert sum("tasksprint client" in line for line in lines) == 1
        assert list(temporary.iterdir()), "what must go is there"
        began = time.monotonic()
        process.send_signal(numbers[0])
        for number in numbers[1:]:  # while it waits for the cluster to end
            awaited(lambda: len(running(children)) < len(children), "the end has begun")
            process.send_signal(number)
        process.wait(10)
        awaited(lambda: not running(children), f"left behind: {running(children)}")
        awaited(lambda: not list(temporary.iterdir()), f"left behind: {list(temporary.iterdir())}")
        assert process.returncode == code
        assert time.monotonic() - began < 5 or code < 0
        lines = [line for line in process.communicate()[1].decode().splitlines() if line]
        assert (lines[-1:] == [said] and lines.count(said) == 1) or code < 0
        assert not any("Traceback" in line for line in lines), lines
    finally:
        process.kill()
        process.wait()
        process.communicate()


def test_a_result_of_somebody_else_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "wordcount-out").mkdir()
    (tmp_path / "wordcount-out" / "thesis.txt").write_text("mine")
    path = jobs.text(tmp_path / "text", 1_000)
    done = subprocess.run([*TASKSPRINT, "run", "wordcount", str(path)], cwd=tmp_path, capture_output=True, timeout=30)
    assert done.returncode == 2
    assert b"no result of ours" in done.stderr
    assert (tmp_path / "wordcount-out" / "thesis.txt").read_text() == "mine"


def test_an_output_that_no_task_made_ends_the_job_in_a_line(tmp_path: Path) -> None:
    command = [*TASKSPRINT, "run", str(jobs.PROGRAMS / "nokey.py")]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, check=False, timeout=30, text=True)
    said = "tasksprint: the job failed: its output names piece 'nokey' of task 1 (w); it made v"
    assert (done.returncode, done.stderr.splitlines()[-1]) == (1, said)


def test_a_finishing_job_that_can_never_end_says_so(tmp_path: Path) -> None:
    command = [*TASKSPRINT, "run", str(jobs.PROGRAMS / "nokey.py"), 'labels=["gpu"]']
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        said = next(line for line in process.stderr if line.startswith("note: "))
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=20)
    assert "task 1 (w) is to run, but no live client has what it needs" in said
    assert "gpu" in said
