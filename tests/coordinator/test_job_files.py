"""Files of jobs are nobody's wait: a file system that hangs (a pipe that nobody reads) costs lines, never a turn."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from tasksprint.coordinator.job_files import JobFiles
from tasksprint.limits import JOB_LOG_BYTES
from tasksprint.storage.programs import pack_program

LIMIT_S = 20
Story = Callable[[JobFiles], Awaitable[None]]


def tell(folder: Path, story: Story, **options: int) -> None:
    async def run() -> None:
        files = JobFiles(folder, **options)
        try:
            async with asyncio.timeout(LIMIT_S):
                await story(files)
        finally:
            files.close()

    asyncio.run(run())


async def unpacked(files: JobFiles, job_id: str, program: bytes | None = None) -> str:
    done = asyncio.get_running_loop().create_future()
    files.unpack(job_id, program, done.set_result)
    return str(await done)


async def log_of(files: JobFiles, job_id: str, offset: int = 0) -> bytes:
    done = asyncio.get_running_loop().create_future()
    files.read_log(job_id, offset, done.set_result)
    return bytes(await done)


def test_a_log_is_read_with_all_that_was_added_before(tmp_path: Path) -> None:
    async def story(files: JobFiles) -> None:
        assert await log_of(files, "job") == b""
        files.log("job", "lost: the job has no folder yet\n")
        assert await unpacked(files, "job") == ""
        for number in range(3):
            files.log("job", f"{number}\n")
        assert await log_of(files, "job") == b"0\n1\n2\n"
        assert await log_of(files, "job", 4) == b"2\n"

    tell(tmp_path, story)


def test_a_program_comes_and_goes(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("print()")
    program = pack_program(tmp_path, ["mine.py"])

    async def story(files: JobFiles) -> None:
        assert await unpacked(files, "job", program) == ""
        assert (files.program_folder("job") / "mine.py").read_text() == "print()"
        assert (await unpacked(files, "other", b"no program")).startswith("cannot unpack the job's program files: ")
        files.log("job", "stays\n")
        files.remove_program("job")
        assert await log_of(files, "job") == b"stays\n"
        assert not files.program_folder("job").exists()

    tell(tmp_path / "jobs", story)


def test_a_file_system_that_hangs_holds_up_files_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "slow").mkdir()
    pipe = tmp_path / "slow" / "scheduler.log"
    os.mkfifo(pipe)

    async def story(files: JobFiles) -> None:
        files.log("slow", "one\n")  # its open waits for a reader
        waiting = asyncio.ensure_future(unpacked(files, "job"))
        for _ in range(1_000):
            await asyncio.sleep(0)  # the loop turns
        assert not waiting.done() and not (tmp_path / "job").exists(), "the file system hangs"
        reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
        try:
            assert await waiting == ""
            assert os.read(reader, 100) == b"one\n"
        finally:
            os.close(reader)

    tell(tmp_path, story)


def test_what_waits_for_a_slow_disk_is_bounded(tmp_path: Path) -> None:
    (tmp_path / "slow").mkdir()
    pipe = tmp_path / "slow" / "scheduler.log"
    os.mkfifo(pipe)

    async def story(files: JobFiles) -> None:
        files.log("slow", "a" * 60)
        files.log("other", "b" * 60)  # no room
        reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
        assert await unpacked(files, "other") == ""
        os.close(reader)
        files.log("other", "after\n")
        log = await log_of(files, "other")
        assert log.endswith(b"after\n") and b"lines are missing" in log and b"b" * 60 not in log

    tell(tmp_path, story, waiting_bytes=100)


def test_a_log_has_an_end(tmp_path: Path) -> None:
    async def story(files: JobFiles) -> None:
        assert await unpacked(files, "job") == ""
        for _ in range(3):
            files.log("job", "x" * JOB_LOG_BYTES)
            await log_of(files, "job")
        assert (tmp_path / "job" / "scheduler.log").stat().st_size <= 2 * JOB_LOG_BYTES

    tell(tmp_path, story)


@pytest.mark.parametrize("gone", [True, False])
def test_nothing_is_called_after_close(gone: bool, tmp_path: Path) -> None:
    called: list[str] = []

    async def story(files: JobFiles) -> None:
        files.unpack("job", None, called.append)
        if gone:
            files.close()
        await asyncio.to_thread(files._thread.shutdown)
        await asyncio.sleep(0)

    tell(tmp_path, story)
    assert (tmp_path / "job" / "program").is_dir()
    assert called == ([] if gone else [""])
