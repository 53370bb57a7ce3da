import asyncio
import contextlib
import gc
import resource
import socket

import msgspec
import pytest
from tests.loops import Play
from tests.transport.user import User, identity

from tasksprint.limits import FRAME_BYTES, HALF_OPEN_MAX, LINK_BUFFER_BYTES, LINKS_MAX
from tasksprint.transport import (
    CannotListen,
    Dialer,
    Handlers,
    Link,
    LinkError,
    LinkRefused,
    Server,
    connect_once,
    parse_address,
)
from tasksprint.transport import (
    link as link_module,
)
from tasksprint.transport.server import room


async def listening(user: User, *kinds: str, links_max: int = 10, port: int = 0) -> Server:
    handlers = dict.fromkeys(kinds or ("peer",), user.handlers)
    server = Server(identity("coordinator 1"), handlers, links_max=links_max)
    await server.listen(port=port)
    return server


def test_payloads_go_both_ways_in_order(play: Play) -> None:
    async def check() -> None:
        there, here = User(), User()
        server = await listening(there)
        link = await connect_once(server.address, "peer", identity("coordinator 2"), here.handlers)
        assert (link.kind, link.sender) == ("peer", "coordinator 1")
        await there.until(lambda: bool(there.links))
        assert (there.links[0].kind, there.links[0].sender) == ("peer", "coordinator 2")
        payloads = [b"%d" % i * (i % 50) for i in range(2_000)]
        for payload in payloads:
            link.send(payload)
            there.links[0].send(payload)
        await there.until(lambda: len(there.payloads) == 2_000)
        await here.until(lambda: len(here.payloads) == 2_000)
        assert there.payloads == here.payloads == payloads
        assert there.batches[0] > 1, "what was sent in one turn arrives together"
        link.close("enough")
        await here.until(lambda: bool(here.closed))
        await there.until(lambda: bool(there.closed))
        assert (here.closed, there.closed) == (["enough"], ["closed by the other side"])
        assert here.events[0] == there.events[0] == "up"
        assert here.events.count("up") == here.events.count("closed") == 1
        await server.close()

    play(check())


def test_one_write_a_turn(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    async def check() -> None:
        there, here = User(), User()
        server = await listening(there)
        link = await connect_once(server.address, "peer", identity("c"), here.handlers)
        writes: list[int] = []
        monkeypatch.setattr(link_module.Link, "_write", lambda self, data: writes.append(len(data)))
        for _ in range(100):
            link.send(b"x" * 6)
        assert link.backlog == 1_000
        await asyncio.sleep(0)
        assert writes == [1_000]
        link.gather(b"x" * 6)
        await asyncio.sleep(0)
        assert writes == [1_000], "who gathers flushes"
        link.send(b"x" * 6)
        link.flush()
        link.flush()
        await asyncio.sleep(0)
        assert writes == [1_000, 20], "and what was sent goes with it, once"
        link.abort("")
        link.gather(b"too late")
        link.flush()
        assert link.backlog == 0
        await server.close()

    play(check())


def test_what_was_sent_before_close_still_arrives(play: Play) -> None:
    async def check() -> None:
        there, here = User(), User()
        server = await listening(there)
        link = await connect_once(server.address, "peer", identity("c"), here.handlers)
        link.send(b"x" * 3_000_000)
        link.send(b"last words")
        link.close()
        link.send(b"too late")
        await there.until(lambda: bool(there.closed))
        assert list(map(len, there.payloads)) == [3_000_000, 10]
        await server.close()

    play(check())


@pytest.mark.parametrize(
    ("secret", "cluster", "kind", "reason"),
    [
        (b"other", "test", "peer", "the secrets differ"),
        (b"s" * 32, "blue", "peer", "cluster 'test' meets cluster 'blue'"),
        (b"s" * 32, "test", "fetch", "no 'fetch' links here, only client, peer"),
    ],
)
def test_who_does_not_belong_is_told_why(play: Play, secret: bytes, cluster: str, kind: str, reason: str) -> None:
    async def check() -> None:
        there, here = User(), User()
        server = await listening(there, "peer", "client")
        with pytest.raises(LinkRefused) as refused:
            await connect_once(server.address, kind, identity("c", secret, cluster), here.handlers)
        text = str(refused.value)
        assert text.startswith(server.address)
        assert ("meets cluster" if cluster == "blue" else reason) in text
        assert not there.events
        assert not here.events
        await server.close()
        assert server.refused == 1

    play(check())


def test_a_port_in_use_is_said_so(play: Play) -> None:
    async def check() -> None:
        first = await listening(User())
        with pytest.raises(CannotListen, match=f"127.0.0.1:{first.port} is in use: choose another port"):
            await listening(User(), port=first.port)
        await first.close()
        again = await listening(User(), port=first.port)
        await again.close()

    play(check())


def test_nobody_there(play: Play) -> None:
    async def check() -> None:
        server = await listening(User())
        await server.close()
        with pytest.raises(LinkError, match=r"127.0.0.1:\d+: nobody listens there") as error:
            await connect_once(server.address, "peer", identity("c"), User().handlers)
        assert not isinstance(error.value, LinkRefused)
        with pytest.raises(LinkError, match="no such host"):
            await connect_once("no-such-host.invalid:7", "peer", identity("c"), User().handlers)

    play(check())


def test_a_look_up_that_is_given_up_complains_to_nobody(play: Play) -> None:
    async def story() -> None:
        with pytest.raises(LinkError, match="no answer within 0 s"):
            await connect_once("nosuch.invalid:1", "peer", identity("c"), User().handlers, timeout_ms=0)
        with pytest.raises(OSError):  # the same look-up once more: when it has failed, so has the first
            await asyncio.get_running_loop().getaddrinfo("nosuch.invalid", 1)
        gc.collect()

    play(story())


def test_one_that_says_nothing_is_given_up(play: Play) -> None:
    async def check() -> None:
        silent = socket.create_server(("127.0.0.1", 0))
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(LinkError, match=r"no answer within 0\.05 s"):
            await connect_once(address, "peer", identity("c"), User().handlers, timeout_ms=50)
        silent.close()

    play(check())


def test_strangers_are_cut_off(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    async def stranger(server: Server, says: bytes) -> bytes:
        reader, writer = await asyncio.open_connection(server.host, server.port)
        writer.write(says)
        answer = await reader.read()
        writer.close()
        await writer.wait_closed()
        return answer

    async def check() -> None:
        there = User()
        server = await listening(there)
        assert await stranger(server, b"GET / HTTP/1.1\r\n\r\n") == b""
        assert b"no handshake of TaskSprint" in await stranger(server, b"\x05\0\0\0hello")
        monkeypatch.setattr(link_module, "HANDSHAKE_MS", 20)
        assert await stranger(server, b"") == b""
        await server.close()
        assert server.refused == 3
        assert not there.events

    play(check())


def test_a_full_server_asks_to_try_again(play: Play) -> None:
    async def check() -> None:
        server = await listening(User(), links_max=1)
        first = await connect_once(server.address, "peer", identity("c"), User().handlers)
        with pytest.raises(LinkError, match="1 links are open here: try again later") as full:
            await connect_once(server.address, "peer", identity("c"), User().handlers)
        assert not isinstance(full.value, LinkRefused)
        first.close()
        await server.close()

    play(check())


def test_the_oldest_connection_without_a_handshake_makes_room(play: Play) -> None:
    """A flood of strangers takes no link from those who belong, and no more descriptors than it may."""

    async def check() -> None:
        there = User()
        server = Server(identity("coordinator 1"), {"peer": there.handlers}, links_max=2, half_open_max=3)
        await server.listen()
        first = await connect_once(server.address, "peer", identity("c"), User().handlers)
        strangers = [await asyncio.open_connection(server.host, server.port) for _ in range(7)]
        for reader, _ in strangers[:4]:
            with contextlib.suppress(ConnectionResetError):
                assert await reader.read() == b"", "cut off, in the order of their coming"
        assert len(server._half_open) == 3
        second = await connect_once(server.address, "peer", identity("c"), User().handlers)
        assert first.up and second.up, "half-open ones are no links"
        assert len(server.links) == 2
        for _, writer in strangers:
            writer.close()
        for link in (first, second):
            link.close()
        await server.close()
        assert not server._half_open

    play(check())


def test_what_a_process_may_open_bounds_its_links(monkeypatch: pytest.MonkeyPatch) -> None:
    for files, expected in (
        (1_024, (512, 128)),
        (65_536, (LINKS_MAX, HALF_OPEN_MAX)),
        (-1, (LINKS_MAX, HALF_OPEN_MAX)),
    ):
        monkeypatch.setattr(resource, "getrlimit", lambda _, files=files: (files, files))
        assert room() == expected


def test_an_error_of_a_handler_is_told_to_the_loop(play: Play) -> None:
    """The same on every loop, an OSError too: the process must not go on with what was lost."""

    async def check() -> None:
        told: list[object] = []
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: told.append((context["exception"], set(context))))
        error = OSError("no room")

        def fail(link: Link, payloads: list[bytes]) -> None:
            raise error

        there, here = User(), User()
        there.handlers = Handlers(on_messages=fail, on_closed=there._on_closed)
        server = await listening(there)
        link = await connect_once(server.address, "peer", identity("c"), here.handlers)
        link.send(b"hello")
        await there.until(lambda: bool(there.closed))
        assert told == [(error, {"message", "exception"})]
        await server.close()

    play(check())


def test_an_oversized_frame_and_an_unreadable_message_end_the_link_not_the_process(play: Play) -> None:
    async def check() -> None:
        there = User()
        decode = msgspec.msgpack.Decoder(int).decode
        there.handlers = Handlers(on_messages=lambda _, ps: list(map(decode, ps)) and None, on_closed=there._on_closed)
        server = await listening(there)
        link = await connect_once(server.address, "peer", identity("c"), User().handlers)
        link._write((FRAME_BYTES + 1).to_bytes(4, "little"))
        await there.until(lambda: len(there.closed) == 1)
        link = await connect_once(server.address, "peer", identity("c"), User().handlers)
        link.send(msgspec.msgpack.encode("no int"))
        await there.until(lambda: len(there.closed) == 2)
        assert f"a frame of {FRAME_BYTES + 1} bytes" in there.closed[0]
        assert "cannot be understood" in there.closed[1]
        assert "int" in there.closed[1]
        with pytest.raises(ValueError, match="a frame may have"):
            link.send(bytes(FRAME_BYTES + 1))
        await server.close()

    play(check())


def test_a_bulk_sender_is_paused_and_goes_on(play: Play) -> None:
    async def check() -> None:
        there, here = User(), User()
        server = await listening(there)
        link = await connect_once(server.address, "peer", identity("c"), here.handlers)
        await there.until(lambda: bool(there.links))
        there.links[0].pause_reading()
        sent = 0
        while not link.paused:
            link.send(bytes(100_000))
            sent += 1
        assert here.events[-1] == "pause"
        assert 0 < link.backlog < LINK_BUFFER_BYTES
        there.links[0].resume_reading()
        await here.until(lambda: "drain" in here.events)
        await there.until(lambda: len(there.payloads) == sent)
        link.close()
        await server.close()

    play(check())


def test_one_who_reads_nothing_is_cut_off_at_the_limit(play: Play) -> None:
    async def check() -> None:
        there, here = User(), User()
        server = await listening(there)
        link = await connect_once(server.address, "peer", identity("c"), here.handlers)
        await there.until(lambda: bool(there.links))
        there.links[0].pause_reading()
        while link.up:
            link.send(bytes(1_000_000))
            assert link.backlog < LINK_BUFFER_BYTES + 3_000_000
        await here.until(lambda: bool(here.closed))
        assert "wait to be read by the other side" in here.closed[0]
        there.links[0].abort("")
        await server.close()

    play(check())


def test_a_dialer_comes_back(play: Play) -> None:
    async def check() -> None:
        there, here = User(), User()
        server = await listening(there)
        port = server.port
        dialer = Dialer(server.address, "peer", identity("c"), here.handlers, here.on_down)
        dialer.start()
        await here.until(lambda: here.events == ["up"])
        assert dialer.link is here.links[0]
        await server.close("restart")
        await here.until(lambda: len(here.down) >= 3)
        assert dialer.link is None
        assert here.closed == ["closed by the other side"]
        assert not any(final for _, final in here.down)
        server = await listening(there, port=port)
        dialer.hurry()
        await here.until(lambda: len(here.links) == 2)
        dialer.link.send(b"again")  # type: ignore[union-attr]
        await there.until(lambda: there.payloads == [b"again"])
        dialer.close()
        await here.until(lambda: len(here.closed) == 2)
        await server.close()

    play(check())


def test_a_dialer_that_is_refused_for_good_says_so(play: Play) -> None:
    async def check() -> None:
        here = User()
        server = await listening(User())
        dialer = Dialer(server.address, "peer", identity("c", b"wrong"), here.handlers, here.on_down)
        dialer.start()
        await here.until(lambda: bool(here.down))
        reason, final = here.down[0]
        assert final
        assert "the secrets differ" in reason
        dialer.close()
        await server.close()
        assert here.events == ["down"]

    play(check())


@pytest.mark.parametrize("text", ["", "7001", "host:", ":7001", "host:port", "host:70000", "host:-1", "host:²"])
def test_a_bad_address_is_shown(text: str) -> None:
    with pytest.raises(LinkError, match="is no address: write host:port"):
        parse_address(text)


def test_addresses() -> None:
    assert parse_address("127.0.0.1:7101") == ("127.0.0.1", 7101)
    assert parse_address("[::1]:1") == ("::1", 1)
