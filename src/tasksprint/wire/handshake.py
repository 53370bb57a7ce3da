"""The mutual challenge with which every link begins: both sides hold the cluster's secret, and show it.

1. The dialer says Hello: version, cluster, the kind of link that it wants, who it is, a fresh nonce.
2. The acceptor checks all of it, then answers with its own Hello and a Proof.
3. The dialer checks the acceptor's Hello and Proof, then sends its own Proof.
4. The acceptor checks that and answers with an empty Proof: the link is up, and anything may follow.

A Proof is HMAC-SHA256 under the secret over the prover's role and both Hellos as they travelled, so it
shows the secret, and binds the kind, the names and both nonces; the role keeps one side's Proof from being
sent back as the other's.  Whoever finds fault sends Reject and closes.  The acceptor reads nothing else
before step 4 and the dialer nothing else before it has the acceptor's Proof: no byte from a stranger reaches
a decoder of anything but these three small messages.

What does not match without the secret (version, cluster, kind) is told before the secret is tried, because
the two sides cannot even agree on what to prove; a reason that a stranger sent is shown as such, cut and cleaned.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Collection
from typing import NoReturn

import msgspec

from tasksprint.limits import NAME_CHARS, WIRE_VERSION
from tasksprint.wire.messages import HandshakeMessage, Hello, Proof, Reject, decode_handshake, encode

NONCE_BYTES = 32
HANDSHAKE_BYTES = 4_096  # no message of the handshake is longer
REASON_CHARS = 400


class Refused(Exception):
    """The handshake has failed.  `reply` is what the other side must still be told (b"": nothing).

    `retry`: nothing was wrong but the moment (the other side is full); the same try may succeed soon.
    """

    def __init__(self, reason: str, reply: bytes = b"", *, retry: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.reply = reply
        self.retry = retry


def rejection(reason: str, *, retry: bool = False) -> bytes:
    return encode(Reject(reason, retry))


class _Side:
    """What both sides share: who we are, and what a Proof is."""

    role: bytes
    other_role: bytes

    def __init__(self, secret: bytes, cluster: str, sender: str, nonce: bytes) -> None:
        assert secret and len(nonce) == NONCE_BYTES
        self._secret = secret
        self._cluster = cluster
        self._sender = sender[:NAME_CHARS]
        self._nonce = nonce
        self._hellos: tuple[bytes, bytes] = (b"", b"")  # the dialer's, the acceptor's, as they travelled
        self.peer: Hello | None = None  # to be believed only when `done`
        self.done = False

    def _hello(self, kind: str) -> bytes:
        return encode(Hello(WIRE_VERSION, self._cluster, kind, self._sender, self._nonce))

    def _proof(self, role: bytes) -> bytes:
        state = hmac.new(self._secret, b"tasksprint link", hashlib.sha256)
        for part in (role, *self._hellos):
            state.update(len(part).to_bytes(4, "little"))
            state.update(part)
        return state.digest()

    def _check_proof(self, proof: Proof) -> None:
        if not hmac.compare_digest(proof.mac, self._proof(self.other_role)):
            self._refuse("the secrets differ: both sides must use the same secret file of the cluster")

    def _read(self, payload: bytes) -> Hello | Proof:
        if len(payload) > HANDSHAKE_BYTES:
            self._refuse(f"a handshake message of {len(payload)} bytes: this is no TaskSprint of this version")
        try:
            message: HandshakeMessage = decode_handshake(payload)
        except msgspec.DecodeError:
            self._refuse("this is no handshake of TaskSprint: check the address and both sides' versions")
        if isinstance(message, Reject):
            raise Refused(f"refused by the other side: {_one_line(message.reason)}", retry=message.retry)
        return message

    def _check_hello(self, hello: Hello) -> None:
        if hello.version != WIRE_VERSION:
            self._refuse(
                f"protocol version {hello.version} meets version {WIRE_VERSION}: install one release everywhere"
            )
        if hello.cluster != self._cluster:
            theirs, ours = _one_line(hello.cluster[:NAME_CHARS]), self._cluster
            self._refuse(f"cluster {theirs!r} meets cluster {ours!r}: check the address and the cluster's name")
        if len(hello.nonce) != NONCE_BYTES or len(hello.sender) > NAME_CHARS or hello.nonce == self._nonce:
            self._refuse("a hello that cannot be right (nonce or name): check the address")

    def _out_of_turn(self, message: Hello | Proof) -> NoReturn:
        self._refuse(f"{type(message).__name__} out of turn in the handshake: check both sides' versions")

    def _refuse(self, reason: str) -> NoReturn:
        raise Refused(reason, rejection(reason))


class DialerHandshake(_Side):
    role, other_role = b"dialer", b"acceptor"

    def __init__(self, secret: bytes, cluster: str, kind: str, sender: str, nonce: bytes) -> None:
        super().__init__(secret, cluster, sender, nonce)
        self._kind = kind
        self._proved = False

    def begin(self) -> bytes:
        self._hellos = (self._hello(self._kind), b"")
        return self._hellos[0]

    def receive(self, payload: bytes) -> list[bytes]:
        """Payloads to send.  Raises Refused.  `done` tells that the link is up."""
        assert self._hellos[0] and not self.done
        message = self._read(payload)
        if isinstance(message, Hello) and self.peer is None:
            self._check_hello(message)
            if message.kind != self._kind:
                self._refuse("the other side answered for another kind of link: check the address")
            self.peer = message
            self._hellos = (self._hellos[0], payload)
            return []
        if isinstance(message, Proof) and self.peer is not None and not self._proved:
            self._check_proof(message)
            self._proved = True
            return [encode(Proof(self._proof(self.role)))]
        if isinstance(message, Proof) and self._proved and not message.mac:
            self.done = True
            return []
        self._out_of_turn(message)


class AcceptorHandshake(_Side):
    role, other_role = b"acceptor", b"dialer"

    def __init__(self, secret: bytes, cluster: str, kinds: Collection[str], sender: str, nonce: bytes) -> None:
        super().__init__(secret, cluster, sender, nonce)
        self._kinds = kinds

    def receive(self, payload: bytes) -> list[bytes]:
        """Payloads to send.  Raises Refused.  `done` tells that the link is up and who is there (`peer`)."""
        assert not self.done
        message = self._read(payload)
        if isinstance(message, Hello) and self.peer is None:
            self._check_hello(message)
            if message.kind not in self._kinds:
                self._refuse(
                    f"no {_one_line(message.kind[:NAME_CHARS])!r} links here, only {', '.join(sorted(self._kinds))}: "
                    "check the address"
                )
            self.peer = message
            hello = self._hello(message.kind)
            self._hellos = (payload, hello)
            return [hello, encode(Proof(self._proof(self.role)))]
        if isinstance(message, Proof) and self.peer is not None:
            self._check_proof(message)
            self.done = True
            return [encode(Proof(b""))]
        self._out_of_turn(message)


def _one_line(text: str) -> str:
    """What a stranger wrote, fit to be shown: one line, printable, not long."""
    return "".join(c if c.isprintable() else "?" for c in text[:REASON_CHARS])
