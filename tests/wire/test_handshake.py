import msgspec
import pytest

from tasksprint.limits import WIRE_VERSION
from tasksprint.wire.handshake import HANDSHAKE_BYTES, AcceptorHandshake, DialerHandshake, Refused, rejection
from tasksprint.wire.messages import Hello, Poll, Proof, Reject, decode_handshake, encode

SECRET = b"s" * 32
NONCE_D, NONCE_A = b"d" * 32, b"a" * 32


def dialer(secret: bytes = SECRET, cluster: str = "c", kind: str = "peer") -> DialerHandshake:
    return DialerHandshake(secret, cluster, kind, "coordinator 2", NONCE_D)


def acceptor(
    secret: bytes = SECRET, cluster: str = "c", kinds: tuple[str, ...] = ("peer", "client")
) -> AcceptorHandshake:
    return AcceptorHandshake(secret, cluster, kinds, "coordinator 1", NONCE_A)


def converse(d: DialerHandshake, a: AcceptorHandshake) -> None:
    to_acceptor = [d.begin()]
    while to_acceptor:
        replies = [reply for payload in to_acceptor for reply in a.receive(payload)]
        to_acceptor = [reply for payload in replies for reply in d.receive(payload)]


def refusal(d: DialerHandshake, a: AcceptorHandshake) -> tuple[str, str]:
    """The reason on the side that found fault, and what the other side was told."""
    with pytest.raises(Refused) as found:
        converse(d, a)
    reject = decode_handshake(found.value.reply)
    assert isinstance(reject, Reject)
    other = a if d.peer is not None else d
    with pytest.raises(Refused) as told:
        other.receive(found.value.reply)
    assert not a.done
    assert not d.done
    assert "\n" not in found.value.reason
    assert not told.value.reply, "a rejection is not answered"
    return found.value.reason, told.value.reason


def test_both_sides_learn_who_is_there() -> None:
    d, a = dialer(), acceptor()
    converse(d, a)
    assert d.done
    assert a.done
    assert a.peer is not None
    assert (a.peer.sender, a.peer.kind) == ("coordinator 2", "peer")
    assert d.peer is not None
    assert d.peer.sender == "coordinator 1"


def test_a_wrong_secret_is_found_by_the_dialer_first() -> None:
    reason, told = refusal(dialer(), acceptor(secret=b"other"))
    assert "the secrets differ" in reason
    assert "same secret file" in reason
    assert told == f"refused by the other side: {reason}"


def test_a_dialer_without_the_secret_gets_nowhere_even_if_it_ignores_the_acceptors_proof() -> None:
    d, a = dialer(), acceptor()
    hello = d.begin()
    a.receive(hello)
    for mac in (b"", b"x" * 32):
        with pytest.raises(Refused, match="secrets differ"):
            a.receive(encode(Proof(mac)))
    assert not a.done


def test_an_acceptors_proof_sent_back_to_it_is_no_proof() -> None:
    d, a = dialer(), acceptor()
    _, proof = a.receive(d.begin())
    with pytest.raises(Refused, match="secrets differ"):
        a.receive(proof)


def test_a_hello_sent_back_to_its_sender_is_refused() -> None:
    d = dialer()
    with pytest.raises(Refused, match="cannot be right"):
        d.receive(d.begin())


def test_another_cluster_and_another_kind_are_named() -> None:
    reason, _ = refusal(dialer(cluster="blue"), acceptor(cluster="red"))
    assert "cluster 'blue' meets cluster 'red'" in reason
    reason, _ = refusal(dialer(kind="fetch"), acceptor())
    assert "no 'fetch' links here, only client, peer" in reason


def test_another_version_is_named_by_both() -> None:
    a = acceptor()
    with pytest.raises(Refused, match=f"version 99 meets version {WIRE_VERSION}: install one release") as found:
        a.receive(encode(Hello(99, "c", "peer", "x", NONCE_D)))
    assert not found.value.retry


def test_the_kind_is_part_of_the_proof() -> None:
    """A man in the middle who changes the kind in the Hello breaks the proof."""
    d, a = dialer(kind="client"), acceptor()
    d.begin()
    changed = encode(Hello(WIRE_VERSION, "c", "peer", "coordinator 2", NONCE_D))
    hello, proof = a.receive(changed)
    with pytest.raises(Refused, match="another kind"):
        d.receive(hello)
    back = encode(Hello(WIRE_VERSION, "c", "client", "coordinator 1", NONCE_A))
    d.receive(back)
    with pytest.raises(Refused, match="secrets differ"):
        d.receive(proof)


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"GET / HTTP/1.1",
        encode(Poll("c", 1, 1)),
        encode(Hello(1, "c", "peer", "x", b"short")),
        bytes(HANDSHAKE_BYTES + 1),
    ],
)
def test_anything_else_is_refused(payload: bytes) -> None:
    with pytest.raises(Refused) as found:
        acceptor().receive(payload)
    assert isinstance(decode_handshake(found.value.reply), Reject)


def test_messages_out_of_turn_are_refused() -> None:
    with pytest.raises(Refused, match="Proof out of turn"):
        acceptor().receive(encode(Proof(b"")))
    d, a = dialer(), acceptor()
    hello, proof = a.receive(d.begin())
    with pytest.raises(Refused, match="Proof out of turn"):
        d.receive(proof)
    d.receive(hello)
    with pytest.raises(Refused, match="Hello out of turn"):
        d.receive(hello)


def test_an_empty_proof_is_not_taken_for_the_acceptors() -> None:
    d, a = dialer(), acceptor()
    hello, _ = a.receive(d.begin())
    d.receive(hello)
    with pytest.raises(Refused, match="secrets differ"):
        d.receive(encode(Proof(b"")))


def test_a_strangers_reason_is_cut_and_cleaned_and_may_ask_for_another_try() -> None:
    d = dialer()
    d.begin()
    with pytest.raises(Refused) as told:
        d.receive(rejection("full\n\x1b[31m" + "x" * 2_000, retry=True))
    assert told.value.retry
    assert told.value.reason.isprintable()
    assert len(told.value.reason) < 500


def test_an_old_reject_without_the_retry_field_is_read() -> None:
    assert decode_handshake(msgspec.msgpack.encode(["reject", "why"])) == Reject("why", False)
