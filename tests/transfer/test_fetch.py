"""Pieces over real links: they come whole and once, or the fetch ends with a reason."""

from __future__ import annotations

import asyncio
import os
import random
import resource
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from tests.loops import Play
from tests.transfer.supplier import JOB, RESULT, Fetch, Supplier, file, two, value

from tasksprint import limits
from tasksprint.storage.shelf import piece_digest
from tasksprint.transfer import fetch as fetch_room
from tasksprint.transfer import plan, serve
from tasksprint.transfer.fetch import Fetcher
from tasksprint.transport import Link, link
from tasksprint.wire import messages as wire


def noise(size: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(size)


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "RETRY_MS", (1, 2))
    monkeypatch.setattr(fetch_room, "PING_MS", 10)
    monkeypatch.setattr(limits, "FETCH_STALL_MS", 50)


def played(play: Play, story: Callable[[Supplier, Fetcher], Coroutine[Any, Any, None]]) -> None:
    async def whole() -> None:
        async with two() as (supplier, fetcher):
            await story(supplier, fetcher)

    play(whole())


# --- what arrives -------------------------------------------------------------------------------------
def test_a_value_and_an_empty_one(play: Play) -> None:
    async def story(supplier: Supplier, fetcher: Fetcher) -> None:
        supplier.pieces = {"a": value(b'{"x":1}'), "b": value(b"")}
        pieces = [await Fetch(fetcher, supplier.server.address, key).piece() for key in "ab"]
        assert [(piece.value, piece.is_file) for piece in pieces] == [(b'{"x":1}', False), (b"", False)]
        assert len(supplier.links) == 1, "one link for all that one supplier is asked"

    played(play, story)


def test_a_large_file_arrives_byte_for_byte_in_chunks(play: Play, tmp_path: Path) -> None:
    async def story(supplier: Supplier, fetcher: Fetcher) -> None:
        data = noise(9 * limits.CHUNK_BYTES + 1)
        supplier.pieces["large"] = file(tmp_path / "made", data)
        path = tmp_path / "fetched" / "1"
        piece = await Fetch(fetcher, supplier.server.address, "large", path).piece()
        assert (piece.path, piece.is_file, piece.size, piece.digest) == (path, True, len(data), piece_digest(data))
        assert path.read_bytes() == data
        assert fetcher.bytes_received == sum(out.bytes_sent for out in supplier.out.values()) == len(data)

    played(play, story)


def test_a_spilled_value_is_a_value_to_its_fetcher(play: Play, tmp_path: Path) -> None:
    async def story(supplier: Supplier, fetcher: Fetcher) -> None:
        data = noise(3 * limits.CHUNK_BYTES)
        spilled = file(tmp_path / "spill-1", data)
        spilled.is_file = False
        supplier.pieces["a"] = spilled
        piece = await Fetch(fetcher, supplier.server.address, "a", tmp_path / "f").piece()
        assert (piece.value, piece.path, piece.is_file) == (data, None, False)

    played(play, story)


def test_many_large_pieces_share_a_link_that_holds_less_than_they_weigh(
    play: Play, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first chunks alone would fill the link's buffer, the open files the process's table."""
    monkeypatch.setattr(limits, "CHUNK_BYTES", 16 * 1024)
    monkeypatch.setattr(link, "LINK_BUFFER_BYTES", 2 << 20)
    count = 400

    async def story(supplier: Supplier, fetcher: Fetcher) -> None:
        data = {f"{number}": noise(40_000, number) for number in range(count)}
        supplier.pieces = {key: file(tmp_path / key, each) for key, each in data.items()}
        address = supplier.server.address
        in_use = len(os.listdir("/proc/self/fd"))
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (in_use + 60, hard))
        try:
            fetches = {key: Fetch(fetcher, address, key, tmp_path / f"fetched-{key}") for key in data}
            for key, each in fetches.items():
                piece = await each.piece()
                assert piece.path is not None
                assert piece.path.read_bytes() == data[key]
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        assert sorted(supplier.asked) == sorted(data), "each was asked for once"

    played(play, story)


def test_small_pieces_do_not_wait_for_large_ones_to_end(play: Play, tmp_path: Path) -> None:
    ends: list[str] = []

    async def story(supplier: Supplier, fetcher: Fetcher) -> None:
        large = file(tmp_path / "large", noise(60 * limits.CHUNK_BYTES))
        supplier.pieces = {f"large {number}": large for number in range(serve.LARGE_AT_ONCE + 2)}
        supplier.pieces["small"] = value(b"1")
        fetches = []
        for number, key in enumerate(supplier.pieces):
            fetches.append(Fetch(fetcher, supplier.server.address, key, tmp_path / f"to-{number}"))
            fetches[-1].done.add_done_callback(lambda _, key=key: ends.append(key))  # type: ignore[misc]
        for each in fetches:
            await each.piece()
        assert ends[0] == "small"

    played(play, story)


def test_a_fetch_may_wait_as_long_as_its_supplier_answers_pings(play: Play) -> None:
    async def story(supplier: Supplier, fetcher: Fetcher) -> None:
        late = Fetch(fetcher, supplier.server.address, "late")
        await supplier.until(lambda: supplier.pings > 20)
        assert supplier.asked == ["late"]
        supplier.out[supplier.links[0]].send(late.wanted.request, RESULT, value(b"7"))
        assert (await late.piece()).value == b"7"
        assert len(supplier.links) == 1

    played(play, story)


def test_a_link_that_was_idle_for_long_is_not_taken_for_silent(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch_room, "PING_MS", 25)

    async def story(supplier: Supplier, fetcher: Fetcher) -> None:
        supplier.pieces = {"a": value(b"1")}
        address = supplier.server.address
        await Fetch(fetcher, address, "a").piece()
        idle = asyncio.Event()
        asyncio.get_running_loop().call_later(4 * limits.FETCH_STALL_MS / 1_000, idle.set)
        await idle.wait()
        assert supplier.pings == 0, "who owes nothing is not asked"
        again = Fetch(fetcher, address, "late")
        await supplier.until(lambda: supplier.pings >= 1)
        supplier.out[supplier.links[0]].send(again.wanted.request, RESULT, value(b"2"))
        assert (await again.piece()).value == b"2"
        assert supplier.asked == ["a", "late"]

    played(play, story)


def test_what_was_stopped_is_not_sent_any_more(play: Play, tmp_path: Path) -> None:
    async def story(supplier: Supplier, fetcher: Fetcher) -> None:
        supplier.pieces = {"large": file(tmp_path / "large", noise(200 * limits.CHUNK_BYTES)), "b": value(b"2")}
        address = supplier.server.address
        stopped = Fetch(fetcher, address, "large", tmp_path / "to")
        await supplier.until(lambda: "large" in supplier.asked)
        fetcher.stop(stopped.wanted)
        assert (await Fetch(fetcher, address, "b").piece()).value == b"2"
        assert supplier.stopped == [stopped.wanted.request]
        assert supplier.out[supplier.links[0]].bytes_sent < 100 * limits.CHUNK_BYTES
        assert not stopped.done.done()
        assert not (tmp_path / "to").exists()

    played(play, story)


# --- what is damaged ------------------------------------------------------------------------------------
def bad_once(messages: Callable[[int], list[Any]]) -> Callable[[Link, wire.Fetch], bool]:
    """A script that answers the first request with these messages, and leaves the others to the supplier."""
    done: list[int] = []

    def script(link: Link, fetch: wire.Fetch) -> bool:
        if done:
            return False
        done.append(1)
        for message in messages(fetch.request):
            link.send(wire.encode(message))
        return True

    return script


GOOD = noise(1_000)
DIGEST = piece_digest(GOOD)
DAMAGED: dict[str, Callable[[int], list[Any]]] = {
    "other bytes": lambda r: [wire.Piece(r, RESULT, DIGEST, True, 1_000, noise(1_000, 2))],
    "a byte too many": lambda r: [wire.Piece(r, RESULT, DIGEST, True, 1_000, GOOD[:500]), wire.Chunk(r, GOOD[499:])],
    "no header": lambda r: [wire.Chunk(r, GOOD)],
    "two headers": lambda r: [wire.Piece(r, RESULT, DIGEST, True, 1_000, GOOD[:1])] * 2,
    "a negative size": lambda r: [wire.Piece(r, RESULT, DIGEST, True, -1, b"")],
    "an endless value": lambda r: [wire.Piece(r, RESULT, DIGEST, False, 1 << 40, GOOD)],
}


@pytest.mark.parametrize("kind", DAMAGED)
def test_what_is_damaged_is_thrown_away_and_asked_for_again(play: Play, tmp_path: Path, kind: str) -> None:
    async def story(supplier: Supplier, fetcher: Fetcher) -> None:
        supplier.pieces = {"a": file(tmp_path / "made", GOOD)}
        supplier.script = bad_once(DAMAGED[kind])
        piece = await Fetch(fetcher, supplier.server.address, "a", tmp_path / "to").piece()
        assert piece.path is not None
        assert piece.path.read_bytes() == GOOD
        assert len(supplier.asked) == 2
        assert len(supplier.stopped) == 1, "the supplier need not send the rest"

    played(play, story)


def test_what_is_always_damaged_ends_with_the_reason(play: Play, tmp_path: Path) -> None:
    async def story(supplier: Supplier, fetcher: Fetcher) -> None:
        supplier.pieces = {"a": file(tmp_path / "made", GOOD)}
        supplier.pieces["a"].digest = b"0" * 16
        address = supplier.server.address
        kind, reason = await Fetch(fetcher, address, "a", tmp_path / "to").failure()
        assert kind == "unreachable"
        assert reason == f"{address}: the 1000 bytes that came have another digest than was announced"
        assert len(supplier.asked) == limits.FETCH_TRIES
        assert not (tmp_path / "to").exists()

    played(play, story)


def test_a_file_where_a_value_was_wanted_is_refused(play: Play, tmp_path: Path) -> None:
    async def story(supplier: Supplier, fetcher: Fetcher) -> None:
        supplier.pieces = {"a": file(tmp_path / "made", GOOD)}
        _, reason = await Fetch(fetcher, supplier.server.address, "a").failure()
        assert "a file came where a value was expected" in reason

    played(play, story)


def test_a_disk_that_takes_only_a_part_ends_the_fetch_and_leaves_nothing(play: Play, tmp_path: Path) -> None:
    """A write may take fewer bytes than it was given: what was hashed is not what is on the disk then."""

    async def story(supplier: Supplier, fetcher: Fetcher) -> None:
        supplier.pieces = {"a": file(tmp_path / "made", noise(200_000))}
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
        try:
            kind, reason = await Fetch(fetcher, supplier.server.address, "a", tmp_path / "to").failure()
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert (kind, "File too large" in reason) == ("unreachable", True)
        assert not (tmp_path / "to").exists()

    played(play, story)


# --- who is gone ----------------------------------------------------------------------------------------
def dies(link: Link, fetch: wire.Fetch) -> bool:
    link.abort("killed")
    return True


@pytest.mark.parametrize("kind", ["missing_key", "lost", "ended"])
def test_a_supplier_that_has_it_no_more_is_believed_at_once(play: Play, kind: str) -> None:
    def script(link: Link, fetch: wire.Fetch) -> bool:
        link.send(wire.encode(wire.Gone(fetch.request, kind, "because")))
        return True

    async def story(supplier: Supplier, fetcher: Fetcher) -> None:
        supplier.script = script
        assert await Fetch(fetcher, supplier.server.address, "a").failure() == (kind, "because")
        assert supplier.asked == ["a"]

    played(play, story)


def test_a_supplier_that_does_not_know_it_yet_is_asked_again(play: Play) -> None:
    async def story(supplier: Supplier, fetcher: Fetcher) -> None:
        supplier.pieces = {"a": value(b"1")}
        supplier.script = bad_once(lambda request: [wire.Gone(request, "unknown", "never heard of it")])
        assert (await Fetch(fetcher, supplier.server.address, "a").piece()).value == b"1"

        def never(link: Link, fetch: wire.Fetch) -> bool:
            link.send(wire.encode(wire.Gone(fetch.request, "unknown", "never heard of it")))
            return True

        supplier.script = never
        end = await Fetch(fetcher, supplier.server.address, "b").failure()
        assert end == ("unknown", "never heard of it")
        assert supplier.asked == ["a", "a", *["b"] * limits.FETCH_TRIES]

    played(play, story)


def test_a_file_that_is_gone_or_shorter_is_lost_and_the_others_come(play: Play, tmp_path: Path) -> None:
    async def story(supplier: Supplier, fetcher: Fetcher) -> None:
        supplier.pieces = {key: file(tmp_path / key, GOOD) for key in ("gone", "short", "good")}
        (tmp_path / "gone").unlink()
        (tmp_path / "short").write_bytes(b"x")
        address = supplier.server.address
        fetches = {key: Fetch(fetcher, address, key, tmp_path / f"to-{key}") for key in supplier.pieces}
        assert await fetches["gone"].failure() == ("lost", "cannot read the piece: No such file or directory")
        assert await fetches["short"].failure() == ("lost", "cannot read the piece: the file has become shorter")
        assert (await fetches["good"].piece()).size == 1_000

    played(play, story)


def test_a_supplier_that_dies_in_the_middle_is_asked_again_when_it_is_back(play: Play, tmp_path: Path) -> None:
    data = noise(5 * limits.CHUNK_BYTES)

    def half(link: Link, fetch: wire.Fetch) -> bool:
        link.send(wire.encode(wire.Piece(fetch.request, RESULT, piece_digest(data), True, len(data), data[: 1 << 18])))
        link.close("killed")
        return True

    async def story(supplier: Supplier, fetcher: Fetcher) -> None:
        deaths: list[str] = []

        def dies_once(link: Link, fetch: wire.Fetch) -> bool:
            if fetch.key in deaths:
                return False
            deaths.append(fetch.key)
            return half(link, fetch)

        supplier.script = dies_once
        supplier.pieces = {key: file(tmp_path / key, data) for key in "ab"}
        fetches = [Fetch(fetcher, supplier.server.address, key, tmp_path / f"to-{key}") for key in "ab"]
        for each in fetches:
            piece = await each.piece()
            assert piece.path is not None
            assert piece.path.read_bytes() == data
        assert each.wanted.tries >= 1

    played(play, story)


def test_a_supplier_that_always_dies_is_unreachable(play: Play, tmp_path: Path) -> None:
    async def story(supplier: Supplier, fetcher: Fetcher) -> None:
        supplier.script = dies
        kind, reason = await Fetch(fetcher, supplier.server.address, "a", tmp_path / "to").failure()
        assert kind == "unreachable"
        assert reason.startswith(supplier.server.address)
        assert len(supplier.links) == limits.FETCH_TRIES

    played(play, story)


def test_nobody_at_the_address_is_unreachable(play: Play) -> None:
    async def story(supplier: Supplier, fetcher: Fetcher) -> None:
        address = supplier.server.address
        await supplier.server.close()
        fetches = [Fetch(fetcher, address, key) for key in "ab"]
        for each in fetches:
            kind, reason = await each.failure()
            assert (kind, "nobody listens there" in reason) == ("unreachable", True)
            assert each.wanted.tries == limits.FETCH_TRIES

    played(play, story)


def test_a_silent_supplier_is_unreachable_after_its_tries(play: Play) -> None:
    async def story(supplier: Supplier, fetcher: Fetcher) -> None:
        supplier.mute = True
        kind, reason = await Fetch(fetcher, supplier.server.address, "a").failure()
        assert kind == "unreachable"
        assert reason == f"{supplier.server.address}: 5 pings in 0.05 s were not answered"
        assert supplier.asked == ["a"] * limits.FETCH_TRIES
        assert len(supplier.links) == limits.FETCH_TRIES
        assert supplier.pings == 5 * limits.FETCH_TRIES

    played(play, story)


def test_a_retry_that_was_planned_does_not_follow_when_the_fetcher_is_closed(
    play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan, "RETRY_MS", (20,))

    async def story(supplier: Supplier, fetcher: Fetcher) -> None:
        supplier.script = dies
        fetch = Fetch(fetcher, supplier.server.address, "a")
        while not fetch.wanted.tries:  # noqa: ASYNC110
            await asyncio.sleep(0)
        fetcher.close()
        behind = asyncio.Event()  # the planned retry and what it would do
        asyncio.get_running_loop().call_later(0.04, behind.set)
        await behind.wait()
        assert not fetch.done.done()
        assert supplier.asked == ["a"]

    played(play, story)


def test_the_job_is_named_in_what_is_asked(play: Play) -> None:
    seen: list[wire.Fetch] = []

    def script(link: Link, fetch: wire.Fetch) -> bool:
        seen.append(fetch)
        return False

    async def story(supplier: Supplier, fetcher: Fetcher) -> None:
        supplier.script = script
        supplier.pieces = {"a": value(b"1")}
        await Fetch(fetcher, supplier.server.address, "a").piece()
        assert (seen[0].job_id, seen[0].task, seen[0].attempt, seen[0].key) == (JOB, 1, 1, "a")

    played(play, story)
