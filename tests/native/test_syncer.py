"""Both twins of the syncer: what it writes, what it says when the disk says no, and what becomes of its thread."""

import errno
import os
import select
import subprocess
import sys
import threading

import pytest

from tasksprint.native import _syncer, syncer_plain

WAIT_MS = 10_000


@pytest.fixture(params=[_syncer, syncer_plain], ids=["compiled", "plain"])
def syncer(request):
    syncer = request.param.Syncer()
    yield syncer
    syncer.close()


@pytest.fixture
def file(tmp_path):
    descriptor = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT)
    yield descriptor
    os.close(descriptor)


def readable(syncer, wait_ms=WAIT_MS):
    poll = select.poll()
    poll.register(syncer.fileno(), select.POLLIN)
    return bool(poll.poll(wait_ms))


def write(syncer, file, offset, data):
    syncer.begin(file, offset, data)
    while True:
        assert readable(syncer)
        syncer.clear()
        result = syncer.result()
        if result is not None:
            return result


def test_what_was_written_is_there(syncer, file):
    assert syncer.result() is None
    expected = bytearray()
    for size in (1, 0, 4_096, 300, 5_000_000):
        data = os.urandom(size)
        number, seconds = write(syncer, file, len(expected), data)
        assert number == 0
        assert 0 <= seconds < 10
        expected += data
        assert syncer.result() is None, "each result is given once"
    assert os.pread(file, len(expected) + 1, 0) == expected


def test_a_failure_has_its_number_and_the_next_write_may_succeed(syncer, file):
    assert write(syncer, -1, 0, b"x")[0] == errno.EBADF
    full = os.open("/dev/full", os.O_RDWR)
    try:
        assert write(syncer, full, 0, b"x")[0] == errno.ENOSPC
    finally:
        os.close(full)
    assert write(syncer, file, 0, b"x")[0] == 0


def test_waiting_ends_with_the_write(syncer, file):
    syncer.wait()
    for i in range(200):
        syncer.begin(file, i, b"x")
        if i % 3:
            syncer.clear()
        syncer.wait()
        assert syncer.result()[0] == 0
    assert os.pread(file, 300, 0) == b"x" * 200


def test_nothing_is_missed_when_results_are_taken_early(syncer, file):
    """The event of the first write may show while the second is under way, or only after it."""
    for i in range(50):
        syncer.begin(file, 0, b"first")
        while (result := syncer.result()) is None:
            pass
        assert result[0] == 0
        assert write(syncer, file, 0, b"second %d" % i)[0] == 0
    assert not syncer.result()


def test_an_end_that_need_not_show_does_not_until_it_is_wanted(syncer, file):
    syncer.show(False)
    for i in range(50):
        syncer.begin(file, i, b"x")
        while (result := syncer.result()) is None:
            pass
        assert result[0] == 0
    assert not readable(syncer, 20)
    syncer.begin(file, 50, b"y")
    syncer.wait()
    assert syncer.result()[0] == 0, "waiting works all the same"
    syncer.show(False)
    assert write(syncer, -1, 0, b"x")[0] == errno.EBADF, "a failure shows"
    for i in range(200):  # wanted while it is under way, or just behind it: seen, or shown
        syncer.show(False)
        syncer.begin(file, i, b"z")
        syncer.show(True)
        if syncer.result() is None:
            assert readable(syncer)
            syncer.clear()
            while syncer.result() is None:
                assert readable(syncer)
                syncer.clear()
    assert os.pread(file, 300, 0) == b"z" * 200


def test_one_write_at_a_time_of_bytes(syncer, file):
    syncer.begin(file, 0, b"x")
    with pytest.raises(RuntimeError, match="under way"):
        syncer.begin(file, 0, b"y")
    syncer.wait()
    with pytest.raises(RuntimeError, match="under way"):
        syncer.begin(file, 0, b"its result was not taken")
    assert syncer.result()[0] == 0
    with pytest.raises(TypeError):
        syncer.begin(file, 0, None)
    assert syncer.result() is None


def test_a_closed_one_has_no_thread_and_no_descriptor(syncer, file):
    before = set(os.listdir("/proc/self/task")) if os.path.isdir("/proc/self/task") else set()
    event = syncer.fileno()
    syncer.begin(file, 0, b"the last one")
    syncer.close()
    syncer.close()
    assert os.pread(file, 100, 0) == b"the last one"
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(event)
    if before:
        assert before - set(os.listdir("/proc/self/task"))
    begin, show = lambda: syncer.begin(0, 0, b""), lambda: syncer.show(True)
    for call in (syncer.fileno, syncer.result, syncer.clear, syncer.wait, begin, show):
        with pytest.raises(ValueError, match="closed"):
            call()


def test_programs_that_are_started_do_not_inherit_it(syncer):
    assert not os.get_inheritable(syncer.fileno())


def test_signals_go_to_the_interpreters_threads():
    """The compiled thread blocks them all; a handler of Python runs in the main thread in any case."""
    before = set(threading.enumerate())
    compiled = _syncer.Syncer()
    assert set(threading.enumerate()) == before
    compiled.close()


def run(code, *arguments):
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("twin", ["_syncer", "syncer_plain"])
def test_a_process_ends_without_closing_it(twin, tmp_path):
    code = (
        "import os, sys; from tasksprint.native import %s as twin\n"
        "file = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT); syncer = twin.Syncer(); keep = [syncer]\n"
        "keep.append(keep)\n"
        "syncer.begin(file, 0, b'x' * 1_000_000); print('bye')"
    )
    assert run(code % twin, str(tmp_path / "file")) == (0, "bye\n", "")


@pytest.mark.parametrize("twin", ["_syncer", "syncer_plain"])
def test_a_child_of_fork_can_let_go(twin):
    code = (
        "import os, warnings; from tasksprint.native import %s as twin\n"
        "warnings.simplefilter('ignore', DeprecationWarning)\n"  # from 3.12 on: threads and fork; that is the point
        "syncer = twin.Syncer(); child = os.fork()\n"
        "if child == 0:\n    del syncer; os._exit(7)\n"
        "print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])); syncer.close()"
    )
    assert run(code % twin) == (0, "7\n", "")
