"""A standing cluster as its user has it: every process and every command by hand, through the real command line."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.cluster import jobs
from tests.cluster.harness import PATIENCE_S, awaited
from tests.cluster.test_run import reference

from tasksprint.cli.local import free_ports
from tasksprint.storage import shelf_index

pytestmark = pytest.mark.cluster
TASKSPRINT = [sys.executable, "-m", "tasksprint"]
TALKER = jobs.PROGRAMS / "talker.py"


class Standing:
    """Three coordinators, and clients as a test wants them; all in one folder, killed in the end."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.work = folder / "work"
        self.work.mkdir()
        self.addresses = [f"127.0.0.1:{port}" for port in free_ports(3)]
        self.environment = {
            **os.environ,
            "TASKSPRINT_HOME": str(folder / "home"),
            "TASKSPRINT_COORDINATORS": ",".join(self.addresses),
            "TASKSPRINT_CLUSTER": "standing",
        }
        self.processes: list[subprocess.Popen[str]] = []
        peers = ",".join(f"{number}={address}" for number, address in enumerate(self.addresses, 1))
        for number in (1, 2, 3):
            self.spawn("coordinator", "--id", str(number), "--peers", peers)

    def spawn(self, *words: str) -> subprocess.Popen[str]:
        """A daemon; its ready line has been read when it is returned."""
        process = subprocess.Popen(
            [*TASKSPRINT, *words],
            cwd=self.work,
            env=self.environment,
            text=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self.processes.append(process)
        return process

    def client(self, name: str, *words: str) -> tuple[subprocess.Popen[str], str]:
        """A client with two slots in a folder of this name, and its id; the name is relative, as people write it."""
        process = self.spawn("client", "--folder", os.path.join("..", name), "--slots", "2", *words)
        return process, str(ready(process)["client"])

    def command(self, *words: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [*TASKSPRINT, *words],
            cwd=self.work,
            env=self.environment,
            text=True,
            capture_output=True,
            timeout=PATIENCE_S,
        )
        assert done.returncode == code, f"{words}: {done.stdout}{done.stderr}"
        assert "Traceback" not in done.stderr
        return done

    def detached(self, **arguments: object) -> str:
        """The id of a job of talkers."""
        done = self.command("submit", str(TALKER), "--detach", "--args", json.dumps(arguments))
        return done.stdout.strip()

    def status(self, *words: str) -> Any:
        return json.loads(self.command("status", *words, "--json").stdout)

    def job(self, job_id: str) -> Any:
        return self.status(job_id)["job"]

    def clients(self) -> list[str]:
        return [row["client"] for row in self.status()["cluster"]["clients"]]

    def close(self) -> None:
        for process in self.processes:
            if process.poll() is None:
                process.kill()
        for process in self.processes:
            process.communicate()


def ready(process: subprocess.Popen[str]) -> Any:
    """What a daemon says when it listens."""
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line, process.communicate()[1]
    return json.loads(line)


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Standing]:
    standing = Standing(tmp_path_factory.mktemp("standing"))
    try:
        for process in standing.processes:
            ready(process)
        standing.client("first")
        yield standing
    finally:
        standing.close()


@pytest.fixture
def gate(standing: Standing, request: pytest.FixtureRequest) -> Path:
    """A file that is not there: tasks wait for it."""
    return standing.folder / f"gate-{request.node.name}"


def test_submit_follows_a_job_and_brings_its_outputs(standing: Standing) -> None:
    path = jobs.text(standing.work / "text", 60_000)
    done = standing.command("submit", "wordcount", str(path))
    assert len(done.stdout.splitlines()) == 11, "ten words and the totals"
    parts = sorted((standing.work / "wordcount-out").glob("part-*"))
    assert sorted(line for part in parts for line in part.read_bytes().split(b"\n") if line) == reference(path)


def test_a_detached_job_is_followed_by_its_id_alone(standing: Standing) -> None:
    path = jobs.text(standing.work / "text", 60_000)
    job_id = standing.command("submit", "wordcount", str(path), "--detach").stdout.strip()
    assert re.fullmatch(r"[0-9a-f]{32}", job_id)
    done = standing.command("submit", "--job", job_id, "--output", "later")
    assert len(done.stdout.splitlines()) == 11
    parts = sorted((standing.work / "later").glob("part-*"))
    assert parts[0].name == "part-00000.txt", "named as the app names them"
    assert sorted(line for part in parts for line in part.read_bytes().split(b"\n") if line) == reference(path)
    late = standing.command("submit", "--job", job_id, "--output", "too-late", code=1)
    assert "files are no longer held" in late.stderr and len(late.stderr.splitlines()) == 1, late.stderr
    assert not late.stdout and not (standing.work / "too-late").exists()
    assert "32 hexadecimal digits" in standing.command("submit", "--job", "7", code=2).stderr
    assert "leave out" in standing.command("submit", "wordcount", "--job", job_id, code=2).stderr
    assert "no job" in standing.command("submit", "--job", "0" * 32, code=1).stderr


def test_status_is_readable_and_its_ids_are_whole(standing: Standing) -> None:
    job_id = standing.detached(tasks=1)
    standing.command("submit", "--job", job_id)
    text = standing.command("status").stdout
    for word in (job_id, *standing.clients(), *standing.addresses, "leader", "talker", "done", "1/1"):
        assert word in text, text
    assert "\x1b" not in text, "no colours where nobody sees them"
    assert len([line for line in text.splitlines() if "follows" in line]) == 2
    one = standing.command("status", job_id).stdout
    assert f"job: {job_id}" in one and "state: done" in one


def test_logs_show_what_scheduler_and_nodes_printed_also_afterwards(standing: Standing, gate: Path) -> None:
    job_id = standing.detached(tasks=2, gate=str(gate))

    def text() -> str:
        return standing.command("logs", job_id).stdout

    awaited(lambda: text().count("speaks") == 2, "both tasks have begun")
    assert "the scheduler begins" in text()
    gate.touch()
    standing.command("submit", "--job", job_id)
    after = text()
    assert "the scheduler begins" in after and "the scheduler ends with 2 tasks" in after
    assert re.search(r"^task 1\.1: task 0 speaks$", after, re.MULTILINE), after
    assert "--- scheduler, coordinator" in after and "--- client" in after
    assert "no job" in standing.command("logs", "0" * 32, code=1).stderr


def test_cancel_ends_a_job_and_why_names_what_is_missing(standing: Standing, gate: Path) -> None:
    job_id = standing.detached(tasks=1, gate=str(gate), labels=["gpu"])
    awaited(lambda: standing.job(job_id)["started"] == 2, "the tasks are started")
    said = standing.command("why", job_id, "2").stdout
    assert "no live client has what it needs" in said and "gpu" in said
    assert "no live client" in standing.command("status", job_id).stdout
    assert standing.command("cancel", job_id).stdout.strip() == f"job {job_id}: cancelled"
    failed = standing.command("submit", "--job", job_id, code=1)
    assert "cancelled" in failed.stderr
    assert "is cancelled" in standing.command("why", job_id, "1").stdout
    assert standing.command("cancel", job_id).returncode == 0, "twice is once"


def test_status_and_why_say_how_far_a_running_task_is(standing: Standing, gate: Path) -> None:
    job_id = standing.detached(tasks=1, gate=str(gate))
    (row,) = awaited(lambda: standing.job(job_id)["running"], "the task has said how far it is")
    assert (row["task"], row["name"], row["fraction"]) == (1, "talk", 0.25)
    assert re.search(r"^1 +talk +1 +[0-9a-f]+ +25\.0%$", standing.command("status", job_id).stdout, re.MULTILINE)
    assert "attempt 1 says that it is 25.0% through" in standing.command("why", job_id, "1").stdout
    gate.touch()
    standing.command("submit", "--job", job_id)
    assert standing.job(job_id)["running"] == []


def test_jobs_run_side_by_side(standing: Standing, gate: Path) -> None:
    """One that waits does not hold up another."""
    waits = standing.detached(tasks=1, gate=str(gate))
    beside = standing.command("submit", str(TALKER), "tasks=6")
    assert json.loads(beside.stdout)
    assert standing.job(waits)["state"] == "running"
    gate.touch()
    standing.command("submit", "--job", waits)


def test_a_client_joins_gets_work_and_hands_it_back(standing: Standing, gate: Path) -> None:
    """Six tasks wait on two slots; a second client takes its share, and what it has goes on elsewhere when it goes."""
    job_id = standing.detached(tasks=6, gate=str(gate))
    awaited(lambda: standing.job(job_id)["started"] == 6, "the tasks are started")
    process, name = standing.client("second")
    awaited(lambda: f"--- client {name}" in standing.command("logs", job_id).stdout, "the new client has got work")
    began = time.monotonic()
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=PATIENCE_S)
    assert (process.returncode, said) == (0, "")
    assert time.monotonic() - began < 1.5
    assert name not in standing.clients()
    gate.touch()
    standing.command("submit", "--job", job_id)
    job = standing.job(job_id)
    assert (job["state"], job["done"]) == ("done", 6)
    assert job["second_attempts"] > 0

    again, same = standing.client("second")
    assert same == name, "its folder keeps the id"
    awaited(lambda: name in standing.clients(), "it is registered again")
    twin = standing.spawn("client", "--folder", str(standing.folder / "second"))
    _, said = twin.communicate(timeout=PATIENCE_S)
    assert twin.returncode == 1 and "in use" in said and len(said.splitlines()) == 1
    again.send_signal(signal.SIGTERM)
    assert again.wait(PATIENCE_S) == 0


def test_a_client_that_was_away_when_a_job_ended_lets_its_results_go_when_it_is_back(standing: Standing) -> None:
    job_id = standing.command(
        "submit", "wordcount", str(jobs.text(standing.work / "text", 60_000)), "--detach"
    ).stdout.strip()
    awaited(lambda: standing.job(job_id)["state"] == "finishing", "its outputs wait to be collected")
    folder = standing.folder / "first"

    def held() -> list[str]:
        return [put.job_id for put in shelf_index.read(folder / "results" / "index").puts]

    assert list((folder / "jobs" / job_id / "tasks").rglob("*")), "and this client holds them"
    assert job_id in held()
    first = standing.processes[3]
    first.kill()
    first.wait()
    standing.command("cancel", job_id)
    standing.client("first")
    awaited(lambda: not list((folder / "jobs").glob(f"{job_id}/[!l]*")), "its folders go")
    awaited(lambda: not (folder / "trash").exists(), "wholly")
    assert not held(), "and nothing of it is offered again"
    standing.command("submit", str(TALKER), "tasks=2")


def test_a_coordinator_that_gets_sigterm_ends_and_comes_back(standing: Standing) -> None:
    """Last: two of three go on, and the third finds its folder."""
    peers = ",".join(f"{number}={address}" for number, address in enumerate(standing.addresses, 1))
    before = standing.status()["coordinators"]
    leader = next(said["id"] for said in before.values() if said["leading"])
    process = standing.processes[leader - 1]
    process.send_signal(signal.SIGTERM)
    assert process.wait(PATIENCE_S) == 0
    standing.command("submit", str(TALKER), "tasks=2")
    ready(standing.spawn("coordinator", "--id", str(leader), "--peers", peers))
    address = standing.addresses[leader - 1]
    said = awaited(lambda: standing.status()["coordinators"][address], "it answers again")
    assert said["id"] == leader and not said["leading"]
