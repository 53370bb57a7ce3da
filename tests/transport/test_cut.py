"""The tool with which the cluster's tests cut links, itself tested on links."""

import asyncio

import pytest
from tests.cluster.cut import FROM, TO, Cut
from tests.loops import Play
from tests.transport.user import User, identity

from tasksprint.transport import LinkError, Server, connect_once


async def server_of(there: User) -> Server:
    server = Server(identity("server"), {"peer": there.handlers})
    await server.listen()
    return server


@pytest.mark.parametrize("ways", [(), (TO,), (FROM,)])
def test_what_was_sent_into_a_cut_comes_after_it(play: Play, ways: tuple[str, ...]) -> None:
    async def check() -> None:
        there, here = User(), User()
        server = await server_of(there)
        with Cut(server.address) as cut:
            link = await connect_once(cut.address, "peer", identity("c"), here.handlers)
            await there.until(lambda: bool(there.links))
            link.send(b"before")
            await there.until(lambda: there.payloads == [b"before"])
            cut.cut(*ways)
            link.send(b"to")
            there.links[0].send(b"from")
            if ways == (FROM,):
                await there.until(lambda: there.payloads == [b"before", b"to"])
            if ways == (TO,):
                await here.until(lambda: here.payloads == [b"from"])
            while cut.held < (14 if not ways else 6):  # noqa: ASYNC110  (another thread counts)
                await asyncio.sleep(0)
            assert not there.closed
            assert not here.closed
            cut.heal()
            await there.until(lambda: there.payloads == [b"before", b"to"])
            await here.until(lambda: here.payloads == [b"from"])
            link.close()
            await there.until(lambda: bool(there.closed))
        await server.close()

    play(check())


def test_a_long_cut_breaks_connections_and_new_ones_hang(play: Play) -> None:
    async def check() -> None:
        there, here = User(), User()
        server = await server_of(there)
        with Cut(server.address) as cut:
            await connect_once(cut.address, "peer", identity("c"), here.handlers)
            await there.until(lambda: bool(there.links))
            cut.cut()
            with pytest.raises(LinkError, match="no answer within"):
                await connect_once(cut.address, "peer", identity("c"), User().handlers, timeout_ms=30)
            cut.heal(reset=True)
            await there.until(lambda: bool(there.closed))
            await here.until(lambda: bool(here.closed))
            again = await connect_once(cut.address, "peer", identity("c"), here.handlers)
            assert again.up
            assert cut.connections == 3
        await here.until(lambda: len(here.closed) == 2)
        await server.close()

    play(check())
