"""The only room that opens sockets between our processes.

A `Link` carries whole payloads, in order, both ways, after the mutual challenge of `wire.handshake`: nothing
reaches its user from a side that has not shown the cluster's secret.  `Server` accepts links of the kinds that it
was given; `Dialer` keeps one link to an address for as long as it is wanted; `connect_once` is for commands.

Promises: payloads of one link arrive in order or not at all; `on_closed` is called once for each `on_up`, with the
reason; what waits to be written is bounded (LINK_BUFFER_BYTES); nothing here reads a payload.  `secret` keeps the file
that all of it rests on; `Turns` is the rhythm in which a daemon performs what its core wants.
"""

from tasksprint.transport.dialer import Dialer, connect_once
from tasksprint.transport.link import Handlers, Identity, Link, LinkError, LinkRefused
from tasksprint.transport.server import CannotListen, Server, parse_address
from tasksprint.transport.turns import Turns

__all__ = [
    "CannotListen",
    "Dialer",
    "Handlers",
    "Identity",
    "Link",
    "LinkError",
    "LinkRefused",
    "Server",
    "Turns",
    "connect_once",
    "parse_address",
]
