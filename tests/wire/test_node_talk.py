import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.transcripts.replay import Conversation, conversations, line

from tasksprint.limits import LINE_BYTES
from tasksprint.sdk.plain import unsafe_number
from tasksprint.wire import node_talk
from tasksprint.wire.lines import Lines, LineTooLong
from tasksprint.wire.node_talk import Done, FilePiece, InputFile, InputValue, NodeError, NodeTalk


@pytest.mark.parametrize("conversation", conversations("node.jsonl"), ids=lambda each: each.name)
def test_transcript(conversation: Conversation) -> None:
    talk = NodeTalk()
    for who, message, error in conversation.turns:
        if who == "client":
            if message["type"] == "run":
                talk.sent_run(message["task"])
        elif error:
            with pytest.raises(NodeError) as caught:
                talk.heard(node_talk.decode(line(message)))
            assert error in str(caught.value)
        else:
            talk.heard(node_talk.decode(line(message)))


def test_values_keep_their_text() -> None:
    text = b'{"type":"done","task":1,"result":{"a": {"x":1.50, "y":[ ]},"b":{"$file":"d/e"},"c":{"k":{"$file":"x"}}}}'
    message = node_talk.decode(text)
    assert isinstance(message, Done)
    assert message.result == {"a": b'{"x":1.50, "y":[ ]}', "b": FilePiece("d/e"), "c": b'{"k":{"$file":"x"}}'}


def test_text_that_is_not_utf8() -> None:
    with pytest.raises(NodeError, match="not UTF-8"):
        node_talk.decode(b'{"type":"log","text":"\xff"}')


def test_a_run_line_is_json_with_everything_in_it() -> None:
    inputs = [InputValue("a", b'{"x": 1}'), InputFile('"b"', "/tmp/ü")]
    text = node_talk.run(5, "map", b'{"p":1.0}', inputs, 255, "/tmp/5.2", attempt=2)
    assert text.endswith(b"\n")
    assert json.loads(text) == {
        "type": "run", "task": 5, "attempt": 2, "name": "map", "args": {"p": 1.0},
        "inputs": [{"key": "a", "value": {"x": 1}}, {"key": '"b"', "$file": "/tmp/ü"}],
        "seed": "00000000000000ff", "folder": "/tmp/5.2",
    }  # fmt: skip


def test_a_run_line_over_the_limit_says_so() -> None:
    with pytest.raises(ValueError, match="return large pieces as files"):
        node_talk.run(1, "map", b"null", [InputValue("a", b'"%b"' % (b"x" * LINE_BYTES))], 0, "/tmp")


@settings(max_examples=50)
@given(st.lists(st.binary(max_size=40).filter(lambda each: b"\n" not in each and each not in (b"", b"\r"))), st.data())
def test_lines_come_whole_however_they_are_cut(lines: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(each + b"\n" for each in lines)
    reader, heard = Lines(), []
    while stream:
        cut = data.draw(st.integers(1, len(stream)))
        heard += reader.feed(stream[:cut])
        stream = stream[cut:]
    assert heard == lines
    assert reader.pending == b""


def test_a_long_line_is_refused_before_it_is_held() -> None:
    reader = Lines(limit=100)
    assert reader.feed(b"x" * 100) == []
    with pytest.raises(LineTooLong, match="write large results to a file"):
        reader.feed(b"x")
    assert reader.pending == b""


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(1 << 53), 1 << 53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@settings(max_examples=50)
@given(json_values)
def test_safe_numbers_pass(value: object) -> None:
    assert unsafe_number(json.dumps(value).encode()) == ""
    assert unsafe_number(json.dumps(value, ensure_ascii=False, indent=1).encode("utf-8", "replace")) == ""


@settings(max_examples=50)
@given(json_values, st.integers(min_value=(1 << 53) + 1) | st.integers(max_value=-(1 << 53) - 1), json_values)
def test_unsafe_integers_are_found(before: object, number: int, after: object) -> None:
    assert "beyond 2^53" in unsafe_number(json.dumps([before, number, after]).encode())


@pytest.mark.parametrize("name", ["", ".", "..", "a/../b", "/a", "a//b", "a/", "a\0b", "x" * 900])
def test_wrong_names(name: str) -> None:
    assert node_talk.wrong_name(name)


@pytest.mark.parametrize("name", ["a", "a/b", "...", "ü", ".hidden", "a b"])
def test_right_names(name: str) -> None:
    assert not node_talk.wrong_name(name)
