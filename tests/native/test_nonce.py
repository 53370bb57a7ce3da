"""The nonce search: every kernel that this processor has against the twin, and against blocks that others mined."""

import json
import os
import subprocess
import sys
import threading
import time
from hashlib import sha256
from pathlib import Path

import pytest

from tasksprint.native import nonce

DATA = json.loads((Path(__file__).parent / "data" / "bitcoin_headers.json").read_text())["headers"]
HEADER = bytes.fromhex(DATA[0]["header"])
EASY = (1 << 256) // 16  # a sixteenth of all hashes
LAST = (1 << 32) - 1


@pytest.fixture(params=nonce.kernels())
def kernel(request):
    return request.param


def twin(header, start, count, target, **options):
    return nonce.search(header, start, count, target, kernel="python", **options)


def double_hash(header, number):
    return sha256(sha256(header[:76] + number.to_bytes(4, "little")).digest()).digest()


def value(digest):
    return int.from_bytes(digest, "little")


def target_of(bits):
    compact = int(bits, 16)
    return (compact & 0xFFFFFF) << 8 * ((compact >> 24) - 3)


def test_the_twin_is_the_definition():
    hits = [(n, double_hash(HEADER, n)) for n in range(70, 200)]
    wanted = [(n, digest) for n, digest in hits if value(digest) <= EASY]
    assert len(wanted) > 3
    assert twin(HEADER, 70, 130, EASY) == (wanted, 130)


@pytest.mark.parametrize("block", DATA, ids=lambda block: str(block["height"]))
def test_real_blocks(kernel, block):
    header, solved = bytes.fromhex(block["header"]), block["nonce"]
    expected = [(solved, bytes.fromhex(block["hash"])[::-1])]
    start = max(0, solved - 21)
    count = min(64, LAST + 1 - start)
    assert nonce.search(header, start, count, target_of(block["bits"]), kernel=kernel) == (expected, count)


@pytest.mark.parametrize("exact", [0, 1, 7, 8, 9, 15, 16, 17, 31])
def test_the_hit_at_every_place_of_a_batch(kernel, exact):
    block = DATA[exact % len(DATA)]
    header, solved = bytes.fromhex(block["header"]), block["nonce"]
    hits = [(solved, bytes.fromhex(block["hash"])[::-1])]
    target = target_of(block["bits"])
    for count in (exact + 1, exact + 2, exact + 40):
        assert nonce.search(header, solved - exact, count, target, kernel=kernel) == (hits, count)
    assert nonce.search(header, solved - exact, exact, target, kernel=kernel) == ([], exact)
    assert nonce.search(header, solved + 1, exact, target, kernel=kernel) == ([], exact)


def test_every_alignment_and_length(kernel):
    reference = twin(HEADER, 1000, 120, EASY).hits
    assert len(reference) > 3
    for start in range(1000, 1034):
        for count in (*range(36), 63, 64, 65, 84):
            wanted = [hit for hit in reference if start <= hit[0] < start + count]
            assert nonce.search(HEADER, start, count, EASY, kernel=kernel) == (wanted, count), (start, count)


@pytest.mark.parametrize("count", [1, 2, 8, 15, 16, 17, 33, 100])
def test_both_ends_of_the_nonces(kernel, count):
    for start in (0, LAST + 1 - count):
        wanted = twin(HEADER, start, count, (1 << 256) - 1)
        assert len(wanted.hits) == count
        assert nonce.search(HEADER, start, count, (1 << 256) - 1, kernel=kernel) == wanted


def test_empty_ranges(kernel):
    for start in (0, 1, LAST, LAST + 1):
        assert nonce.search(HEADER, start, 0, EASY, kernel=kernel) == ([], 0)


def test_only_the_full_comparison_decides(kernel):
    """Targets one below, at and one above a hash that shares its most significant word with the target."""
    for number in (5, 77, 130):
        digest = double_hash(HEADER, number)
        for difference, hit in ((-1, False), (0, True), (1, True)):
            found = nonce.search(HEADER, number, 1, value(digest) + difference, kernel=kernel)
            assert found.hits == ([(number, digest)] if hit else [])
    for block in DATA[:4]:  # the same where the most significant words are zero
        header, digest = bytes.fromhex(block["header"]), bytes.fromhex(block["hash"])[::-1]
        for difference, hit in ((-1, False), (0, True)):
            found = nonce.search(header, block["nonce"] - 3, 7, value(digest) + difference, kernel=kernel)
            assert found.hits == ([(block["nonce"], digest)] if hit else [])


@pytest.mark.parametrize("power", [0, 223, 224, 225, 231, 232, 240, 248, 252, 255, 256, 300])
def test_targets_of_every_size(kernel, power):
    for target in ((1 << power) - 1, 1 << power):
        assert nonce.search(HEADER, 12345, 300, target, kernel=kernel) == twin(HEADER, 12345, 300, target)


def test_a_long_range_crosses_chunks(kernel):
    start, count, target = 3_000_000_007, 70_001, (1 << 256) >> 9
    wanted = twin(HEADER, start, count, target)
    assert len(wanted.hits) > 50
    assert nonce.search(HEADER, start, count, target, kernel=kernel) == wanted
    edge = wanted.hits[20][0]
    assert nonce.search(HEADER, start, edge - start + 1, target, kernel=kernel).hits == wanted.hits[:21]


def test_full_searches_can_be_continued(kernel):
    start, count, hits = 9, 20_000, []
    while count:
        found = nonce.search(HEADER, start, count, EASY, kernel=kernel, max_hits=7)
        assert len(found.hits) == 7 or found.hashes == count
        assert not found.hits or len(found.hits) < 7 or found.hits[-1][0] == start + found.hashes - 1
        hits += found.hits
        start, count = start + found.hashes, count - found.hashes
    assert hits == twin(HEADER, 9, 20_000, EASY, max_hits=20_000).hits


def test_more_hits_than_are_gathered_at_once(kernel):
    count = 9000
    found = nonce.search(HEADER, 50, count, 1 << 256, kernel=kernel, max_hits=count + 1)
    assert found.hashes == count
    assert [number for number, _ in found.hits] == list(range(50, 50 + count))
    limited = nonce.search(HEADER, 50, count, 1 << 256, kernel=kernel, max_hits=8500)
    assert limited == (found.hits[:8500], 8500)


def test_every_hit_is_told_unless_a_limit_is_asked_for(kernel):
    found = nonce.search(HEADER, 0, 5000, (1 << 256) - 1, kernel=kernel)
    assert (len(found.hits), found.hashes) == (5000, 5000)
    limited = nonce.search(HEADER, 0, 5000, (1 << 256) - 1, kernel=kernel, max_hits=1 << 70)
    assert limited == found


@pytest.mark.parametrize(
    "wrong",
    [
        {"start": 1.5},
        {"start": -0.0},
        {"count": "7"},
        {"count": 7.0},
        {"target": 1e70},
        {"target": "00"},
        {"max_hits": 1.5},
        {"stop": [0]},
        {"stop": "0"},
    ],
    ids=str,
)
def test_types_are_checked_alike(kernel, wrong):
    arguments = {"start": 0, "count": 10, "target": EASY, **wrong}
    with pytest.raises(TypeError):
        nonce.search(HEADER, kernel=kernel, **arguments)


def test_the_nonce_in_the_header_does_not_matter(kernel):
    other = HEADER[:76] + b"\xff\x01\x02\x03"
    assert nonce.search(other, 0, 100, EASY, kernel=kernel) == twin(HEADER, 0, 100, EASY)


def test_all_headers_differ(kernel):
    """Random headers: the constants of one must not stay for the next."""
    for seed in range(40):
        header = sha256(bytes([seed])).digest() * 2 + sha256(bytes([seed, 1])).digest()[:16]
        start = value(sha256(header).digest()) % (LAST - 50)
        assert nonce.search(header, start, 50, EASY, kernel=kernel) == twin(header, start, 50, EASY)


def test_stopped_before_it_begins(kernel):
    assert nonce.search(HEADER, 0, 1 << 32, 0, kernel=kernel, stop=bytearray(b"\x01")) == ([], 0)


@pytest.mark.parametrize("target", [0, 1 << 256], ids=["no hits", "all hits"])
def test_stopped_from_outside(kernel, target):
    """The lock is released (this thread runs), and the search ends soon after the flag."""
    stop, outcome = bytearray(1), []
    begun = threading.Event()

    def work():
        begun.set()
        found = nonce.search(HEADER, 0, 1 << 32, target, kernel=kernel, stop=stop, max_hits=1 << 32)
        outcome.append((found, time.perf_counter()))

    worker = threading.Thread(target=work)
    worker.start()
    begun.wait()
    worked = time.pthread_getcpuclockid(worker.ident)
    while time.clock_gettime(worked) < 0.02:  # its own time: a busy machine may let it wait for long
        pass
    flagged = time.perf_counter()
    stop[0] = 1
    worker.join()
    found, ended = outcome[0]
    assert 0 < found.hashes < 1 << 32
    assert ended - flagged < 2, "within 10 ms, with much room for a loaded machine"
    assert len(found.hits) == (found.hashes if target else 0)


def test_a_memoryview_stops_too(kernel):
    flags = bytearray(3)
    flags[1] = 9
    assert nonce.search(HEADER, 0, 5, 0, kernel=kernel, stop=memoryview(flags)[1:]) == ([], 0)
    assert nonce.search(HEADER, 0, 5, 0, kernel=kernel, stop=memoryview(flags)[2:]) == ([], 5)


def test_two_threads_share_a_kernel(kernel):
    wanted = [twin(HEADER, start, 3000, EASY) for start in (0, 5000)]
    found = {}

    def work(start):
        found[start] = [nonce.search(HEADER, start, 3000, EASY, kernel=kernel) for _ in range(5)]

    threads = [threading.Thread(target=work, args=(start,)) for start in (0, 5000)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {0: [wanted[0]] * 5, 5000: [wanted[1]] * 5}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"header": HEADER[:79]}, "80 bytes, not 79"),
        ({"header": "text"}, "80 bytes, not a str"),
        ({"start": -1}, "out of range"),
        ({"start": 1 << 32, "count": 1}, "out of range"),
        ({"start": LAST, "count": 2}, "out of range"),
        ({"count": -1}, "out of range"),
        ({"target": -1}, "not negative"),
        ({"max_hits": 0}, "at least 1"),
        ({"kernel": "magic"}, "no kernel 'magic' here; there are"),
        ({"stop": bytearray()}, "byte"),
    ],
)
def test_arguments_are_checked(changes, message):
    arguments = {"header": HEADER, "start": 0, "count": 10, "target": EASY, **changes}
    with pytest.raises(ValueError, match=message):
        nonce.search(**arguments)


def test_a_good_kernel_is_chosen():
    nonce.choose.cache_clear()
    choice = nonce.choose(2)
    assert choice.failed == ()
    assert set(choice.rates) == set(nonce.kernels())
    assert choice.rates[choice.kernel] == max(choice.rates.values())
    assert nonce.search(HEADER, 0, 100, EASY) == twin(HEADER, 0, 100, EASY)


def test_a_kernel_that_fails_its_test_is_not_chosen(monkeypatch):
    best = nonce.choose().kernel
    monkeypatch.setattr(nonce, "self_test", lambda name: name != best)
    choice = nonce.choose.__wrapped__(1)
    assert choice.failed == (best,)
    assert choice.kernel != best
    monkeypatch.setenv(nonce.VARIABLE, best)
    with pytest.raises(RuntimeError, match="wrong hashes"):
        nonce.choose.__wrapped__(1)


def test_wrong_hashes_fail_the_self_test(monkeypatch):
    assert all(nonce.self_test(name) for name in nonce.kernels())
    right, suspect = nonce._searches, nonce.kernels()[0]

    def wrong(header, start, count, target, stop, max_hits):
        hits, hashes = right(suspect)(header, start, count, target, stop, max_hits)
        return hits[:1], hashes

    monkeypatch.setattr(nonce, "_searches", lambda name: wrong if name == suspect else right(name))
    assert not nonce.self_test(suspect)


def test_the_variable_names_a_kernel(monkeypatch):
    monkeypatch.setenv(nonce.VARIABLE, "python")
    assert nonce.choose.__wrapped__() == ("python", {}, ())
    monkeypatch.setenv(nonce.VARIABLE, "magic")
    with pytest.raises(ValueError, match=r"TASKSPRINT_NONCE_KERNEL is 'magic', but here there are .*python"):
        nonce.choose.__wrapped__()


def test_without_the_compiled_module():
    """A build without a compiler still searches."""
    program = (
        "import sys; sys.modules['tasksprint.native._nonce'] = None\n"
        "from tasksprint.native import nonce\n"
        "print(nonce.kernels(), nonce.search(nonce.GENESIS, nonce.GENESIS_NONCE, 1, nonce.GENESIS_TARGET).hits[0][0])"
    )
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env=os.environ)
    assert answer.stdout.split() == ["('python',)", str(nonce.GENESIS_NONCE)]
