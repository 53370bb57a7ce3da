"""Results between clients: never through a coordinator.

`plan` (pure) decides when a fetch is tried again and checks what arrives; `fetch` asks suppliers and takes pieces in;
`serve` sends them out.  A supplier answers when the attempt is done, so a fetch is also how a consumer learns of it.

Promises: a piece is handed on only whole and with the digest that its supplier named; a fetch ends, with a piece or
with a reason, as long as the other side answers pings; many pieces share one link without one holding up the others;
what waits to be sent is bounded by the link.
"""
